//! The headers that flows use, and which of a caller's headers reach functions.

use http::header::{self, HeaderMap, HeaderName};

/// The id of a request. It is on the request, on its answer, and on the calls that the flow makes for it.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-faasflow-request-id");
/// The URL to which the flow reports the end of a request. The caller sets it on a new request.
pub const CALLBACK_URL: HeaderName = HeaderName::from_static("x-faasflow-callback-url");
/// The id of the request that a new one repeats, perhaps with another input. The flow records it and shows it.
pub const REPEATS: HeaderName = HeaderName::from_static("x-faasflow-repeats");
/// `true` on a payload that is shown without the values of secret fields.
pub const MASKED: HeaderName = HeaderName::from_static("x-faasflow-masked");
/// How a request ended: an [`Outcome`](crate::Outcome).
pub const OUTCOME: HeaderName = HeaderName::from_static("x-faasflow-outcome");
/// The id that the gateway gives an invocation (OpenFaaS).
pub const CALL_ID: HeaderName = HeaderName::from_static("x-call-id");
/// On a call that the local gateway's queue delivers: the number of the attempt, from 1.
pub const ATTEMPT: HeaderName = HeaderName::from_static("x-faasflow-attempt");
/// On the local gateway's answer to an asynchronous call: `true` if the gateway dropped the call because it had already
/// accepted one with the same call id. The gateway remembers call ids for a limited time.
pub const DUPLICATE: HeaderName = HeaderName::from_static("x-faasflow-duplicate");
/// On an answer that the local gateway itself gives, because it has none from the function: the reason, so that a flow
/// can tell which calls it may repeat. The values are the constants of [`gateway_error`].
pub const GATEWAY_ERROR: HeaderName = HeaderName::from_static("x-faasflow-gateway-error");
/// How many times each local gateway has sent a request on to the URL of a function: `<id>=<number>`, separated by
/// commas. Each gateway counts only under its own id, which is random.
pub const PASSES: HeaderName = HeaderName::from_static("x-faasflow-passes");
/// `true` on the answer of a flow or of the local gateway that has no room for a request. Nothing was executed, and the
/// caller may try again after the time in `Retry-After`.
pub const BUSY: HeaderName = HeaderName::from_static("x-faasflow-busy");
/// On an answer that is one of Faasflow's own errors: its [code](crate::code), such as `FF0407`.
pub const ERROR_CODE: HeaderName = HeaderName::from_static("x-faasflow-error-code");
/// The HMAC over a body: `sha256=<hex>` (the form of WebSub, as `faas-cli invoke --sign` sends it).
pub const SIGNATURE: HeaderName = HeaderName::from_static("x-hub-signature");
/// The time at which a request to the API of a flow function was signed, in milliseconds since the Unix epoch.
pub const SIGNED_AT: HeaderName = HeaderName::from_static("x-faasflow-signed-at");
/// A key that is the same for every attempt of one step, so that a function can recognise a repeated call
/// (draft-ietf-httpapi-idempotency-key-header).
pub const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// W3C Trace Context.
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// W3C Trace Context.
pub const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// The values of [`GATEWAY_ERROR`].
pub mod gateway_error {
    /// The connection to the function was lost before its answer was complete, so the function may or may not have
    /// executed the call. Calling again with the same `Idempotency-Key` is what a redelivered phase would do.
    pub const FUNCTION_DIED: &str = "function-died";
    /// The function answered, but the answer cannot be used because it is malformed or too large. Calling again would
    /// execute the function again, with the same result.
    pub const UNUSABLE_ANSWER: &str = "unusable-answer";
    /// The gateway could not connect to the function, so nothing was executed.
    pub const FUNCTION_UNREACHABLE: &str = "function-unreachable";
    /// The function does not run until somebody changes it, for example because it does not compile. Nothing was
    /// executed, and waiting does not help.
    pub const FUNCTION_BROKEN: &str = "function-broken";
}

/// Headers that belong to one connection (RFC 9110, 7.6.1), in addition to those that `Connection` names. They are
/// never forwarded.
pub const HOP_BY_HOP: [HeaderName; 7] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// Whether a header is one of [`HOP_BY_HOP`].
#[must_use]
pub fn is_hop_by_hop(name: &HeaderName) -> bool {
    HOP_BY_HOP.contains(name)
}

