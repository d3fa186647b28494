//! What the Go original got wrong, end to end: one regression for each of its defects. Those that show at
//! start-up or in the core alone are held there too, under the same numbers.

use crate::support::logs;
use faasflow::bytes::Bytes;
use faasflow::{Call, Callback, Context, Failure, Flow, FlowBuilder, Method, Outcome, Result};
use faasflow_testkit::{Fake, Reply, Running, TestKit};
use http::HeaderMap;

fn kit(flow: FlowBuilder) -> TestKit {
    logs::capture();
    let kit = TestKit::new(flow.build().unwrap());
    ["a", "b", "c"].into_iter().fold(kit, |kit, name| kit.function(name, Fake::echo()))
}

/// Sends a request whose next phase is held back, and returns the envelope.
async fn held_envelope(kit: &Running, payload: impl Into<Bytes>) -> (HeaderMap, Bytes) {
    kit.hold_queue();
    assert_eq!(kit.request(payload).answer().await.status, 202);
    kit.until_queued(1).await;
    kit.queued().pop().unwrap()
}

/// An address that nobody listens on.
fn nobody() -> String {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

/// The same envelope at another phase.
fn at_phase(envelope: &[u8], phase: i64) -> Vec<u8> {
    let end = 14 + u32::from_be_bytes(envelope[10..14].try_into().unwrap()) as usize;
    let mut header: serde_json::Value = serde_json::from_slice(&envelope[14..end]).unwrap();
    header["position"]["phase"] = phase.into();
    let header = serde_json::to_vec(&header).unwrap();
    let length = u32::try_from(header.len()).unwrap().to_be_bytes();
    [&envelope[..10], &length, &header, &envelope[end..]].concat()
}

#[tokio::test]
async fn defect_01_the_method_is_the_one_that_is_set() {
    let flow = Flow::builder().apply(Call::new("a").method(Method::PUT)).apply("b");
    let kit = kit(flow).start().await;
    kit.request("body").send().await;
    let (put, post) = (kit.calls("a").remove(0), kit.calls("b").remove(0));
    assert_eq!((put.method.as_str(), put.text().as_str(), put.header("method")), ("PUT", "body", None));
    assert_eq!(post.method, Method::POST);
}

#[tokio::test]
async fn defect_02_queries_are_encoded_and_appended_to_that_of_the_url() {
    let kit = TestKit::define(|url| {
        let callback = Callback::new(format!("{url}/callback/bucket?id=33")).query("file name", "a&b=c/ä?.jpg");
        Flow::builder().apply(Call::new("a").query("k", "v")).callback(callback).build().unwrap()
    });
    let kit = kit.function("a", Fake::echo()).start().await;
    kit.request("").send().await;
    assert_eq!(kit.calls("a")[0].query.as_deref(), Some("k=v"));
    assert_eq!(kit.calls("callback/bucket")[0].query.as_deref(), Some("id=33&file+name=a%26b%3Dc%2F%C3%A4%3F.jpg"));
}

#[tokio::test]
async fn defect_03_no_part_of_a_partial_request_takes_the_place_of_another() {
    let all = async |context: Context, payload: String| {
        let stored: String = context.get("kept").await?.unwrap_or_default();
        Result::Ok(format!(
            "{} {} {:?} {:?} {stored} {payload}",
            context.request_id(),
            context.phase(),
            context.query("q"),
            context.header("x-own")
        ))
    };
    let flow = Flow::builder()
        .modify(async |context: Context, payload: String| {
            context.set("kept", "state").await?;
            Ok(payload)
        })
        .apply("a")
        .apply("b")
        .modify(all);
    let kit = kit(flow).start().await;
    let request = kit.request("payload").query("q", "query").header("x-own", "header");
    let end = request.header("x-faasflow-request-id", "id").send().await;
    assert_eq!(end.text(), r#"id 2 Some("query") Some("header") state payload"#);
    assert_eq!(kit.calls("b")[0].header("content-type"), Some("text/plain; charset=utf-8"));
}

#[tokio::test]
async fn defect_04_nobody_without_the_key_forges_an_envelope_or_jumps_a_phase() {
    let kit = kit(Flow::builder().apply("a").apply("b").apply("c")).start().await;
    let (headers, envelope) = held_envelope(&kit, "payload").await;
    let jump = at_phase(&envelope, 3);
    let known = faasflow_core::signature::Keys::parse("a key that everybody knows").unwrap().sign([&jump[..]]);
    for forged in [
        // Nothing at all, the signature of another envelope, and one by another key.
        kit.request(jump.clone()).header("content-type", "application/vnd.faasflow.envelope"),
        kit.request(jump.clone()).headers(headers),
        kit.request(jump)
            .header("content-type", "Application/Vnd.Faasflow.Envelope; charset=x")
            .header("x-hub-signature", known),
    ] {
        assert_eq!(forged.answer().await.status, 401);
    }
    assert_eq!((kit.calls("b").len(), kit.calls("c").len()), (0, 0));
}

#[tokio::test]
async fn defect_05_a_request_that_cannot_be_verified_gets_401() {
    let kit = kit(Flow::builder().apply("a")).setting("verify_request", "true").start().await;
    assert_eq!(kit.request("body").answer().await.status, 401);
    // SHA-1 is not taken, though this is the right one for the kit's key; nor is a signature of another body.
    let sha1 = "sha1=738f0ac9609114dd2c6090348972a750b6913722";
    assert_eq!(kit.request("payload").header("x-hub-signature", sha1).answer().await.status, 401);
    let (name, value) = kit.sign(b"another body");
    assert_eq!(kit.request("body").header(name, value.to_str().unwrap()).answer().await.status, 401);
    assert!(kit.calls("a").is_empty());
    assert_eq!(kit.request("body").signed().answer().await.text(), "body");
}

#[tokio::test]
async fn defect_06_a_gateway_or_callback_that_is_down_is_an_error_and_no_crash() {
    let callback = |_: &str| Flow::builder().callback(format!("{}/x", nobody())).build().unwrap();
    let down = TestKit::define(callback).setting("write_timeout", "500ms").start().await;
    for _ in 0..2 {
        let answer = down.request("").answer().await;
        assert_eq!(answer.status, 503);
        let reason = answer.json::<serde_json::Value>()["reason"].as_str().unwrap().to_owned();
        assert!(reason.starts_with("callback to `127.0.0.1:") && reason.ends_with("cannot be reached"), "{reason}");
    }
    let flow = Flow::builder().modify(async |_: ()| ()).apply("a").apply("b");
    let down = kit(flow).setting("gateway", nobody()).setting("write_timeout", "500ms").start().await;
    let answer = down.request("").answer().await;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.json::<serde_json::Value>()["reason"], "the gateway cannot be reached");
}

#[tokio::test]
async fn defect_07_a_recovered_failure_ends_the_request_with_the_handlers_payload() {
    let flow = |call: &str| {
        Flow::builder()
            .apply("a")
            .apply(call)
            .apply("c")
            .on_failure(async |_: Context, failure: Failure| failure.recover("recovered"))
    };
    let kit = kit(flow("broken")).function("broken", Fake::failing(500)).start().await;
    let end = kit.request("").header("x-faasflow-request-id", "defect-7").send().await;
    assert_eq!((end.status.as_u16(), end.text().as_str(), end.outcome()), (202, "recovered", Some(Outcome::Recovered)));
    assert_eq!(kit.until_delivered(1).await, [200], "the queue is told that it is over");
    assert_eq!((kit.calls("broken").len(), kit.calls("c").len(), kit.queued().len()), (1, 0, 0));
    assert!(!logs::hold("defect-7", "INFO", "Completed successfully"));

    let one = TestKit::new(flow("broken").build().unwrap()).function("a", Fake::failing(500)).start().await;
    let answer = one.request("").answer().await;
    assert_eq!((answer.status.as_u16(), answer.text().as_str()), (200, "recovered"));
}

#[tokio::test]
async fn defect_08_the_queue_the_log_and_the_caller_learn_of_a_failure_in_a_later_phase() {
    let kit = kit(Flow::builder().apply("a").apply("broken")).function("broken", Fake::failing(502)).start().await;
    let end = kit.request("").send().await;
    assert_eq!(end.outcome(), Some(Outcome::Failure));
    let problem_of_end: serde_json::Value = end.json();
    assert_eq!(
        (&problem_of_end["phase"], &problem_of_end["reason"]),
        (&2.into(), &"it answered 502 Bad Gateway".into())
    );
    let text = "step 2 (function `broken`) failed: it answered 502 Bad Gateway";
    assert!(logs::hold(end.request_id(), "ERROR", text), "{:#?}", logs::lines_of(end.request_id()));
    assert_eq!(kit.until_delivered(1).await, [200], "it has been dealt with: the queue is not to deliver it again");
}

#[tokio::test]
async fn defect_09_a_redelivery_runs_one_phase_and_its_continuation_is_known_as_the_same() {
    let kit = kit(Flow::builder().apply("a").apply("b").apply("c")).start().await;
    let (headers, envelope) = held_envelope(&kit, "payload").await;
    for _ in 0..2 {
        assert_eq!(kit.request(envelope.clone()).headers(headers.clone()).answer().await.status, 200);
    }
    assert_eq!((kit.calls("a").len(), kit.calls("b").len(), kit.calls("c").len()), (1, 2, 0));
    // One queued by the first phase and one by each delivery of the second: a queue drops what it has.
    let ids: Vec<_> = kit.queued().iter().map(|(headers, _)| headers["x-call-id"].clone()).collect();
    assert_eq!(ids.len(), 3);
    assert!(ids[0] != ids[1] && ids[1] == ids[2], "{ids:?}");
    let keys: Vec<_> = kit.calls("b").iter().map(|call| call.header("idempotency-key").unwrap().to_owned()).collect();
    assert_eq!(keys[0], keys[1], "the function can know the second call as the first one's repetition");
}

#[tokio::test]
async fn defect_10_the_callers_callback_url_gets_the_result_once_at_the_end() {
    let kit = kit(Flow::builder().apply("a").apply("b").apply("c")).start().await;
    let request = kit.request("photo").header("content-type", "image/jpeg");
    let (own, gateways) = (kit.callback_url("own"), kit.callback_url("gateways"));
    // The gateway's own header reports each invocation: it must not travel on with the request.
    let answer = request.header("x-faasflow-callback-url", own).header("x-callback-url", gateways).answer().await;
    assert_eq!(answer.status, 202);
    let report = kit.until_called("callback/own", 1).await.remove(0);
    assert_eq!((report.text().as_str(), report.header("content-type")), ("photo", Some("image/jpeg")));
    assert_eq!(report.header("x-faasflow-request-id"), Some(answer.request_id()));
    kit.until_delivered(2).await;
    assert_eq!((kit.calls("callback/own").len(), kit.calls("callback/gateways").len()), (1, 0));
    for call in ["a", "b", "c"].map(|name| kit.calls(name).remove(0)) {
        assert_eq!((call.header("x-callback-url"), call.header("x-faasflow-callback-url")), (None, None));
    }
}

#[tokio::test]
async fn defect_11_binary_data_comes_through_to_the_byte() {
    let kit = kit(Flow::builder().apply("a").modify(async |bytes: Bytes| bytes).apply("b")).start().await;
    let odd: Vec<u8> = (0..=255).rev().chain(*b"\r\n\0").collect();
    for sent in [odd, b"x".to_vec(), Vec::new()] {
        assert_eq!(kit.request(sent.clone()).send().await.body, sent);
        assert_eq!(kit.calls("b").pop().unwrap().body, sent);
    }
}

#[tokio::test]
async fn defect_12_log_lines_are_part_of_the_output_only_on_request() {
    let flow = || Flow::builder().modify(async |text: String| text);
    let plain = kit(flow()).start().await.request("output").answer().await;
    assert_eq!(plain.text(), "output");
    let kit = kit(flow()).setting("combine_output", "true").start().await;
    let both = kit.request("output").header("x-faasflow-request-id", "id").answer().await.text();
    assert!(both.starts_with("[Request `id`] Created\n[Request `id`] Executing phase 1\n"), "{both}");
    assert!(both.ends_with("[Request `id`] Completed successfully\noutput"), "{both}");
}

#[tokio::test]
async fn defect_13_a_trace_goes_through_all_phases() {
    let kit = kit(Flow::builder().apply("a").apply("b").apply("c")).setting("enable_tracing", "true").start().await;
    let (parent, state) = ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "vendor=x");
    kit.request("").header("traceparent", parent).header("tracestate", state).send().await;
    for call in ["a", "b", "c"].map(|name| kit.calls(name).remove(0)) {
        let trace_id = call.header("traceparent").and_then(|parent| parent.split('-').nth(1));
        assert_eq!(trace_id, Some("0af7651916cd43dd8448eb211c80319c"));
        assert_eq!(call.header("tracestate"), Some(state));
    }
}

