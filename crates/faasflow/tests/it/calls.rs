//! What calls and callbacks send, and how they treat the answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use faasflow::bytes::Bytes;
use faasflow::{
    Call, CallResponse, Context, Error, Failure, FailureKind, Flow, Json, Method, Outcome, Query, RequestState, Retry,
    StatusCode,
};
use faasflow_testkit::{Fake, Reply, Running, TestKit};

/// A flow of one call of `f`, which does as `fake` does.
async fn one_call(call: Call, fake: Fake) -> Running {
    TestKit::new(Flow::builder().apply(call).build().unwrap()).function("f", fake).start().await
}

/// Retries without long waits.
fn quickly(attempts: u32) -> Retry {
    Retry::attempts(attempts).initial_delay(Duration::from_millis(2))
}

fn reason(text: &str) -> String {
    serde_json::from_str::<serde_json::Value>(text).unwrap()["reason"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn method_headers_and_query_are_sent_as_set() {
    let call = Call::new("f")
        .method(Method::PATCH)
        .header("accept", "image/jpeg")
        .header("x-twice", "1")
        .header("x-twice", "2")
        .header_with("x-name", |context| format!("{}.jpg", context.request_id()))
        .header_with("x-absent", |context| context.query("absent"))
        .query("tag", "a b")
        .query("tag", "ä&=")
        .query_with("token", |context| context.query("token"))
        .query_with("absent", |context| context.query("absent"));
    let kit = one_call(call, Fake::echo()).await;
    // What the step says takes the place of what the caller said.
    let request = kit.request("").query("token", "t/1").header("accept", "text/html").header("x-twice", "0");
    request.header("x-faasflow-request-id", "id").send().await;
    let call = kit.calls("f").remove(0);
    assert_eq!(call.method, Method::PATCH);
    assert_eq!(call.query.as_deref(), Some("tag=a+b&tag=%C3%A4%26%3D&token=t%2F1"));
    assert_eq!(
        (call.header("accept"), call.header("x-name"), call.header("x-absent")),
        (Some("image/jpeg"), Some("id.jpg"), None)
    );
    assert_eq!(call.headers.get_all("accept").iter().count(), 1);
    assert_eq!(call.headers.get_all("x-twice").iter().collect::<Vec<_>>(), ["1", "2"]);
    let gateway = kit.gateway_url();
    assert_eq!(call.headers.get_all("host").iter().collect::<Vec<_>>(), [gateway.strip_prefix("http://").unwrap()]);
}

#[tokio::test]
async fn headers_and_queries_are_made_from_extractors() {
    #[derive(serde::Deserialize)]
    struct Size {
        width: u32,
    }
    #[derive(serde::Deserialize)]
    struct Login {
        token: Option<String>,
    }
    let call = Call::new("f")
        .query("first", "1")
        .query_from("half", |Query(size): Query<Size>, _: Context| size.width / 2)
        .query_from("absent", |context: Context| context.query("absent"))
        .query_with("last", |context| context.query("width"))
        .header_from("x-token", |RequestState(login): RequestState<Login>| login.token);
    let keep = async |context: Context, photo: Bytes| context.set("token", "t").await.map(|()| photo);
    let flow = Flow::builder().modify(keep).apply("g").apply(call).build().unwrap();
    let kit = TestKit::new(flow).function("f", Fake::echo()).function("g", Fake::echo()).start().await;
    kit.request("photo").query("width", "80").send().await;
    let call = kit.calls("f").remove(0);
    assert_eq!(call.query.as_deref(), Some("first=1&half=40&last=80"));
    assert_eq!((call.header("x-token"), call.text().as_str()), (Some("t"), "photo"));

    let answer = kit.request("photo").query("width", "wide").send().await;
    assert_eq!((answer.outcome(), kit.calls("f").len()), (Some(Outcome::Failure), 1));
    assert!(reason(&answer.text()).starts_with("the query is not valid: width"), "{}", answer.text());
}

#[tokio::test]
async fn a_step_may_set_the_host_header() {
    let kit = one_call(Call::new("f").header("host", "f.example.com"), Fake::echo()).await;
    kit.request("").answer().await;
    assert_eq!(kit.calls("f")[0].headers.get_all("host").iter().collect::<Vec<_>>(), ["f.example.com"]);
}

#[tokio::test]
async fn a_header_value_that_cannot_be_sent_is_the_failure_of_its_step() {
    let call = Call::new("f").header_with("x-name", |context| context.query("name"));
    let kit = one_call(call, Fake::echo()).await;
    let answer = kit.request("").query("name", "a\r\nx-admin: 1").answer().await;
    assert_eq!((answer.status.as_u16(), kit.calls("f").len()), (500, 0));
}

#[tokio::test]
async fn a_call_that_sets_no_method_uses_the_setting_and_a_get_has_no_body() {
    let flow = Flow::builder().apply("f").build().unwrap();
    let kit = TestKit::new(flow).function("f", Fake::answer("got")).setting("default_method", "get").start().await;
    assert_eq!(kit.request("body").header("content-type", "text/plain").send().await.text(), "got");
    let call = kit.calls("f").remove(0);
    assert_eq!((call.method, call.body.len()), (Method::GET, 0));
    assert_eq!(call.headers.get("content-type"), None);
}

#[tokio::test]
async fn an_answer_is_the_input_of_the_next_function_with_its_content_type() {
    let flow = Flow::builder().apply("f").apply(Call::new("g").sync()).apply("h").build().unwrap();
    let kit = TestKit::new(flow)
        .function("f", Fake::json(&[1, 2]))
        .function("g", Fake::answer(Reply::new("untyped").status(201)))
        .function("h", Fake::echo())
        .start()
        .await;
    let end = kit.request("<a/>").header("content-type", "text/xml").send().await;
    let of = |name: &str| kit.calls(name)[0].header("content-type").map(str::to_owned);
    assert_eq!(of("f").as_deref(), Some("text/xml"));
    assert_eq!(of("g").as_deref(), Some("application/json"));
    assert_eq!(of("h").as_deref(), Some("application/octet-stream"));
    assert_eq!((end.text().as_str(), end.outcome()), ("untyped", Some(Outcome::Success)));
}

#[tokio::test]
async fn a_timeout_bounds_one_attempt_and_fails_the_step_with_its_length() {
    let call = Call::new("f").timeout(Duration::from_millis(50)).retry(quickly(2));
    let kit = one_call(call, Fake::hanging()).await;
    let answer = kit.request("").answer().await;
    assert_eq!((answer.status.as_u16(), reason(&answer.text()).as_str()), (500, "no answer within 50ms"));
    assert_eq!(kit.calls("f").len(), 2);
    let call = Call::new("f").timeout(Duration::from_millis(50)).retry(quickly(9).on_timeout(false));
    let kit = one_call(call, Fake::hanging()).await;
    assert_eq!(kit.request("").answer().await.status, 500);
    assert_eq!(kit.calls("f").len(), 1, "it was told not to try again");
}

#[tokio::test]
async fn retries_are_limited_and_all_attempts_carry_the_same_idempotency_key() {
    let kit = one_call(Call::new("f").retry(quickly(4)), Fake::echo().after_failing(3, 503)).await;
    assert_eq!(kit.request("at last").send().await.text(), "at last");
    let keys: Vec<_> = kit.calls("f").iter().map(|call| call.header("idempotency-key").unwrap().to_owned()).collect();
    assert_eq!(keys.len(), 4);
    assert!(keys.iter().all(|key| *key == keys[0]), "{keys:?}");
    kit.request("").send().await;
    assert_ne!(kit.calls("f").pop().unwrap().header("idempotency-key"), Some(keys[0].as_str()), "another request");

    let kit = one_call(Call::new("f").retry(quickly(3)), Fake::failing(503)).await;
    assert_eq!(kit.request("").answer().await.status, 500);
    assert_eq!(kit.calls("f").len(), 3);
}

#[tokio::test]
async fn two_steps_that_call_the_same_function_have_different_keys() {
    let flow = Flow::builder().apply("f").apply(Call::new("f").sync()).apply("f").build().unwrap();
    let kit = TestKit::new(flow).function("f", Fake::echo()).start().await;
    kit.request("").send().await;
    let mut keys: Vec<_> =
        kit.calls("f").iter().map(|call| call.header("idempotency-key").unwrap().to_owned()).collect();
    keys.dedup();
    assert_eq!(keys.len(), 3, "{keys:?}");
}

#[tokio::test]
async fn only_the_statuses_that_are_set_are_retried() {
    for (status, retry, calls) in [
        (503, quickly(2), 2),
        (429, quickly(2), 2),
        (500, quickly(2), 1),
        (404, quickly(2), 1),
        (503, Retry::never(), 1),
        (418, quickly(2).on_statuses([StatusCode::IM_A_TEAPOT]), 2),
        (503, quickly(2).on_statuses([StatusCode::IM_A_TEAPOT]), 1),
    ] {
        let kit = one_call(Call::new("f").retry(retry), Fake::failing(status)).await;
        assert_eq!(kit.request("").answer().await.status, 500);
        assert_eq!(kit.calls("f").len(), calls, "{status}");
    }
}

#[tokio::test]
async fn retry_after_is_the_least_to_wait() {
    let busy = Fake::answer(Reply::new("busy").status(429).header("retry-after", "1"));
    let begun = Instant::now();
    let kit = one_call(Call::new("f").retry(quickly(2)), busy).await;
    kit.request("").answer().await;
    assert_eq!(kit.calls("f").len(), 2);
    assert!(begun.elapsed() >= Duration::from_secs(1), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_retry_after_beyond_the_deadline_ends_the_attempts_however_absurd_it_is() {
    for asked in ["3600", "18446744073709551615", "Fri, 31 Dec 9999 23:59:59 GMT"] {
        let busy = Fake::answer(Reply::new("busy").status(503).header("retry-after", asked));
        let kit = one_call(Call::new("f").retry(quickly(5)), busy).await;
        let answer = kit.request("").answer().await;
        assert_eq!(reason(&answer.text()), "it answered 503 Service Unavailable", "{asked}");
        assert_eq!(kit.calls("f").len(), 1);
    }
}

#[tokio::test]
async fn an_absurd_timeout_is_no_timeout() {
    let kit = one_call(Call::new("f").timeout(Duration::MAX), Fake::echo()).await;
    assert_eq!(kit.request("x").answer().await.text(), "x");
}

#[tokio::test]
async fn a_calls_failure_handler_recovers_replies_or_leaves_it_to_the_flows() {
    let flow = |call: Call| {
        Flow::builder()
            .apply(call)
            .modify(async |text: String| format!("then {text}"))
            .on_failure(async |_: Context, failure: Failure| failure.reply(format!("the flow's: {}", failure.step())))
            .build()
            .unwrap()
    };
    let f = || Call::new("f");
    for (call, status, text) in [
        (f().on_failure(async |_: Context, failure: Failure| failure.recover("recovered")), 200, "then recovered"),
        (f().on_failure(async |_: Context, failure: Failure| failure.reply("replied")), 500, "replied"),
        (f().on_failure(async |_: Context, failure: Failure| failure.decline()), 500, "the flow's: function `f`"),
        (f().on_failure(async |_: Context, _: Failure| Err(Error::msg("itself"))), 500, "the flow's: function `f`"),
        (f(), 500, "the flow's: function `f`"),
    ] {
        let kit = TestKit::new(flow(call)).function("f", Fake::failing(500)).start().await;
        let answer = kit.request("").answer().await;
        assert_eq!((answer.status.as_u16(), answer.text().as_str()), (status, text));
    }
}

#[tokio::test]
async fn a_failure_handler_can_read_every_detail_of_the_failure() {
    let flow = Flow::builder().modify(async |text: String| text).apply(Call::new("f").on_failure(
        async |context: Context, failure: Failure| {
            assert!(matches!(failure.kind(), FailureKind::Response(_)));
            let answer = failure.response().unwrap();
            failure.recover(Json(serde_json::json!([
                failure.phase(),
                failure.step_number(),
                failure.step(),
                answer.status().as_u16(),
                answer.header("x-why"),
                std::str::from_utf8(answer.payload().bytes()).unwrap(),
                std::str::from_utf8(failure.payload().bytes()).unwrap(),
                context.query("q"),
            ])))
        },
    ));
    let broken = Fake::answer(Reply::new("too dark").status(422).header("x-why", "night"));
    let kit = TestKit::new(flow.build().unwrap()).function("f", broken).start().await;
    let answer = kit.request("in").query("q", "1").answer().await;
    assert_eq!(answer.text(), r#"[1,2,"function `f`",422,"night","too dark","in","1"]"#);
}

#[tokio::test]
async fn the_flows_handler_gets_the_input_of_the_failed_step() {
    let failing_call = Flow::builder().modify(async |text: String| text + "put").apply("f");
    let failing_modifier = Flow::builder()
        .modify(async |text: String| text + "put")
        .modify(async |_: String| Err::<(), _>(Error::msg("no")));
    for flow in [failing_call, failing_modifier] {
        let flow = flow.on_failure(async |_: Context, failure: Failure| failure.recover(failure.payload().clone()));
        let kit = TestKit::new(flow.build().unwrap()).function("f", Fake::failing(500)).start().await;
        assert_eq!(kit.request("in").answer().await.text(), "input");
    }
}

/// Bytes that tell when nobody holds them any more.
struct DropFlag(Arc<AtomicBool>);

impl AsRef<[u8]> for DropFlag {
    fn as_ref(&self) -> &[u8] {
        b"payload"
    }
}

impl Drop for DropFlag {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn the_input_of_a_call_is_kept_while_its_answer_is_read_only_if_it_may_be_needed() {
    async fn freed(call: Call, handled: bool) -> String {
        let freed = Arc::new(AtomicBool::new(false));
        let watched = freed.clone();
        let call = call.on_response(move |_: Context, response: CallResponse| {
            assert_eq!(response.payload().bytes(), "payload");
            std::future::ready(freed.load(Ordering::SeqCst).to_string())
        });
        let given = move |(): ()| std::future::ready(Bytes::from_owner(DropFlag(watched.clone())));
        let mut flow = Flow::builder().modify(given).apply(call);
        if handled {
            flow = flow.on_failure(async |_: Context, failure: Failure| failure.decline());
        }
        let kit = TestKit::new(flow.build().unwrap()).function("f", Fake::echo()).start().await;
        kit.request("").answer().await.text()
    }
    let f = || Call::new("f");
    assert_eq!(freed(f(), false).await, "true");
    assert_eq!(freed(f(), true).await, "false");
    assert_eq!(freed(f().on_failure(async |_: Context, failure: Failure| failure.decline()), false).await, "false");
}

#[tokio::test]
async fn on_response_reads_any_answer_and_its_error_is_the_steps_failure() {
    let read = || {
        Call::new("f").retry(quickly(2)).on_response(async |_: Context, response: CallResponse| {
            match response.status().as_u16() {
                404 => Ok("nothing there".to_owned()),
                200 => Err(Error::refused("it said yes")),
                status => Ok(status.to_string()),
            }
        })
    };
    for (status, expected) in [(404, "nothing there"), (302, "302"), (503, "503")] {
        let kit = one_call(read(), Fake::failing(status)).await;
        assert_eq!(kit.request("").answer().await.text(), expected);
        assert_eq!(kit.calls("f").len(), if status == 503 { 2 } else { 1 });
    }
    let kit = one_call(read(), Fake::echo()).await;
    assert_eq!(reason(&kit.request("").answer().await.text()), "it said yes");
}

#[tokio::test]
async fn an_answer_over_the_limit_fails_without_being_read_into_memory() {
    let flow = Flow::builder().apply("f").build().unwrap();
    let kit = TestKit::new(flow).function("f", Fake::answer(vec![0; 2001])).setting("max_body", "2000").start().await;
    assert_eq!(reason(&kit.request("").answer().await.text()), "its answer is larger than 2000 bytes");
}
