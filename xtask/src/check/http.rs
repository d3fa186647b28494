//! Only a few files send HTTP requests.

use super::Fault;
use super::source::Source;

/// The files that may, and why.
const PLACES: [&str; 13] = [
    "crates/cli/src/client.rs",                        // sends requests to gateways
    "crates/gateway/src/delivery/callback.rs",         // sends answers to callback URLs
    "crates/gateway/src/functions/container/ready.rs", // checks that containers are ready
    "crates/gateway/src/proxy.rs",                     // sends requests to functions
    "crates/containers/src/wire.rs",                   // sends requests to a container engine
    "crates/http/src/",                                // the client itself
    "crates/runtime/src/step/send.rs",                 // calls functions and callbacks
    "crates/runtime/src/step/report.rs",               // sends results to callback URLs
    "crates/runtime/src/forward/post.rs",              // sends envelopes to the queue
    "crates/runtime/src/trace/client.rs",              // sends spans to the trace server
    "crates/state/src/gateway/",                       // talks to the store of a local gateway
    "crates/state/src/s3/",                            // talks to S3
    "crates/testkit/src/",                             // acts as caller and queue in tests
];

pub(super) fn check(source: &Source) -> Vec<Fault> {
    if source.is_in(&PLACES) || source.is_beside_the_product() {
        return Vec::new();
    }
    // Every request goes through one client. Creating it or passing it on sends nothing.
    let knows_client =
        source.uses.iter().any(|used| used.path.ends_with("http::HttpClient") || used.path == "HttpClient");
    let sends = |path: &str| match path {
        ".send().await" => knows_client,
        // Passed to a timeout, or awaited later. In the command line, `client` is the type in `client.rs`.
        "client.send()" => !source.is_in(&["crates/cli/"]),
        path => {
            ["reqwest", "hyper::client", "hyper_util::client", "ureq"].iter().any(|crate_| path.starts_with(crate_))
        }
    };
    let used = source.uses.iter().filter(|used| sends(&used.path));
    used.map(|used| Fault {
        rule: "few places send HTTP",
        place: source.place(used.line),
        what: format!("`{}` sends a request: do it in one of the files listed in xtask/src/check/http.rs", used.path),
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_sent_elsewhere_is_found() {
        let text = "use crate::http::HttpClient;\nasync fn f(c: HttpClient) { c.send(r).await; }";
        assert_eq!(check(&Source::parse("crates/runtime/src/step/execute.rs", text).unwrap()).len(), 1);
        assert!(check(&Source::parse("crates/runtime/src/step/send.rs", text).unwrap()).is_empty());
        let handed = "async fn f(&self) { timeout(limit, self.client.send(r)).await; }";
        let handed = format!("impl X {{ {handed} }}");
        assert_eq!(check(&Source::parse("crates/runtime/src/step/execute.rs", &handed).unwrap()).len(), 1);
        let channel = "fn f(s: Sender) { s.send(1); }";
        assert!(check(&Source::parse("crates/runtime/src/step/execute.rs", channel).unwrap()).is_empty());
    }
}
