//! The payloads of a request's places, and what the status says about attempts.

use super::*;

/// A signed request to this target, which is not encoded.
async fn signed(kit: &Running, target: &str) -> Answer {
    let (target, at) = (format!("/_/requests/{target}"), now_ms());
    let (name, signature) = kit.sign(api_request("flow", "GET", &target, at).as_bytes());
    let request = kit.request("").method(Method::GET).path(&target).header("x-faasflow-signed-at", at.to_string());
    let answer = request.header(name, signature.to_str().unwrap()).answer().await;
    contract::check(kit, "GET", &target, &answer).await;
    answer
}

/// A payload that was asked for with a signature: the answer must be 200.
pub(super) async fn payload(kit: &Running, target: &str) -> Answer {
    let answer = signed(kit, target).await;
    assert_eq!(answer.status, 200, "{target}: {}", answer.text());
    // A browser must not execute it.
    assert_eq!(answer.header("content-security-policy"), Some("sandbox; default-src 'none'"));
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    answer
}

/// The status, the code and the reason of a refusal.
pub(super) async fn refusal(kit: &Running, target: &str) -> (u16, String, String) {
    let answer = signed(kit, target).await;
    let told: Value = answer.json();
    let text = |name: &str| told[name].as_str().unwrap_or_default().to_owned();
    (answer.status.as_u16(), text("code"), text("reason"))
}

async fn send(kit: &Running, id: &str, body: impl Into<Vec<u8>>, content_type: &str) {
    let request = kit.request(body.into()).header("x-faasflow-request-id", id).header("content-type", content_type);
    assert_eq!(request.answer().await.status, 202);
}

/// The place with this text in a status.
fn place<'a>(told: &'a Value, text: &str) -> &'a Value {
    let places = told["places"].as_array().unwrap();
    places.iter().find(|place| place["place"] == text).unwrap_or_else(|| panic!("no place {text}: {told}"))
}

#[tokio::test]
async fn inputs_and_outputs_are_shown_byte_for_byte() {
    let double =
        Fake::with(|call| Reply::new([&call.body[..], &call.body[..]].concat()).header("content-type", "image/png"));
    let kit = remembering(chain()).function("one", double).start().await;
    send(&kit, "p", b"\xff<b>".to_vec(), "text/html").await;
    waited(&kit, "/_/requests/p").await;
    for (target, body, content_type) in [
        ("p/input", &b"\xff<b>"[..], "text/html"),
        ("p/input?place=1", b"\xff<b>", "text/html"),
        ("p/output?place=1", b"\xff<b>\xff<b>", "image/png"),
        ("p/input?place=2", b"\xff<b>\xff<b>", "image/png"),
        ("p/output?place=3", b"\xff<b>\xff<b>", "image/png"),
    ] {
        let answer = payload(&kit, target).await;
        assert_eq!((&answer.body[..], answer.header("content-type")), (body, Some(content_type)), "{target}");
    }
}

#[tokio::test]
async fn a_payload_that_is_not_there_is_refused_with_the_reason() {
    let kit = remembering(chain()).function("two", Fake::failing(400)).start().await;
    send(&kit, "q", "x", "text/plain").await;
    waited(&kit, "/_/requests/q").await;
    for (target, status, code, why) in [
        ("q/output?place=2", 404, "FF0418", "has failed"),
        ("q/input?place=3", 404, "FF0418", "has not reached the place `3`"),
        ("q/input?place=9", 404, "FF0418", "has no such place"),
        ("q/input?place=1.0/2", 404, "FF0418", "has no such place"),
        ("q/answer?place=1", 404, "FF0418", "did not fail because of an answer"),
        ("q/output", 400, "FF0418", "`place` must be a place"),
        ("q/input?place=01", 400, "FF0418", "`place` must be a place"),
        ("q/input?placing=1", 400, "FF0418", "placing"),
        ("unknown/input", 404, "FF0416", "knows no request"),
    ] {
        let (found, told, reason) = refusal(&kit, target).await;
        assert_eq!((found, told.as_str()), (status, code), "{target}: {reason}");
        assert!(reason.contains(why), "{target}: {reason}");
    }
    kit.hold_queue();
    send(&kit, "r", "x", "text/plain").await;
    assert!(refusal(&kit, "r/output?place=2").await.2.contains("has not ended"));
    assert_eq!(payload(&kit, "r/input?place=2").await.text(), "x");
}

