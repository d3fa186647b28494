//! Each row of the response table of the design, over HTTP.

use std::time::Duration;

use crate::errors_page;
use crate::support::logs;
use faasflow::bytes::Bytes;
use faasflow::{
    BoxFuture, Call, Context, Error, Failure, Flow, FlowBuilder, Json, Outcome, Payload, Result, Scope, StateError,
    StateManager, code,
};
use faasflow_testkit::{Answer, Fake, Reply, Running, TestKit};
use http::HeaderMap;

fn kit(flow: FlowBuilder) -> TestKit {
    logs::capture();
    TestKit::new(flow.build().unwrap())
}

/// Two phases: `first`, then `second`, both of which echo.
async fn two_phases(settings: &[(&str, &str)]) -> Running {
    let kit = kit(Flow::builder().apply("first").apply("second"));
    let kit = settings.iter().fold(kit, |kit, (name, value)| kit.setting(*name, *value));
    kit.function("first", Fake::echo()).function("second", Fake::echo()).start().await
}

/// Sends a request whose second phase is held back, and returns the envelope.
async fn held_envelope(kit: &Running, payload: &'static str) -> (HeaderMap, Bytes) {
    kit.hold_queue();
    assert_eq!(kit.request(payload).answer().await.status, 202);
    kit.until_queued(1).await;
    kit.queued().pop().unwrap()
}

fn problem(answer: &Answer) -> serde_json::Value {
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let problem: serde_json::Value = answer.json();
    assert_eq!(problem["request_id"], answer.request_id());
    // In every row, a client that reads the header needs no JSON.
    assert_eq!(problem["code"].as_str(), answer.header("x-faasflow-error-code"), "{problem}");
    problem
}

#[tokio::test]
async fn a_one_phase_flow_that_succeeded_answers_200_and_the_payload_to_the_byte() {
    let photo: Vec<u8> = (0..=255).cycle().take(100_000).chain(*b"no newline").collect();
    let kit = kit(Flow::builder().apply("photo"))
        .function("photo", Fake::answer(Reply::new(photo.clone()).header("content-type", "image/x-raw; a=\"b\"")))
        .start()
        .await;
    let answer = kit.request("").answer().await;
    assert_eq!((answer.status.as_u16(), answer.outcome()), (200, Some(Outcome::Success)));
    assert_eq!(answer.body, photo);
    assert_eq!(answer.header("content-type"), Some("image/x-raw; a=\"b\""));
    assert!(!answer.request_id().is_empty());
}

#[tokio::test]
async fn the_first_of_several_phases_done_and_forwarded_answers_202_and_an_empty_body() {
    let kit = two_phases(&[]).await;
    let answer = kit.request("payload").answer().await;
    assert_eq!((answer.status.as_u16(), answer.text(), answer.outcome()), (202, String::new(), None));
    assert!(!answer.request_id().is_empty());
}

#[tokio::test]
async fn a_later_phase_done_answers_200_whether_forwarded_or_finished() {
    let flow = Flow::builder().apply("first").apply("second").apply("third");
    let kit = ["first", "second", "third"].into_iter().fold(kit(flow), |kit, name| kit.function(name, Fake::echo()));
    let kit = kit.start().await;
    let (headers, body) = held_envelope(&kit, "payload").await;
    let forwarded = kit.request(body).headers(headers).answer().await;
    assert_eq!((forwarded.status.as_u16(), forwarded.text(), forwarded.outcome()), (200, String::new(), None));
    kit.until_queued(2).await;
    let (headers, body) = kit.queued().pop().unwrap();
    let finished = kit.request(body).headers(headers).answer().await;
    assert_eq!((finished.status.as_u16(), finished.outcome()), (200, Some(Outcome::Success)));
    assert_eq!((finished.text().as_str(), finished.request_id()), ("payload", forwarded.request_id()));
}

#[tokio::test]
async fn a_failure_that_the_handler_recovered_answers_200_with_its_payload_and_no_further_phase_runs() {
    let kit = kit(Flow::builder()
        .apply("broken")
        .apply("second")
        .on_failure(async |_: Context, failure: Failure| failure.recover("as good as new")))
    .function("broken", Fake::failing(500))
    .start()
    .await;
    let answer = kit.request("").answer().await;
    assert_eq!((answer.status.as_u16(), answer.outcome()), (200, Some(Outcome::Recovered)));
    assert_eq!(answer.text(), "as good as new");
    assert!(kit.queued().is_empty() && kit.calls("second").is_empty());
}

