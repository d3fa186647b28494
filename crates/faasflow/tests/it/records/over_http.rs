//! The API about requests, as HTTP.

use std::sync::atomic::AtomicBool;

use faasflow::bytes::Bytes;
use faasflow::{BoxFuture, Scope, StateError, StateManager as _};

use super::*;
use crate::support::store::{Behaviour, Store};

/// A store that refuses to be read, and says why.
#[derive(Clone, Default)]
struct Refusing {
    memory: Memory,
    refuses: Arc<AtomicBool>,
}

impl Behaviour for Refusing {
    fn memory(&self) -> &Memory {
        &self.memory
    }

    fn supports_records(&self) -> bool {
        true
    }

    fn get_many<'a>(
        &'a self,
        scope: &'a Scope,
        keys: &'a [&'a str],
    ) -> BoxFuture<'a, Result<Vec<Option<Bytes>>, StateError>> {
        if self.refuses.load(SeqCst) {
            return Box::pin(async { Err(StateError::permanent("the password `hunter2` is wrong")) });
        }
        self.memory.get_many(scope, keys)
    }
}

#[tokio::test]
async fn callers_do_not_read_what_a_store_has_answered() {
    let store = Refusing::default();
    let kit = remembering(Flow::builder().state(Store(store.clone())).apply("one").apply("two")).start().await;
    kit.request("x").header("x-faasflow-request-id", "r").header("prefer", "wait=20").answer().await;
    store.refuses.store(true, SeqCst);
    let answers = [
        get(&kit, "/_/requests/r").await,
        get(&kit, "/_/requests/r/result").await,
        asked(&kit, Method::POST, "/_/requests/r/stop").await,
        asked(&kit, Method::POST, "/_/requests/r/redrive").await,
    ];
    for answer in answers {
        assert!(answer.status.is_server_error(), "{}", answer.status);
        assert!(!answer.text().contains("hunter2"), "{}", answer.text());
        assert!(answer.text().contains("the log of the flow says why"), "{}", answer.text());
    }
}

/// The status, the code, and whether the body is an error in JSON with this code.
fn problem(answer: &Answer) -> (u16, Option<&str>, bool) {
    let code = answer.header("x-faasflow-error-code");
    let told: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    (answer.status.as_u16(), code, told["reason"].is_string() && told["code"].as_str() == code)
}

#[tokio::test]
async fn the_path_of_the_api_itself_starts_nothing() {
    let kit = remembering(chain()).start().await;
    for path in ["/_", "/_/", "/_//"] {
        for method in [Method::GET, Method::POST, Method::PUT] {
            let answer = kit.request("x").method(method.clone()).path(path).answer().await;
            assert_eq!(problem(&answer), (404, Some("FF0418"), true), "{method} {path}");
        }
    }
    assert!(kit.calls("one").is_empty());
}

#[tokio::test]
async fn a_method_that_a_path_does_not_have_is_refused_clearly() {
    let kit = remembering(chain()).start().await;
    for (method, path, allowed) in [
        (Method::POST, "/_/requests/x", "GET,HEAD"),
        (Method::DELETE, "/_/requests/x/result", "GET,HEAD"),
        (Method::GET, "/_/requests/x/stop", "POST"),
        (Method::GET, "/_/recover", "POST"),
        (Method::POST, "/_/health", "GET,HEAD"),
        (Method::POST, "/_/openapi.json", "GET,HEAD"),
    ] {
        let answer = kit.request("").method(method.clone()).path(path).answer().await;
        assert_eq!(problem(&answer), (405, Some("FF0418"), true), "{method} {path}: {}", answer.text());
        assert_eq!(answer.header("allow"), Some(allowed), "{method} {path}");
    }
}

#[tokio::test]
async fn an_id_that_is_no_text_is_refused_clearly() {
    let kit = remembering(chain()).start().await;
    for (method, path) in [
        (Method::GET, "/_/requests/%ff"),
        (Method::GET, "/_/requests/%ff/result"),
        (Method::POST, "/_/requests/%ff/stop"),
        (Method::POST, "/_/requests/%ff/redrive"),
    ] {
        let answer = kit.request("").method(method.clone()).path(path).answer().await;
        assert_eq!(problem(&answer), (400, Some("FF0418"), true), "{method} {path}: {}", answer.text());
        contract::check(&kit, method.as_str(), path, &answer).await;
    }
    assert_eq!(problem(&kit.request("").path("/_/%ff/%fe").answer().await), (404, Some("FF0418"), true));
}

#[tokio::test]
async fn a_client_that_has_any_status_is_told_that_there_is_one() {
    let kit = remembering(chain()).start().await;
    kit.request("x").header("x-faasflow-request-id", "t").header("prefer", "wait=20").answer().await;
    let ask = |tags: String| {
        let request = kit.request("").method(Method::GET).path("/_/requests/t");
        request.header("if-none-match", tags).answer()
    };
    let tag = get(&kit, "/_/requests/t").await.header("etag").unwrap().to_owned();
    for (tags, expected) in [("*".to_owned(), 304), (format!("\"a\", W/{tag}"), 304), ("\"a\"".to_owned(), 200)] {
        assert_eq!(ask(tags.clone()).await.status, expected, "{tags}");
    }
}

