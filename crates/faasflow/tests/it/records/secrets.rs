//! Secret fields, which are not shown.

use std::sync::atomic::AtomicBool;

use faasflow::bytes::Bytes;
use faasflow::{BoxFuture, Error, Json, Scope, StateError, StateManager as _};

use super::payloads::payload;
use super::*;
use crate::support::logs;
use crate::support::store::{Behaviour, Store};

const CARD: &str = r#"{"card":{"number":"4111-1111","name":"Ada"},"note":"x"}"#;

/// A flow that tells what it should not.
fn telling(memory: &Memory) -> FlowBuilder {
    let check = async |Json(order): Json<Value>| match order["note"].as_str() {
        Some("refused") => Err(Error::refused(format!("the card {} was refused", order["card"]["number"]))),
        _ => Ok(Json(order)),
    };
    Flow::builder().state(memory.clone()).secret("/card/number").secret_header("x-api-key").apply("one").modify(check)
}

async fn send(kit: &Running, id: &str, body: impl Into<String>) -> Answer {
    let request = kit.request(body.into()).header("x-faasflow-request-id", id).header("x-api-key", "key-9876");
    request.header("content-type", "application/json").header("prefer", "wait=20").answer().await
}

#[tokio::test]
async fn the_caller_gets_the_result_as_it_is_and_people_without_secrets() {
    let kit = remembering(telling(&Memory::new())).start().await;
    assert_eq!(send(&kit, "r", CARD).await.json::<Value>()["card"]["number"], "4111-1111");
    assert_eq!(kit.calls("one")[0].text(), CARD, "functions get the value");
    let result = get(&kit, "/_/requests/r/result").await;
    assert_eq!(result.json::<Value>()["card"]["number"], "4111-1111");
    let masked =
        kit.request("").method(Method::GET).path("/_/requests/r/result").query("masked", "true").answer().await;
    assert_eq!(masked.json::<Value>(), json!({ "card": { "number": "[secret]", "name": "Ada" }, "note": "x" }));
    assert_eq!(masked.header("content-type"), Some("application/json"));
    let refused = kit.request("").method(Method::GET).path("/_/requests/r/result").query("masked", "1").answer().await;
    assert_eq!(refused.status, 400);
}

#[tokio::test]
async fn a_payload_that_is_not_json_is_not_shown() {
    let flow = Flow::builder().state(Memory::new()).secret("/pin").apply("one").apply("two");
    let kit = remembering(flow).start().await;
    assert_eq!(send(&kit, "n", "pin=4711").await.text(), "pin=4711");
    let masked =
        kit.request("").method(Method::GET).path("/_/requests/n/result").query("masked", "true").answer().await;
    assert!(masked.text().starts_with("This payload is not shown: the flow has secret fields"), "{}", masked.text());
    assert_eq!(masked.header("content-type"), Some("text/plain; charset=utf-8"));
}

#[tokio::test]
async fn reasons_and_log_lines_do_not_tell_a_secret() {
    logs::capture();
    let refuses = CARD.replace("\"x\"", "\"refused\"");
    let kit = remembering(telling(&Memory::new())).start().await;
    let answer = send(&kit, "secret-reason", refuses).await;
    assert_eq!(answer.status, 500);
    assert!(answer.text().contains("the card \\\"[secret]\\\" was refused"), "{}", answer.text());
    let told = status(&kit, "secret-reason").await;
    assert_eq!(told["reason"]["text"], "the card \"[secret]\" was refused", "{told}");
    let lines = logs::lines_of("secret-reason");
    assert!(lines.iter().any(|line| line.contains("[secret]")), "{lines:#?}");
    assert!(!lines.iter().any(|line| line.contains("4111-1111")), "{lines:#?}");

    // The error of a handler is only in the log. It quotes the value.
    let echoing = async |_: Context, Json(order): Json<Value>| {
        Err::<(), _>(Error::msg(format!("no host {} for {}", "key-9876", order["card"]["number"])))
    };
    let flow = Flow::builder().state(Memory::new()).secret("/card/number").secret_header("x-api-key").modify(echoing);
    let kit = remembering(flow.apply("one").apply("two")).start().await;
    send(&kit, "secret-log", CARD).await;
    let lines = logs::lines_of("secret-log");
    let text = "no host [secret] for \"[secret]\"";
    assert!(lines.iter().any(|line| line.contains(text)), "{lines:#?}");
    assert!(!lines.iter().any(|line| line.contains("4111-1111") || line.contains("key-9876")), "{lines:#?}");
}