/// Headers that belong to one invocation, to the body, or to the gateway, and so are not the caller's own. The
/// hop-by-hop headers are not repeated here.
const NOT_CARRIED: [&str; 20] = [
    "proxy-authenticate",
    "proxy-authorization",
    "expect",
    "host",
    // Programs that receive headers as environment variables may take this one for the proxy of their own requests
    // (httpoxy, CVE-2016-5385). It is not a registered header.
    "proxy",
    // These describe the body, and every step has a different body.
    "content-length",
    "content-encoding",
    "content-md5",
    "content-range",
    "digest",
    "accept-encoding",
    // These describe the invocation. The gateway and the queue set them.
    "x-call-id",
    "x-start-time",
    "x-served-by",
    "x-callback-url",
    "x-duration-seconds",
    "x-hub-signature",
    "x-timeout",
    "idempotency-key",
    "x-retry",
];

/// The headers of a new request that stay with it until it ends: the caller's own. Headers that begin with
/// `x-faasflow-` and the trace context are carried separately.
#[must_use]
pub fn carried(headers: &HeaderMap) -> HeaderMap {
    let mut carried = HeaderMap::with_capacity(headers.len());
    for (name, value) in headers {
        if is_carried(name) {
            carried.append(name.clone(), value.clone());
        }
    }
    carried
}

fn is_carried(name: &HeaderName) -> bool {
    let hop_by_hop = is_hop_by_hop(name);
    let name = name.as_str();
    !(hop_by_hop
        || NOT_CARRIED.contains(&name)
        || name.starts_with("x-faasflow-")
        || name.starts_with("x-forwarded-")
        || name == TRACEPARENT.as_str()
        || name == TRACESTATE.as_str())
}

/// Headers that carry credentials.
const CREDENTIALS: [HeaderName; 12] = [
    header::AUTHORIZATION,
    header::PROXY_AUTHORIZATION,
    header::COOKIE,
    header::SET_COOKIE,
    HeaderName::from_static("api-key"),
    HeaderName::from_static("x-api-key"),
    HeaderName::from_static("x-access-token"),
    HeaderName::from_static("x-auth-token"),
    HeaderName::from_static("x-csrf-token"),
    HeaderName::from_static("x-xsrf-token"),
    HeaderName::from_static("x-amz-security-token"),
    HeaderName::from_static("x-vault-token"),
];

/// Whether a header carries credentials, such as `Authorization` or `Cookie`. Its value is shown to nobody, even if the flow has not
/// declared it as secret.
#[must_use]
pub fn is_credential(name: &HeaderName) -> bool {
    CREDENTIALS.contains(name)
}

/// Whether a carried header is sent to functions. `Content-Type` is not, because each payload has its own.
#[must_use]
pub fn goes_to_functions(name: &HeaderName) -> bool {
    name != header::CONTENT_TYPE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h1_the_proxy_header_is_not_carried() {
        let mut headers = HeaderMap::new();
        for spelling in ["Proxy", "PROXY", "proxy", "pRoXy"] {
            headers.append(HeaderName::try_from(spelling).unwrap(), "http://127.0.0.1:1/".parse().unwrap());
        }
        headers.insert("x-proxy", "own".parse().unwrap());
        let carried = carried(&headers);
        assert_eq!(carried.keys().collect::<Vec<_>>(), ["x-proxy"]);
    }

    #[test]
    fn the_callers_own_headers_are_carried_and_no_others() {
        let mut headers = HeaderMap::new();
        for name in ["accept", "authorization", "content-type", "x-tenant", "cookie"] {
            headers.insert(HeaderName::from_static(name), "own".parse().unwrap());
        }
        for name in NOT_CARRIED.into_iter().chain(["x-faasflow-request-id", "x-forwarded-for", "traceparent"]) {
            headers.insert(HeaderName::from_static(name), "not".parse().unwrap());
        }
        headers.append("x-tenant", "own".parse().unwrap());
        let carried = carried(&headers);
        assert_eq!(carried.len(), 6);
        assert!(carried.values().all(|value| value == "own"));
    }
}