#[tokio::test]
async fn a_failure_that_the_handler_replied_to_answers_500_with_its_payload() {
    let kit = kit(Flow::builder().apply("broken").on_failure(async |context: Context, failure: Failure| {
        failure.reply(Json(
            serde_json::json!({ "of": context.request_id(), "status": failure.status().unwrap().as_u16() }),
        ))
    }))
    .function("broken", Fake::failing(418))
    .start()
    .await;
    let answer = kit.request("").header("x-faasflow-request-id", "r-1").answer().await;
    assert_eq!((answer.status.as_u16(), answer.outcome()), (500, Some(Outcome::Failure)));
    assert_eq!(answer.text(), r#"{"of":"r-1","status":418}"#);
    assert_eq!(answer.header("content-type"), Some("application/json"));
}

#[tokio::test]
async fn a_failure_without_a_handler_answers_500_with_id_phase_step_and_reason_and_no_internals() {
    let kit = kit(Flow::builder().modify(async |_: ()| {
        Err::<(), _>(Error::from(std::io::Error::other("password=hunter2")).context("at db.internal"))
    }))
    .start()
    .await;
    let answer = kit.request("").header("x-faasflow-request-id", "r-2").answer().await;
    assert_eq!((answer.status.as_u16(), answer.outcome()), (500, Some(Outcome::Failure)));
    let problem = problem(&answer);
    assert_eq!((&problem["phase"], &problem["reason"]), (&1.into(), &"it returned an error".into()));
    assert!(problem["step"].as_str().unwrap().starts_with("modifier at response_table.rs:"), "{problem}");
    assert_eq!(problem.as_object().unwrap().len(), 5, "{problem}");
    assert!(logs::hold("r-2", "ERROR", "at db.internal: password=hunter2"), "the log gets all of it");
}

#[tokio::test]
async fn the_failure_of_a_function_shows_its_status_and_not_its_body() {
    let kit = kit(Flow::builder().apply("broken")).function("broken", Fake::failing(503)).start().await;
    let answer = kit.request("").header("x-faasflow-request-id", "r-3").answer().await;
    insta::assert_snapshot!(answer.text(), @r#"{"request_id":"r-3","phase":1,"step":"function `broken`","reason":"it answered 503 Service Unavailable","code":"FF0310"}"#);
    assert_eq!(answer.status, 500);
}

#[tokio::test]
async fn a_refusal_reaches_the_caller_word_for_word() {
    let kit = kit(Flow::builder().modify(async |_: ()| Err::<(), _>(Error::refused("exactly one face, found 2"))));
    let kit = kit.start().await;
    assert_eq!(problem(&kit.request("").answer().await)["reason"], "exactly one face, found 2");
}

#[tokio::test]
async fn a_later_phase_that_failed_and_was_handled_answers_200_to_the_queue_with_the_outcome_and_logs_the_error() {
    let flow = || Flow::builder().apply("first").apply("broken");
    for (flow, outcome) in [
        (flow(), Outcome::Failure),
        (flow().on_failure(async |_: Context, failure: Failure| failure.reply("no")), Outcome::Failure),
        (flow().on_failure(async |_: Context, failure: Failure| failure.recover("yes")), Outcome::Recovered),
    ] {
        let kit = kit(flow).function("first", Fake::echo()).function("broken", Fake::failing(500)).start().await;
        let (headers, body) = held_envelope(&kit, "").await;
        let answer = kit.request(body).headers(headers).answer().await;
        assert_eq!((answer.status.as_u16(), answer.outcome()), (200, Some(outcome)));
        let text = "step 2 (function `broken`) failed: it answered 500";
        assert!(logs::hold(answer.request_id(), "ERROR", text), "{:#?}", logs::lines_of(answer.request_id()));
    }
}

#[tokio::test]
async fn a_queue_that_refuses_until_the_deadline_answers_503_with_retry_after() {
    let kit = two_phases(&[("write_timeout", "1s")]).await;
    kit.stop_queue();
    let answer = kit.request("").answer().await;
    assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (503, Some("5")));
    assert_eq!(problem(&answer)["reason"], "the next phase cannot be queued now");
    assert!(logs::hold(answer.request_id(), "WARN", "Cannot forward to phase 2 yet"), "it tried again");
    kit.start_queue();
    assert_eq!(kit.request("again").send().await.text(), "again");
}

/// A gateway that answers everything with this status and text.
fn gateway_that_answers(status: &'static str, text: &'static str) -> String {
    use std::io::{BufRead as _, BufReader, Read as _, Write as _};

    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut reader = BufReader::new(&stream);
            let head = reader.by_ref().lines().map_while(std::io::Result::ok).take_while(|line| !line.is_empty());
            let length =
                head.filter_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok()).last();
            let _ = std::io::copy(&mut reader.take(length.unwrap_or(0)), &mut std::io::sink());
            let length = text.len();
            let _ = write!(&stream, "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{text}");
        }
    });
    address
}