/// Credentials are masked even if the flow does not declare them, and so are their parts.
#[tokio::test]
async fn reasons_and_log_lines_do_not_tell_a_credential() {
    logs::capture();
    let refuses = async |_: Context, _: String| {
        Err::<(), _>(Error::refused("t0ken-5678 has expired, and so have c00kie-1 and zürich-9"))
    };
    let flow = Flow::builder().state(Memory::new()).secret_header("x-city").apply("one").modify(refuses);
    let kit = remembering(flow.apply("two")).start().await;
    let request = kit.request("x").header("x-faasflow-request-id", "credential-reason").header("prefer", "wait=20");
    let request = request.header("authorization", "Bearer t0ken-5678").header("cookie", "a=1; session=c00kie-1");
    let answer = request.header("x-city", "zürich-9").answer().await;
    let text = "[secret] has expired, and so have [secret] and [secret]";
    assert!(answer.text().contains(text), "{}", answer.text());
    let told = status(&kit, "credential-reason").await;
    assert_eq!(told["reason"]["text"], text, "{told}");
    let lines = logs::lines_of("credential-reason");
    assert!(lines.iter().any(|line| line.contains(text)), "{lines:#?}");
    let tells = |line: &String| ["t0ken", "c00kie", "zürich"].iter().any(|secret| line.contains(secret));
    assert!(!lines.iter().any(tells), "{lines:#?}");
}

/// A function that fails with an answer that repeats these values.
fn quoting(values: &'static str) -> Fake {
    Fake::with(move |_| Reply::new(json!({ "error": values }).to_string()).status(422).header("x-quotes", values))
}

/// A function that returns a secret.
fn issuing(number: &'static str) -> Fake {
    Fake::with(move |_| Reply::new(json!({ "number": number }).to_string()).header("content-type", "application/json"))
}

async fn assert_masked(kit: &Running, id: &str, place: &str, text: &str) {
    let body: Value = payload(kit, &format!("{id}/answer?place={place}")).await.json();
    assert_eq!(body, json!({ "error": text }), "{id}, {place}");
    let head: Value = payload(kit, &format!("{id}/answer/head?place={place}")).await.json();
    let quotes = head["headers"].as_array().unwrap().iter().find(|header| header["name"] == "x-quotes").unwrap();
    assert_eq!(quotes["value"], text, "{id}, {place}: {head}");
}