#[tokio::test]
async fn defect_14_shrunk_definitions_absurd_positions_and_missing_state_do_not_panic() {
    let old = kit(Flow::builder().apply("a").apply("b").apply("c")).start().await;
    let (headers, envelope) = held_envelope(&old, "").await;
    let flow = Flow::builder().apply("a").apply("b").modify(async |context: Context, _: ()| {
        let missing: Option<String> = context.get("missing").await?;
        Ok(format!("{missing:?}"))
    });
    let shrunk = kit(flow).start().await;
    assert_eq!(shrunk.request(envelope).headers(headers).answer().await.status, 409);
    let (headers, envelope) = held_envelope(&shrunk, "").await;
    for phase in [-1, 0, 3, 99, i64::from(u32::MAX), i64::MAX] {
        let absurd = shrunk.request(at_phase(&envelope, phase)).headers(headers.clone()).signed();
        assert_eq!(absurd.answer().await.status, 400, "{phase}");
    }
    assert!(shrunk.calls("b").is_empty());
    let end = shrunk.request(envelope).headers(headers).answer().await;
    assert_eq!(end.text(), "None", "the process lives, and state that is missing is none");
}

#[tokio::test]
async fn defect_15_a_payload_near_the_queues_limit_passes_and_one_over_it_fails_before_the_post() {
    let kit = kit(Flow::builder().apply("a").apply("b")).start().await;
    let large = vec![0xff; 254_000];
    assert_eq!(kit.request(large.clone()).send().await.body, large);
    let answer = kit.request(vec![0xff; 256_000]).answer().await;
    assert_eq!((answer.status.as_u16(), answer.outcome()), (500, Some(Outcome::Failure)));
    let reason = answer.json::<serde_json::Value>()["reason"].as_str().unwrap().to_owned();
    assert!(reason.contains("over the limit of 256000: ") && reason.contains("raise `envelope_limit`"), "{reason}");
    assert_eq!(kit.calls("b").len(), 1);
}

