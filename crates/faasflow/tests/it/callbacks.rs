//! Callbacks as steps, and the report that a caller can ask for.

use std::time::Duration;

use faasflow::{Call, CallResponse, Callback, Context, Failure, Flow, FlowBuilder, Method, Outcome, Retry};
use faasflow_testkit::{Fake, Reply, Running, TestKit};

fn kit(define: impl FnOnce(&str) -> FlowBuilder) -> TestKit {
    TestKit::define(|url| define(url).build().unwrap()).function("f", Fake::echo())
}

fn storage(url: &str) -> Callback {
    Callback::new(format!("{url}/callback/storage?bucket=1"))
}

#[tokio::test]
async fn a_callback_gets_the_payload_and_what_it_says_but_not_the_callers_headers() {
    let callback = |url: &str| {
        storage(url).method(Method::PUT).header("x-own", "1").query_with("file", |context| context.query("file"))
    };
    let kit = kit(|url| Flow::builder().apply("f").callback(callback(url))).start().await;
    let request = kit.request("photo").query("file", "a b.jpg").header("content-type", "image/jpeg");
    request.header("authorization", "Bearer secret").header("x-tenant", "t").header("cookie", "c").send().await;
    let call = kit.calls("callback/storage").remove(0);
    assert_eq!((call.method.as_str(), call.text().as_str()), ("PUT", "photo"));
    assert_eq!(call.query.as_deref(), Some("bucket=1&file=a+b.jpg"));
    assert_eq!((call.header("content-type"), call.header("x-own")), (Some("image/jpeg"), Some("1")));
    for name in ["authorization", "x-tenant", "cookie", "x-call-id", "x-hub-signature"] {
        assert_eq!(call.header(name), None, "{name}");
    }
    assert_eq!(kit.calls("f")[0].header("authorization"), Some("Bearer secret"));
    assert!(call.header("x-faasflow-request-id").is_some() && call.header("idempotency-key").is_some());
}

#[tokio::test]
async fn the_payload_goes_on_unchanged_whatever_a_callback_answers() {
    let kit = kit(|url| Flow::builder().callback(storage(url)).apply("f"));
    let kit = kit.callback("storage", Fake::answer("stored under 7")).start().await;
    let end = kit.request("photo").header("content-type", "image/jpeg").send().await;
    assert_eq!((end.text().as_str(), end.header("content-type")), ("photo", Some("image/jpeg")));
    assert_eq!(kit.calls("f")[0].text(), "photo");
}

#[tokio::test]
async fn a_callback_with_a_reading_of_its_own_makes_the_payload() {
    let read = async |_: Context, response: CallResponse| response.into_payload();
    let kit = kit(|url| Flow::builder().callback(storage(url).on_response(read)));
    let kit = kit.callback("storage", Fake::answer("stored under 7")).start().await;
    assert_eq!(kit.request("photo").send().await.text(), "stored under 7");
}

#[tokio::test]
async fn a_callback_that_is_refused_fails_its_step_and_names_no_more_than_the_host() {
    let kit = kit(|url| Flow::builder().callback(storage(url)));
    let kit = kit.callback("storage", Fake::failing(403)).start().await;
    let answer = kit.request("photo").answer().await;
    assert_eq!(answer.status, 500);
    let problem: serde_json::Value = answer.json();
    assert!(problem["step"].as_str().unwrap().starts_with("callback to `127.0.0.1:"), "{problem}");
    assert!(!answer.text().contains("bucket"), "{problem}");
    assert_eq!(problem["reason"], "it answered 403 Forbidden");
}

#[tokio::test]
async fn a_callback_is_tried_again_and_can_recover() {
    let retry = Retry::attempts(3).initial_delay(Duration::from_millis(2));
    let recover = async |_: Context, failure: Failure| failure.recover(failure.payload().clone());
    let callback = |url: &str| storage(url).retry(retry).timeout(Duration::from_secs(20)).on_failure(recover);
    let kit = kit(|url| Flow::builder().callback(callback(url)).apply("f"));
    let kit = kit.callback("storage", Fake::failing(503)).start().await;
    assert_eq!(kit.request("photo").send().await.text(), "photo");
    assert_eq!(kit.calls("callback/storage").len(), 3);
}

/// Sends a request whose end is to be reported to a URL that does as `fake` does, and waits for `times` reports.
async fn reports(kit: &Running, times: usize) -> Vec<faasflow_testkit::RecordedCall> {
    let request = kit.request("photo").header("content-type", "image/jpeg").header("authorization", "Bearer secret");
    let request = request.header("x-faasflow-request-id", "id");
    let answer = request.header("x-faasflow-callback-url", kit.callback_url("end")).answer().await;
    assert_eq!(answer.status, 202);
    kit.until_called("callback/end", times).await
}