/// The functions of a place may know what the request was sent with, and they know what the place began with.
#[tokio::test]
async fn an_answer_of_an_item_does_not_tell_a_secret_of_the_request_or_of_the_item() {
    let item = Flow::builder().apply("one");
    let flow = Flow::builder().state(Memory::new()).for_each(ForEach::new(item)).secret("/number").secret("/*/key");
    let kit = remembering(flow).function("one", quoting("item-4444 of key-5555, not 6666")).start().await;
    send(&kit, "item", r#"[{"number":"item-4444","key":"key-5555"}]"#).await;
    waited(&kit, "/_/requests/item").await;
    assert_masked(&kit, "item", "1.0/2", "[secret] of [secret], not 6666").await;
}

#[tokio::test]
async fn an_answer_of_a_later_phase_does_not_tell_a_secret_of_the_request() {
    let flow = Flow::builder().state(Memory::new()).apply("one").apply("two").secret("/number").secret("/key");
    let kit = remembering(flow).function("one", issuing("out-7777"));
    let kit = kit.function("two", quoting("out-7777 of key-5555")).start().await;
    send(&kit, "later", r#"{"key":"key-5555"}"#).await;
    waited(&kit, "/_/requests/later").await;
    assert_masked(&kit, "later", "2", "[secret] of [secret]").await;
}

#[tokio::test]
async fn an_answer_after_a_join_does_not_tell_a_secret_of_what_is_joined() {
    for (id, pointer) in [("join-member", "/number"), ("join-list", "/*/number")] {
        let items = ForEach::new(Flow::builder().apply("one"));
        let flow = Flow::builder().state(Memory::new()).for_each(items).apply("two").secret(pointer).secret("/0/key");
        let kit = remembering(flow).function("one", issuing("out-7777"));
        let kit = kit.function("two", quoting("out-7777 of key-5555")).start().await;
        send(&kit, id, r#"[{"key":"key-5555"}]"#).await;
        waited(&kit, &format!("/_/requests/{id}")).await;
        assert_masked(&kit, id, "3", "[secret] of [secret]").await;
    }
}

#[tokio::test]
async fn an_answer_of_a_branch_does_not_tell_a_secret_of_the_branches_before_it() {
    for (id, pointer) in [("branch-output", "/number"), ("branch-input", "/a/number")] {
        let graph = Graph::new().branch("a", Flow::builder().apply("one")).branch("b", Flow::builder().apply("two"));
        let graph = graph.after("b", ["a"]);
        let flow = Flow::builder().state(Memory::new()).graph(graph).secret(pointer).secret("/key");
        let kit = remembering(flow).function("one", issuing("out-7777"));
        let kit = kit.function("two", quoting("out-7777 of key-5555")).start().await;
        send(&kit, id, r#"{"key":"key-5555"}"#).await;
        let told: Value = waited(&kit, &format!("/_/requests/{id}")).await.json();
        let failed = told["places"].as_array().unwrap().iter().find(|place| place["answer"]["status"] == 422);
        let place = failed.unwrap_or_else(|| panic!("{told}"))["place"].as_str().unwrap();
        assert_masked(&kit, id, place, "[secret] of [secret]").await;
    }
}

/// What is stored keeps its values.
#[tokio::test]
async fn a_redrive_sends_the_values() {
    let kit = remembering(telling(&Memory::new()).apply("two")).function("two", Fake::echo().after_failing(1, 400));
    let kit = kit.start().await;
    assert_eq!(send(&kit, "again", CARD).await.status, 500);
    did(&kit, "/_/requests/again/redrive").await;
    assert_eq!(waited(&kit, "/_/requests/again/result").await.json::<Value>()["card"]["number"], "4111-1111");
    let calls = kit.calls("two");
    assert_eq!(calls.len(), 2);
    for call in calls {
        assert_eq!(serde_json::from_str::<Value>(&call.text()).unwrap()["card"]["number"], "4111-1111");
    }
}

/// What a step returns is the input of the next one, and is looked at there too.
#[tokio::test]
async fn a_secret_that_a_step_returns_is_masked_in_the_input_of_the_next_one() {
    let issue =
        Fake::with(|_| Reply::new(r#"{"token":"t-0815","for":"you"}"#).header("content-type", "application/json"));
    let flow = Flow::builder().state(Memory::new()).secret("/token").apply("one").apply("two");
    let kit = remembering(flow).function("one", issue).start().await;
    send(&kit, "next", "{}").await;
    waited(&kit, "/_/requests/next").await;
    assert!(kit.calls("two")[0].text().contains("t-0815"), "functions get the value");
    for target in ["next/output?place=1", "next/input?place=2", "next/output?place=2"] {
        let shown: Value = payload(&kit, target).await.json();
        assert_eq!(shown, json!({ "token": "[secret]", "for": "you" }), "{target}");
    }
}

/// A state manager that loses payloads.
#[derive(Clone, Default)]
struct Forgetful {
    memory: Memory,
    has_lost: Arc<AtomicBool>,
}

impl Behaviour for Forgetful {
    fn memory(&self) -> &Memory {
        &self.memory
    }

    fn supports_records(&self) -> bool {
        true
    }

    fn get<'a>(&'a self, scope: &'a Scope, key: &'a str) -> BoxFuture<'a, Result<Option<Bytes>, StateError>> {
        match self.has_lost.load(SeqCst) && key.starts_with("payload/") {
            true => Box::pin(async { Ok(None) }),
            false => self.memory.get(scope, key),
        }
    }
}

/// Without the payload, it is not known which values are secret.
#[tokio::test]
async fn nothing_is_shown_that_may_repeat_a_payload_that_is_lost() {
    for (has_fields, status, why) in
        [(true, 404, "is no longer kept, so it is not known which values are secret"), (false, 200, "")]
    {
        let store = Forgetful::default();
        let flow = Flow::builder().state(Store(store.clone())).apply("one").apply("two");
        let flow = if has_fields { flow.secret("/key") } else { flow };
        let kit = remembering(flow).function("two", quoting("key-5555")).setting("intermediate_storage", "true");
        let kit = kit.start().await;
        send(&kit, "lost", r#"{"key":"key-5555"}"#).await;
        waited(&kit, "/_/requests/lost").await;
        payload(&kit, "lost/answer?place=2").await;
        store.has_lost.store(true, SeqCst);
        for target in ["lost/input/head", "lost/answer/head?place=2", "lost/answer?place=2"] {
            let answer = asked(&kit, Method::GET, &format!("/_/requests/{target}")).await;
            assert_eq!(answer.status, status, "{target}: {}", answer.text());
            assert!(answer.text().contains(why), "{target}: {}", answer.text());
            assert_eq!(answer.header("x-faasflow-error-code"), has_fields.then_some("FF0418"), "{target}");
        }
    }
}