#[tokio::test]
async fn a_queue_that_refuses_for_good_is_a_failure_whose_details_are_for_the_log() {
    let gateway = gateway_that_answers("403 Forbidden", "nats://user:secret@queue.internal");
    let first = Call::new("first").on_failure(async |_: Context, failure: Failure| failure.recover("first"));
    let kit = kit(Flow::builder().apply(first).apply("second")).setting("gateway", gateway).start().await;
    let answer = kit.request("").header("x-faasflow-request-id", "r-4").answer().await;
    assert_eq!((answer.status.as_u16(), answer.outcome()), (500, Some(Outcome::Failure)));
    let problem = problem(&answer);
    assert_eq!(
        (&problem["step"], &problem["reason"]),
        (&"forwarding to phase 2".into(), &"the queue refuses the next phase".into())
    );
    assert!(!answer.text().contains("internal"), "{}", answer.text());
    assert!(logs::hold("r-4", "ERROR", "secret@queue.internal"), "the log gets all of it");
}

/// A store that cannot be reached.
struct Unreachable;

impl StateManager for Unreachable {
    fn name(&self) -> &str {
        "unreachable"
    }

    fn get<'a>(&'a self, _: &'a Scope, _: &'a str) -> BoxFuture<'a, Result<Option<Bytes>, StateError>> {
        Box::pin(async { Err(StateError::temporary("db.internal:6379 refuses connections")) })
    }

    fn set<'a>(&'a self, _: &'a Scope, _: &'a str, _: Bytes) -> BoxFuture<'a, Result<(), StateError>> {
        Box::pin(async { Err(StateError::permanent("no such bucket: secret-bucket")) })
    }

    fn remove<'a>(&'a self, _: &'a Scope, _: &'a str) -> BoxFuture<'a, Result<(), StateError>> {
        Box::pin(async { Ok(()) })
    }

    fn remove_request<'a>(&'a self, _: &'a Scope) -> BoxFuture<'a, Result<(), StateError>> {
        Box::pin(async { Ok(()) })
    }
}

#[tokio::test]
async fn a_store_that_cannot_be_reached_answers_503_and_a_permanent_trouble_500() {
    let flow = Flow::builder().state(Unreachable).modify(async |context: Context, write: String| {
        match write.as_str() {
            "write" => context.set("k", 1).await?,
            _ => drop(context.get::<u8>("k").await.map_err(|error| error.context("reading k"))?),
        }
        Ok(())
    });
    let kit = kit(flow.on_failure(async |_: Context, failure: Failure| failure.reply("handled")));
    let kit = kit.setting("write_timeout", "2s").start().await;
    let passing = kit.request("read").answer().await;
    assert_eq!((passing.status.as_u16(), passing.header("retry-after")), (503, Some("5")));
    assert_eq!(problem(&passing)["reason"], "the state manager cannot be reached");
    let permanent = kit.request("write").answer().await;
    assert_eq!((permanent.status.as_u16(), permanent.text().as_str()), (500, "handled"));
}

#[tokio::test]
async fn a_bad_signature_answers_401_and_nothing_is_executed() {
    let kit = two_phases(&[]).await;
    let (mut headers, body) = held_envelope(&kit, "payload").await;
    let mut changed = body.to_vec();
    *changed.last_mut().unwrap() ^= 1;
    let refused = kit.request(changed).headers(headers.clone()).answer().await;
    assert_eq!(refused.status, 401);
    assert!(problem(&refused)["reason"].as_str().unwrap().starts_with("the signature does not match"));
    assert_eq!(problem(&refused)["code"], "FF0409");
    headers.remove("x-hub-signature");
    let refused = kit.request(body).headers(headers).answer().await;
    assert_eq!(refused.status, 401);
    assert!(problem(&refused)["reason"].as_str().unwrap().starts_with("the signature is missing"));
    assert!(kit.calls("second").is_empty());
}

#[tokio::test]
async fn a_malformed_envelope_answers_400() {
    let kit = two_phases(&[]).await;
    let (headers, body) = held_envelope(&kit, "payload").await;
    let refused = kit.request(body.slice(..body.len() - 1)).headers(headers).signed().answer().await;
    assert_eq!(refused.status, 400);
    assert_eq!(problem(&refused)["reason"], "the envelope is malformed: a section is longer than the envelope");
    assert!(kit.calls("second").is_empty());
}

#[tokio::test]
async fn an_envelope_of_an_unknown_version_answers_400() {
    let kit = two_phases(&[]).await;
    let (headers, body) = held_envelope(&kit, "payload").await;
    let mut future = body.to_vec();
    future[9] = 3;
    let refused = kit.request(future).headers(headers).signed().answer().await;
    assert_eq!(refused.status, 400);
    assert!(
        problem(&refused)["reason"]
            .as_str()
            .unwrap()
            .starts_with("the envelope has version 3, but this program reads only versions 1 and 2")
    );
}