/// A caller who knows the id may ask for the status, but not for what only the flow has seen.
#[tokio::test]
async fn payloads_are_shown_to_those_who_have_the_key() {
    let kit = remembering(chain()).start().await;
    send(&kit, "s", "secret", "text/plain").await;
    waited(&kit, "/_/requests/s").await;
    for what in ["input", "input?place=1", "output?place=1", "answer?place=1"] {
        let (path, query) = what.split_once('?').unwrap_or((what, ""));
        let request = kit.request("").method(Method::GET).path(format!("/_/requests/s/{path}"));
        let request = match query.split_once('=') {
            Some((name, value)) => request.query(name, value),
            None => request,
        };
        let answer = request.answer().await;
        assert_eq!((answer.status.as_u16(), answer.header("x-faasflow-error-code")), (401, Some("FF0407")), "{what}");
        assert!(!answer.text().contains("secret"), "{what}");
    }
}

#[tokio::test]
async fn what_is_joined_is_shown_with_the_outcome_of_each_branch() {
    let graph = Graph::new()
        .branch("a", Flow::builder().apply("one"))
        .branch("picture", Flow::builder().apply("two"))
        .branch("fails", Flow::builder().apply("three"))
        .branch("later", Flow::builder().apply("one"))
        .after("later", ["a"])
        .branch("never", Flow::builder().apply("one"))
        .after("never", ["fails"])
        .complete(Complete::Settled)
        .join(async |_: Context, _: faasflow::Branches| "joined");
    let picture = Fake::answer(Reply::new(&b"\x89PNG"[..]).header("content-type", "image/png"));
    let kit = remembering(Flow::builder().state(Memory::new()).graph(graph).apply("one"));
    let kit = kit.function("two", picture).function("three", Fake::failing(400)).start().await;
    send(&kit, "j", "{\"n\": 1.0}", "application/json").await;
    let told: Value = waited(&kit, "/_/requests/j").await.json();
    assert_eq!(told["status"], "success", "{told}");
    let places = told["places"].as_array().unwrap();
    let last = places.last().unwrap()["place"].as_str().unwrap();
    let joined = payload(&kit, &format!("j/input?place={last}")).await;
    assert_eq!(joined.header("content-type"), Some("application/vnd.faasflow.members+json"));
    // The output of a branch keeps its text.
    let members = joined.text();
    assert!(
        members
            .starts_with(r#"{"a":{"outcome":"done","bytes":10,"content_type":"application/json","output":{"n": 1.0}}"#),
        "{members}"
    );
    let members: Value = joined.json();
    assert_eq!(members["picture"], json!({ "outcome": "done", "bytes": 4, "content_type": "image/png" }));
    assert_eq!(members["fails"]["outcome"], "failed");
    assert!(members["fails"]["reason"].as_str().unwrap().contains("400"), "{members}");
    assert_eq!(members["never"], json!({ "outcome": "not_begun" }));
    // A branch after another one begins with the output of that one.
    let later = places.iter().find(|place| place["path"][0] == "later").unwrap()["place"].as_str().unwrap();
    let input: Value = payload(&kit, &format!("j/input?place={later}")).await.json();
    assert_eq!(input["a"]["output"], json!({ "n": 1.0 }));
    let never = later.replace(".3/", ".4/");
    assert_ne!(later, never);
    let (status, _, reason) = refusal(&kit, &format!("j/output?place={never}")).await;
    assert_eq!(status, 404, "{reason}");
}

/// The status lists only items that are open or have failed.
#[tokio::test]
async fn an_item_that_is_not_listed_has_its_payloads_too() {
    let items = ForEach::new(Flow::builder().apply("one").apply("two")).at_most(4);
    let double = Fake::with(|call| Reply::new(format!("{}0", call.text())));
    let kit = remembering(Flow::builder().state(Memory::new()).for_each(items).apply("three"));
    let kit = kit.function("one", double).start().await;
    let list: Vec<u32> = (1..=200).collect();
    send(&kit, "i", json!(list).to_string(), "application/json").await;
    let told: Value = waited(&kit, "/_/requests/i").await.json();
    assert_eq!(told["places"].as_array().unwrap().len(), 2, "{told}");
    for item in [0, 70, 199] {
        assert_eq!(payload(&kit, &format!("i/input?place=1.{item}/2")).await.text(), (item + 1).to_string());
        assert_eq!(payload(&kit, &format!("i/output?place=1.{item}/2")).await.text(), format!("{}0", item + 1));
        assert_eq!(payload(&kit, &format!("i/output?place=1.{item}/3")).await.text(), format!("{}0", item + 1));
    }
    assert_eq!(refusal(&kit, "i/input?place=1.200/2").await.0, 404);
    let joined: Value = payload(&kit, "i/input?place=4").await.json();
    assert_eq!(joined.as_array().unwrap().len(), 200);
    assert_eq!(
        joined[199],
        json!({ "outcome": "done", "bytes": 4, "content_type": "application/octet-stream", "output": 2000 })
    );
}

#[tokio::test]
async fn outputs_that_are_joined_are_shown_up_to_a_size() {
    let items = ForEach::new(Flow::builder().apply("one")).at_most(4);
    let large = Fake::with(|_| Reply::new(format!("\"{}\"", "x".repeat(300_000))));
    let kit = remembering(Flow::builder().state(Memory::new()).for_each(items).apply("two"));
    let kit = kit.function("one", large).function("two", Fake::answer("short")).start().await;
    send(&kit, "l", "[1,2,3,4,5]", "application/json").await;
    waited(&kit, "/_/requests/l").await;
    let joined: Value = payload(&kit, "l/input?place=3").await.json();
    let shown = joined.as_array().unwrap().iter().filter(|member| member["output"].is_string()).count();
    assert_eq!(shown, 3, "three of them fit into 1 MiB");
    assert_eq!(joined[4], json!({ "outcome": "done", "bytes": 300_002 }));
    // By itself, each is shown as a whole.
    assert_eq!(payload(&kit, "l/output?place=1.4/2").await.body.len(), 300_002);
}

#[tokio::test]
async fn the_answer_that_made_a_place_fail_is_kept() {
    let answers = Fake::with(|call| {
        let body = "no such parcel ".repeat(5000);
        Reply::new(format!("{}: {body}", call.text())).status(422).header("content-type", "text/plain")
    });
    let kit = remembering(chain()).function("two", answers).start().await;
    send(&kit, "a", "13", "text/plain").await;
    let told: Value = waited(&kit, "/_/requests/a").await.json();
    assert_eq!(told["status"], "failure");
    assert_eq!(place(&told, "2")["answer"], json!({ "status": 422, "bytes": 75_004, "content_type": "text/plain" }));
    assert!(!told.to_string().contains("parcel"), "a caller reads what a function has answered: {told}");
    let answer = payload(&kit, "a/answer?place=2").await;
    assert!(answer.text().starts_with("13: no such parcel "), "{}", answer.text());
    assert_eq!((answer.body.len(), answer.header("content-type")), (64 * 1024, Some("text/plain")));
    assert_eq!(payload(&kit, "a/input?place=2").await.text(), "13");
}

/// Only the answer said why, and only if its author had thought of that.
#[tokio::test]
async fn a_failure_to_which_a_handler_replied_is_told_with_its_reason_and_its_answer() {
    let sorry = |flow: FlowBuilder| flow.on_failure(async |_: Context, failure: Failure| failure.reply("sorry"));
    let step = |name: &str| Call::new(name).on_failure(async |_: Context, failure: Failure| failure.reply("sorry"));
    let graph = Graph::new().branch("a", Flow::builder().apply("one")).branch("b", sorry(Flow::builder().apply("two")));
    let flows = [
        ("of the flow", sorry(chain()), "2"),
        ("of a step", Flow::builder().state(Memory::new()).apply("one").apply(step("two")), "2"),
        ("of a branch", Flow::builder().state(Memory::new()).graph(graph).apply("three"), "1.1/3"),
    ];
    for (handler, flow, at) in flows {
        let kit = remembering(flow).function("two", Fake::with(|_| Reply::new("full").status(507))).start().await;
        send(&kit, "r", "x", "text/plain").await;
        let told: Value = waited(&kit, "/_/requests/r").await.json();
        assert_eq!(told["status"], "failure", "{handler}: {told}");
        let reason = &told["reason"];
        assert_eq!(
            (&reason["code"], &reason["name"]),
            (&json!("FF0310"), &json!("function `two`")),
            "{handler}: {told}"
        );
        assert!(reason["text"].as_str().unwrap().contains("507"), "{handler}: {told}");
        assert_eq!(reason["place"], at, "{handler}: {told}");
        let replied = place(&told, at);
        assert_eq!((&replied["status"], &replied["reason"]["code"]), (&json!("replied"), &json!("FF0310")), "{told}");
        assert_eq!(replied["answer"]["status"], 507, "{handler}: {told}");
        assert_eq!(payload(&kit, &format!("r/answer?place={at}")).await.text(), "full", "{handler}");
        assert_eq!(payload(&kit, &format!("r/output?place={at}")).await.text(), "sorry", "{handler}");
    }
}

#[tokio::test]
async fn each_attempt_is_told_with_its_times_and_its_reason() {
    let seen = Arc::new(AtomicUsize::new(0));
    let busy = Fake::with(move |call| match seen.fetch_add(1, SeqCst) {
        // The pause is longer than a phase may wait, so the queue delivers it again.
        0..3 => Reply::new("busy").status(503).header("retry-after", "3600"),
        _ => Reply::new(call.text()),
    });
    let kit = remembering(chain()).function("two", busy).start().await;
    send(&kit, "t", "x", "text/plain").await;
    let told: Value = waited(&kit, "/_/requests/t").await.json();
    let two = place(&told, "2");
    assert_eq!((&two["status"], &two["attempts"]), (&json!("done"), &json!(4)), "{told}");
    let attempts = two["given_up"].as_array().unwrap();
    assert_eq!(attempts.len(), 3, "{told}");
    let number = |value: &Value| value.as_u64().unwrap_or_else(|| panic!("not a number: {told}"));
    let mut before = number(&two["queued_ms"]);
    assert!(before >= number(&place(&told, "1")["last_began_ms"]), "{told}");
    assert_eq!(two["began_ms"], attempts[0]["began_ms"], "{told}");
    for attempt in attempts {
        assert!(attempt["text"].as_str().unwrap().contains("answered 503"), "{attempt}");
        let (began, given_up) = (number(&attempt["began_ms"]), number(&attempt["given_up_ms"]));
        assert!(before <= began && began <= given_up, "{told}");
        before = given_up;
    }
    assert!(before <= number(&two["last_began_ms"]) && two["last_began_ms"] != two["began_ms"], "{told}");
    assert_eq!(place(&told, "1").get("given_up"), None);
    assert_eq!(place(&told, "3")["last_began_ms"], place(&told, "3")["began_ms"]);
}

/// The queue lists the call of a place under the id that the status tells.
#[tokio::test]
async fn a_place_is_found_in_the_queue_by_its_call_id() {
    let kit = remembering(chain()).start().await;
    kit.hold_queue();
    send(&kit, "c", "x", "text/plain").await;
    let told = status(&kit, "c").await;
    let (headers, _) = kit.queued().remove(0);
    assert_eq!(place(&told, "2")["call_id"], headers["x-call-id"].to_str().unwrap(), "{told}");
    assert_eq!(place(&told, "1").get("call_id"), None);
}

#[tokio::test]
async fn payloads_of_a_request_that_was_started_again_are_those_of_the_generation_that_is_asked_for() {
    let seen = Arc::new(AtomicUsize::new(0));
    let once = Fake::with(move |call| match seen.fetch_add(1, SeqCst) {
        0 => Reply::new("no").status(400),
        _ => Reply::new(format!("{} again", call.text())),
    });
    let kit = remembering(chain()).function("two", once).start().await;
    send(&kit, "g", "x", "text/plain").await;
    waited(&kit, "/_/requests/g").await;
    did(&kit, "/_/requests/g/redrive").await;
    let told: Value = waited(&kit, "/_/requests/g").await.json();
    assert_eq!(told["status"], "success", "{told}");
    assert_eq!(payload(&kit, "g/input?place=2@1").await.text(), "x");
    assert_eq!(payload(&kit, "g/output?place=2@1").await.text(), "x again");
    let (status, _, reason) = refusal(&kit, "g/output?place=2").await;
    assert_eq!((status, reason.contains("the place `2` has failed")), (404, true), "{reason}");
    assert_eq!(payload(&kit, "g/answer?place=2").await.text(), "no");
}

#[tokio::test]
async fn a_request_names_its_trace_if_it_is_traced() {
    let kit = remembering(chain()).start().await;
    for (id, flags, expected) in [("traced", "01", Some("0af7651916cd43dd8448eb211c80319c")), ("not", "00", None)] {
        let parent = format!("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-{flags}");
        kit.request("x").header("x-faasflow-request-id", id).header("traceparent", parent).answer().await;
        let told: Value = waited(&kit, &format!("/_/requests/{id}")).await.json();
        assert_eq!(told["trace_id"].as_str(), expected, "{told}");
    }
}

#[tokio::test]
async fn secret_fields_are_masked_in_every_payload() {
    let card = r#"{"number":"4111111111111111","name":"Ada"}"#;
    let quotes = r#"{"number":"4111111111111111","error":"4111111111111111 was declined"}"#;
    let refuses = Fake::answer(Reply::new(quotes).status(422));
    let flow = chain().secret("/number").secret("/*/number");
    let kit = remembering(flow).function("three", refuses).start().await;
    send(&kit, "s", card, "application/json").await;
    waited(&kit, "/_/requests/s").await;
    for target in ["s/input", "s/input?place=1", "s/output?place=1", "s/input?place=3"] {
        let answer = payload(&kit, target).await;
        assert_eq!(answer.json::<Value>(), json!({ "number": "[secret]", "name": "Ada" }), "{target}");
    }
    let answer = payload(&kit, "s/answer?place=3").await;
    assert_eq!(answer.json::<Value>(), json!({ "number": "[secret]", "error": "[secret] was declined" }));
    send(&kit, "t", "4111111111111111 Ada", "text/plain").await;
    waited(&kit, "/_/requests/t").await;
    let hidden = payload(&kit, "t/input").await;
    assert!(hidden.text().starts_with("This payload is not shown: "), "{}", hidden.text());

    let each = ForEach::new(Flow::builder().apply("one"));
    let flow = Flow::builder().state(Memory::new()).for_each(each).apply("two").secret("/number").secret("/*/number");
    let kit = remembering(flow).start().await;
    send(&kit, "e", format!("[{card}]"), "application/json").await;
    let ended: Value = waited(&kit, "/_/requests/e").await.json();
    let places = ended["places"].as_array().unwrap();
    let targets =
        places.iter().flat_map(|place| ["input", "output"].map(|what| (what, place["place"].as_str().unwrap())));
    for (what, place) in targets {
        let answer = signed(&kit, &format!("e/{what}?place={place}")).await;
        let text = answer.text();
        assert!(!text.contains("4111"), "{what} of {place}: {text}");
        // The fork itself has no output.
        let has_none = answer.status == 404 || text.is_empty();
        assert!(text.contains("[secret]") || has_none, "{what} of {place}: {} {text}", answer.status);
    }
}