#[tokio::test]
async fn the_success_is_reported_to_the_callers_url() {
    let kit = kit(|_| Flow::builder().apply("f").apply("f")).start().await;
    let report = reports(&kit, 1).await.remove(0);
    assert_eq!((report.method.as_str(), report.text().as_str()), ("POST", "photo"));
    assert_eq!(report.header("content-type"), Some("image/jpeg"));
    assert_eq!(report.header("x-faasflow-outcome"), Some("success"));
    assert_eq!(report.header("x-faasflow-request-id"), Some("id"));
    assert_eq!(report.header("authorization"), None);
}

#[tokio::test]
async fn the_failure_is_reported_to_the_callers_url() {
    let kit = kit(|_| Flow::builder().apply("f").apply("broken")).function("broken", Fake::failing(500)).start().await;
    let report = reports(&kit, 1).await.remove(0);
    assert_eq!(report.header("x-faasflow-outcome"), Some("failure"));
    let step = "{\"request_id\":\"id\",\"phase\":2,\"step\":\"function `broken`\",";
    assert!(report.text().starts_with(step), "{}", report.text());
}

#[tokio::test]
async fn a_recovery_in_the_first_of_several_phases_is_reported_too() {
    let flow = Flow::builder()
        .apply("broken")
        .apply("f")
        .on_failure(async |_: Context, failure: Failure| failure.recover("new"));
    let kit = kit(|_| flow).function("broken", Fake::failing(500)).start().await;
    let url = kit.callback_url("end");
    assert_eq!(
        kit.request("").header("x-faasflow-callback-url", url).answer().await.outcome(),
        Some(Outcome::Recovered)
    );
    let report = kit.calls("callback/end").remove(0);
    assert_eq!((report.header("x-faasflow-outcome"), report.text().as_str()), (Some("recovered"), "new"));
}

#[tokio::test]
async fn a_report_is_tried_again_and_when_that_does_not_help_the_queue_delivers_again() {
    let finally = async |_: Context, _: Outcome| ();
    let flow = Flow::builder().apply("f").apply(Call::new("f")).finally(finally);
    let kit = kit(|_| flow).setting("write_timeout", "1s");
    // More often than one delivery tries.
    let kit = kit.callback("end", Fake::answer("").after_failing(6, 503)).start().await;
    let reports = reports(&kit, 7).await;
    assert!(reports.iter().all(|report| report.text() == "photo"));
    let keys: Vec<_> = reports.iter().map(|report| report.header("idempotency-key")).collect();
    assert!(keys.iter().all(|key| *key == Some("id-end")), "{keys:?}");
    let deliveries = kit.until_delivered(2).await;
    assert_eq!((deliveries[0].as_u16(), deliveries.last().unwrap().as_u16()), (503, 200));
}

#[tokio::test]
async fn a_report_that_is_refused_for_good_is_given_up() {
    let kit = kit(|_| Flow::builder().apply("f").apply("f")).callback("end", Fake::failing(410)).start().await;
    reports(&kit, 1).await;
    assert_eq!(kit.until_delivered(1).await, [200]);
    assert_eq!(kit.calls("callback/end").len(), 1);
}

#[tokio::test]
async fn an_invalid_callback_url_is_refused_before_anything_is_executed() {
    let kit = kit(|_| Flow::builder().apply("f")).start().await;
    for url in ["ftp://user:pass@x", "http://", "::"] {
        let answer = kit.request("").header("x-faasflow-callback-url", url).answer().await;
        assert_eq!(answer.status, 400, "{url}");
        let reason = answer.json::<serde_json::Value>()["reason"].as_str().unwrap().to_owned();
        assert!(
            reason.starts_with("`X-Faasflow-Callback-Url` cannot be used: ") && !reason.contains("pass"),
            "{reason}"
        );
    }
    assert!(kit.calls("f").is_empty());
}

/// They are sent as a browser would, and shown to nobody else.
#[tokio::test]
async fn h12_credentials_in_the_url_of_the_report_are_sent_as_a_header() {
    let kit = kit(|_| Flow::builder().apply("f").apply("f")).start().await;
    let url = kit.callback_url("end").replace("http://", "http://user:p%40ss@");
    let answer = kit.request("").header("x-faasflow-callback-url", url).answer().await;
    assert_eq!(answer.status, 202);
    let report = kit.until_called("callback/end", 1).await.remove(0);
    assert_eq!(report.header("authorization"), Some("Basic dXNlcjpwQHNz"));
    for call in kit.calls("f") {
        assert!(!format!("{:?}", call.headers).contains("p%40ss"), "{:?}", call.headers);
    }
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_is_not_followed() {
    let kit = kit(|url| Flow::builder().callback(storage(url)));
    let moved = Fake::answer(Reply::new("").status(302).header("location", "/callback/elsewhere"));
    let kit = kit.callback("storage", moved).start().await;
    assert_eq!(kit.request("").answer().await.status, 500);
    assert!(kit.calls("callback/elsewhere").is_empty());
}
