//! Commands against gateways whose answers the tests choose.

use std::process::Output;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::StatusCode;

use crate::support::{faasflow, listen, run};

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// Runs a command against a gateway that gives this answer to every request. Returns the output, and the gateway's URL.
async fn answered(
    arguments: &[&str],
    status: u16,
    headers: &'static [(&'static str, &'static str)],
    body: &'static str,
) -> (Output, String) {
    let status = StatusCode::from_u16(status).unwrap();
    let app = axum::Router::new().fallback(move || async move {
        let mut answer = http::Response::new(axum::body::Body::from(body));
        *answer.status_mut() = status;
        for &(name, value) in headers {
            answer.headers_mut().insert(name, value.parse().unwrap());
        }
        answer
    });
    let (address, _serving) = listen(app).await;
    let url = format!("http://{address}");
    let mut command = faasflow();
    command.args(arguments).args(["--gateway", &url]);
    (run(command, b""), url)
}

const CODE: &str = "x-faasflow-error-code";
const INTERNAL: (&str, &str) = ("x-openfaas-internal", "proxy");

/// A function may send any status and any code, such as those of a function that it called itself.
#[tokio::test(flavor = "multi_thread")]
async fn only_the_gateway_says_that_a_function_is_not_deployed() {
    let gateways: &[(&str, &str)] = &[(CODE, "FF0712"), INTERNAL];
    let functions: &[(&str, &str)] = &[(CODE, "FF0712")];
    for command in ["invoke", "graph"] {
        let body = "the function `f` is not deployed; deployed functions: a, b\n";
        let (output, url) = answered(&[command, "f"], 404, gateways, body).await;
        let says =
            format!("error[FF0712]: the function `f` is not deployed at {url}\n  cause: deployed functions: a, b\n");
        assert!(text(&output.stderr).starts_with(&says), "{command}: {output:?}");
        for (status, shown, headers) in [(404, "404 Not Found", functions), (502, "502 Bad Gateway", functions)] {
            let (output, _) = answered(&[command, "f"], status, headers, "own words\n").await;
            let says = format!(
                "error[FF0712]: the function `f` answered {shown}\n  cause: own words\n  help: find out more in the log of the function\n"
            );
            assert_eq!(text(&output.stderr), says, "{command}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_code_of_an_answer_is_kept() {
    let refused: &[(&str, &str)] = &[(CODE, "FF0701"), INTERNAL];
    let (output, _) = answered(&["graph", "f"], 503, refused, "no room\n").await;
    let says = "error[FF0701]: the gateway answered 503 Service Unavailable\n  cause: no room\n  help: find out more in the log of the gateway\n";
    assert_eq!(text(&output.stderr), says);
    let (output, _) = answered(&["graph", "f"], 500, &[(CODE, "FF0303")], "it failed\n").await;
    let says = "error[FF0303]: the function `f` answered 500 Internal Server Error\n  cause: it failed\n  help: find out more in the log of the function\n";
    assert_eq!(text(&output.stderr), says);
    for (headers, code) in [(refused, "FF0701"), (&[], "FF0902")] {
        let (output, url) = answered(&["health"], 503, headers, "no room\n").await;
        let says =
            format!("error[{code}]: the gateway at {url} answered 503 Service Unavailable\n  cause: no room\n  help: ");
        assert!(text(&output.stderr).starts_with(&says), "{output:?}");
    }
}

/// The wording of the gateway may change; its codes do not.
#[tokio::test(flavor = "multi_thread")]
async fn refusals_are_recognised_by_their_codes() {
    let letter = ["queue", "dead-letters", "7"];
    let (output, _) = answered(&letter, 404, &[(CODE, "FF0923")], "another wording\n").await;
    assert!(text(&output.stderr).starts_with("error[FF0923]: there is no dead letter 7\n"), "{output:?}");
    let (output, _) = answered(&letter, 404, &[], "dead letter office\n").await;
    assert!(text(&output.stderr).starts_with("error[FF0902]: the gateway answered 404 Not Found\n"), "{output:?}");
    let lines = ["logs", "--function", "f"];
    let (output, url) = answered(&lines, 404, &[(CODE, "FF0712")], "another wording\n").await;
    let says = format!("error[FF0712]: the function `f` is not deployed at {url}\n  cause: another wording\n");
    assert!(text(&output.stderr).starts_with(&says), "{output:?}");
    let (output, _) = answered(&lines, 404, &[], "404 page not found: /f\n").await;
    assert!(text(&output.stderr).starts_with("error[FF0902]: the gateway answered 404 Not Found\n"), "{output:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_is_shown_with_credentials_only_if_they_are_asked_for() {
    let whole = async |uri: axum::http::Uri| serde_json::json!({ "asked": uri.to_string() }).to_string();
    let app = axum::Router::new().route("/system/queue/dead-letters/{id}", axum::routing::get(whole));
    let (address, _serving) = listen(app).await;
    let gateway = format!("http://{address}");
    for (more, asked) in [(None, "dead-letters/7\""), (Some("--unmasked"), "dead-letters/7?masked=false\"")] {
        let mut command = faasflow();
        command.args(["queue", "dead-letters", "--gateway", &gateway, "7"]).args(more);
        let output = run(command, b"");
        assert!(text(&output.stdout).contains(asked), "{output:?}");
    }
    let mut command = faasflow();
    command.args(["queue", "dead-letters", "--gateway", &gateway, "--unmasked"]);
    assert!(text(&run(command, b"").stderr).contains("<ID>"), "credentials are shown of one letter");
}

/// A dead letter contains its body, so fetching all of them would take long.
#[tokio::test(flavor = "multi_thread")]
async fn the_list_of_dead_letters_fetches_only_a_few_in_full() {
    let reason = "it answered 500 Internal Server Error";
    let letters: serde_json::Value = (1..=25)
        .map(|id| serde_json::json!({ "id": id, "reason": reason, "bytes": if id == 2 { 2 << 20 } else { 5 } }))
        .collect();
    let fetched = Arc::new(AtomicUsize::new(0));
    let whole = {
        let fetched = fetched.clone();
        move || async move {
            fetched.fetch_add(1, Ordering::SeqCst);
            r#"{"answer_body":"why"}"#
        }
    };
    let app = axum::Router::new()
        .route("/system/queue/dead-letters", axum::routing::get(move || async move { letters.to_string() }))
        .route("/system/queue/dead-letters/{id}", axum::routing::get(whole));
    let (address, _serving) = listen(app).await;
    let mut command = faasflow();
    command.args(["queue", "dead-letters", "--gateway", &format!("http://{address}")]);
    let output = run(command, b"");
    let lines: Vec<&str> = text(&output.stdout).lines().collect();
    assert_eq!(lines.len(), 26, "{output:?}");
    let explained: Vec<bool> = lines[1..].iter().map(|line| line.ends_with(": why")).collect();
    let expected: Vec<bool> = (1..=25).map(|id| id != 2 && id <= 21).collect();
    assert_eq!((explained, fetched.load(Ordering::SeqCst)), (expected, 20), "{lines:?}");
}