#[tokio::test]
async fn a_parameter_that_is_not_known_is_refused_with_those_that_are_named_once() {
    let kit = remembering(chain()).start().await;
    let answer = asked(&kit, Method::GET, "/_/requests?nope=1").await;
    assert_eq!(problem(&answer), (400, Some("FF0418"), true), "{}", answer.text());
    let reason = answer.json::<Value>()["reason"].as_str().unwrap().to_owned();
    for known in ["`status`", "`since`", "`limit`", "`cursor`"] {
        assert_eq!(reason.matches(known).count(), 1, "{reason}");
    }
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_as_such() {
    let kit = remembering(chain()).start().await;
    let answer = kit.request("x".repeat(70_000)).path("/_/recover").answer().await;
    assert_eq!(problem(&answer), (413, Some("FF0318"), true), "{}", answer.text());
    contract::check(&kit, "POST", "/_/recover", &answer).await;
}

#[tokio::test]
async fn the_preference_that_is_applied_is_the_wait_that_was_granted() {
    let slow = Fake::echo().slow(Duration::from_millis(500));
    let kit = remembering(chain()).function("one", slow).function("two", Fake::hanging());
    let kit = kit.setting("write_timeout", "2s").start().await;
    let start = kit.request("x").header("x-faasflow-request-id", "p").header("prefer", "wait=60").answer().await;
    assert_eq!((start.status.as_u16(), start.header("preference-applied")), (202, Some("wait=1")), "{}", start.text());
    for path in ["/_/requests/p", "/_/requests/p/result"] {
        let answer = kit.request("").method(Method::GET).path(path).header("prefer", "wait=60").answer().await;
        assert_eq!(answer.header("preference-applied"), Some("wait=1"), "{path}");
    }
}

#[tokio::test]
async fn with_verify_request_nobody_asks_without_a_signature() {
    let kit = remembering(chain()).setting("verify_request", "true").start().await;
    kit.request("x").header("x-faasflow-request-id", "v").signed().answer().await;
    for path in ["/_/requests/v", "/_/requests/v/result", "/_/requests/unknown"] {
        for answer in [get(&kit, path).await, waited(&kit, path).await] {
            assert_eq!(problem(&answer), (401, Some("FF0407"), true), "{path}: {}", answer.text());
        }
    }
    until(async || asked(&kit, Method::GET, "/_/requests/v").await.json::<Value>()["status"] == "success").await;
    assert_eq!(asked(&kit, Method::GET, "/_/requests/v/result").await.text(), "x");
}

#[tokio::test]
async fn a_request_that_was_signed_for_another_flow_or_time_is_refused() {
    let kit = remembering(chain()).start().await;
    let minute = 60 * 1000;
    for (flow, at, expected) in [
        ("flow", now_ms(), (200, None)),
        ("other", now_ms(), (401, Some("FF0409"))),
        ("", now_ms(), (401, Some("FF0409"))),
        ("flow", now_ms() - 4 * minute, (200, None)),
        ("flow", now_ms() + 2 * minute, (401, Some("FF0423"))),
    ] {
        let (name, signature) = kit.sign(api_request(flow, "POST", "/_/recover", at).as_bytes());
        let request = kit.request("").path("/_/recover").header("x-faasflow-signed-at", at.to_string());
        let answer = request.header(name, signature.to_str().unwrap()).answer().await;
        assert_eq!((answer.status.as_u16(), answer.header("x-faasflow-error-code")), expected, "{flow:?} {at}");
        if expected == (401, Some("FF0409")) {
            let reason = answer.json::<Value>()["reason"].as_str().unwrap().to_owned();
            assert!(reason.contains("the method, the path with the query, the time and the body"), "{reason}");
            assert_quoted(code::SIGNATURE_WRONG, &reason);
        }
        if expected == (401, Some("FF0423")) {
            assert_quoted(code::SIGNED_TOO_LONG_AGO, answer.json::<Value>()["reason"].as_str().unwrap());
        }
    }
}

/// A browser would execute a script in it with the rights of the gateway's own pages.
#[tokio::test]
async fn a_result_is_never_executed_by_a_browser() {
    let kit = remembering(chain()).start().await;
    let request = kit.request("<script>alert(1)</script>").header("content-type", "text/html");
    request.header("x-faasflow-request-id", "html").answer().await;
    let result = waited(&kit, "/_/requests/html/result").await;
    assert_eq!((result.status.as_u16(), result.header("content-type")), (200, Some("text/html")));
    assert_eq!(result.header("content-security-policy"), Some("sandbox; default-src 'none'"));
    assert_eq!(result.header("x-content-type-options"), Some("nosniff"));
}