#[tokio::test]
async fn defect_16_a_calls_failure_handler_decides_the_data_and_never_loses_it_silently() {
    let flow = |call: Call| Flow::builder().apply(call).modify(async |text: String| format!("then {text}"));
    let broken = || Fake::answer(Reply::new("the error's body").status(500));
    let recovers =
        Call::new("broken").on_failure(async |_: Context, failure: Failure| failure.recover(failure.payload().clone()));
    let recovered = kit(flow(recovers)).function("broken", broken()).start().await;
    assert_eq!(recovered.request("data").answer().await.text(), "then data");
    let declines = Call::new("broken").on_failure(async |_: Context, failure: Failure| failure.decline());
    let declined = kit(flow(declines)).function("broken", broken()).start().await.request("data").answer().await;
    assert_eq!(declined.status, 500);
    assert!(!declined.text().contains("the error's body"), "{}", declined.text());
}

#[tokio::test]
async fn defect_17_the_callers_headers_and_content_type_reach_the_functions_of_every_phase() {
    let kit = kit(Flow::builder().apply("a").apply("b")).start().await;
    let request = kit.request("{}").header("content-type", "application/json").header("x-tenant", "t1");
    request.header("x-tenant", "t2").header("authorization", "Bearer b").send().await;
    for call in ["a", "b"].map(|name| kit.calls(name).remove(0)) {
        assert_eq!(call.header("content-type"), Some("application/json"));
        assert_eq!(call.header("authorization"), Some("Bearer b"));
        let tenants: Vec<_> = call.headers.get_all("x-tenant").iter().collect();
        assert_eq!(tenants, ["t1", "t2"]);
    }
}

#[tokio::test]
async fn defect_18_an_envelope_holds_the_payload_once() {
    let kit = kit(Flow::builder().apply("a").apply("b")).start().await;
    let (_, envelope) = held_envelope(&kit, "the only one").await;
    let count = envelope.windows(12).filter(|window| window == b"the only one").count();
    assert_eq!(count, 1);
}

#[tokio::test]
async fn defect_20_a_failure_is_an_answer_and_not_the_end_of_the_process() {
    let flow = Flow::builder().modify(async |text: String| {
        assert_ne!(text, "panic", "on purpose");
        Ok(text.parse::<u8>()?.to_string())
    });
    let kit = kit(flow).setting("write_timeout", "5s").start().await;
    for bad in ["panic", "no number", "300"] {
        let answer = kit.request(bad).answer().await;
        assert_eq!((answer.status.as_u16(), answer.outcome()), (500, Some(Outcome::Failure)));
        assert_eq!(answer.json::<serde_json::Value>()["request_id"], answer.request_id());
    }
    assert_eq!(kit.request("7").answer().await.text(), "7");
}