#[tokio::test]
async fn an_envelope_of_another_flow_answers_400() {
    let other = two_phases(&[("workflow_name", "other")]).await;
    let (headers, body) = held_envelope(&other, "payload").await;
    let kit = two_phases(&[]).await;
    let refused = kit.request(body).headers(headers).answer().await;
    assert_eq!(refused.status, 400);
    assert_eq!(problem(&refused)["reason"], "the envelope belongs to the flow `other`, but this is the flow `flow`");
    errors_page::assert_quoted(code::OTHER_FLOW, problem(&refused)["reason"].as_str().unwrap());
    assert!(kit.calls("second").is_empty());
}

#[tokio::test]
async fn an_envelope_of_another_definition_answers_409_executes_nothing_and_logs_both_shapes() {
    let old = two_phases(&[]).await;
    let (headers, body) = held_envelope(&old, "payload").await;
    let new = kit(Flow::builder().apply("first").apply("third").finally(async |_: Context, _: Outcome| ()));
    let new = new.function("third", Fake::echo()).start().await;
    let refused = new.request(body).headers(headers.clone()).answer().await;
    assert_eq!(refused.status, 409);
    assert!(problem(&refused)["reason"].as_str().unwrap().contains("by another definition of this flow"));
    errors_page::assert_quoted(code::OTHER_DEFINITION, problem(&refused)["reason"].as_str().unwrap());
    assert_eq!(refused.request_id(), headers["x-faasflow-request-id"]);
    assert!(new.calls("third").is_empty());
    for shape in ["[call first] [call third]", "[call first] [call second]"] {
        assert!(logs::hold(refused.request_id(), "WARN", shape), "{shape}");
    }
    assert!(!logs::hold(refused.request_id(), "INFO", "Executing phase 2"));
}

#[tokio::test]
async fn a_body_over_the_limit_answers_413_and_one_at_the_limit_does_not() {
    let kit = kit(Flow::builder().modify(async |body: Bytes| body)).setting("max_body", "1000").start().await;
    assert_eq!(kit.request(vec![b'x'; 1000]).answer().await.status, 200);
    let refused = kit.request(vec![b'x'; 1001]).answer().await;
    assert_eq!(refused.status, 413);
    assert_eq!(problem(&refused)["reason"], "the body is larger than 1000 bytes; the setting is `max_body`");
}

#[tokio::test]
async fn the_request_id_is_the_callers_else_the_gateways_else_a_new_one_in_order_of_time() {
    let kit = kit(Flow::builder().modify(async |context: Context, _: ()| context.request_id().to_owned()).apply("f"))
        .function("f", Fake::echo())
        .start()
        .await;
    let own =
        kit.request("").header("x-faasflow-request-id", "own:1.2_3-4").header("x-call-id", "gateways").send().await;
    assert_eq!((own.text().as_str(), own.request_id()), ("own:1.2_3-4", "own:1.2_3-4"));
    let gateways = kit.request("").header("x-call-id", "gateways").send().await;
    assert_eq!(gateways.text(), "gateways");
    for invalid in ["", " ", ".", "..", "a b", "a/b", "a`b", &"x".repeat(129)] {
        let next = kit.request("").header("x-faasflow-request-id", invalid).header("x-call-id", "next").send().await;
        assert_eq!(next.text(), "next", "{invalid:?} is no id");
        let new = kit.request("").header("x-faasflow-request-id", invalid).send().await.text();
        assert_eq!((new.len(), new.as_bytes()[14]), (36, b'7'), "a UUID of version 7: {new}");
    }
    let (one, two) = (kit.request("").send().await.text(), kit.request("").send().await.text());
    assert_ne!(one, two);
    for call in kit.calls("f") {
        assert_eq!(call.header("x-call-id"), None, "the gateway's id is not the function's");
        assert_eq!(call.header("x-faasflow-request-id"), Some(call.text().as_str()));
    }
}

#[tokio::test]
async fn a_call_over_the_steps_time_answers_500_and_says_so() {
    let kit = kit(Flow::builder().apply(Call::new("slow"))).setting("write_timeout", "500ms");
    let kit = kit.function("slow", Fake::echo().slow(Duration::from_secs(20))).start().await;
    let answer = kit.request(Payload::new("x").into_bytes()).answer().await;
    assert_eq!(answer.status, 500);
    assert_eq!(problem(&answer)["reason"], "the invocation took longer than 500ms");
}

#[tokio::test]
async fn a_body_with_an_encoding_that_is_not_known_answers_415() {
    let kit = two_phases(&[]).await;
    let refused = kit.request("\u{1f}").header("content-encoding", "rot13").answer().await;
    assert_eq!(refused.status, 415);
    let reason = "the body cannot be used: its encoding is `rot13`, and only gzip, deflate, br, zstd can be decoded";
    assert_eq!(problem(&refused)["reason"], reason);
    assert_eq!(kit.request("x").header("content-encoding", "identity").answer().await.status, 202);
}
