//! Requests that are run again, as new ones with the same input.

use super::*;

const CARD: &str = r#"{"card":{"number":"4111-1111"}}"#;

async fn again(kit: &Running, target: &str) -> Value {
    let answer = asked(kit, Method::POST, target).await;
    assert_eq!(answer.status, 202, "{target}: {}", answer.text());
    let told: Value = answer.json();
    let location = format!("/function/flow/_/requests/{}", told["id"].as_str().unwrap());
    assert_eq!(answer.header("location"), Some(location.as_str()));
    told
}

/// The ids of the requests that repeat this one.
async fn repeats(kit: &Running, original: &str) -> Vec<String> {
    let listed: Value = asked(kit, Method::GET, &format!("/_/requests?repeats={original}")).await.json();
    listed["requests"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_request_runs_again_with_the_recorded_input() {
    // Neither text nor small: the record refers to it.
    let body: Vec<u8> = (0..300_000_u32).flat_map(u32::to_be_bytes).collect();
    let kit = remembering(chain()).callback("end", Fake::echo());
    let kit = kit.start().await;
    let request = kit.request(body.clone()).query("size", "5").header("x-faasflow-request-id", "first");
    let request = request.header("content-type", "image/jpeg").header("x-tenant", "north");
    request.header("x-faasflow-callback-url", kit.callback_url("end")).answer().await;
    waited(&kit, "/_/requests/first/result").await;
    until(async || kit.calls("callback/end").len() == 1).await;

    let told = again(&kit, "/_/requests/first/again?id=second").await;
    assert_eq!(told, json!({ "version": 1, "id": "second", "status": "running", "repeats": "first" }));
    let result = waited(&kit, "/_/requests/second/result").await;
    assert_eq!((result.status.as_u16(), &result.body[..]), (200, &body[..]));
    assert_eq!(result.header("content-type"), Some("image/jpeg"));
    let calls = kit.calls("one");
    assert_eq!(calls.len(), 2);
    assert_eq!(calls[1].body, body);
    assert_eq!(calls[1].header("x-tenant"), Some("north"));
    assert_eq!(calls[1].header("content-type"), Some("image/jpeg"));
    assert_eq!(calls[1].header("x-faasflow-request-id"), Some("second"));
    assert_eq!(status(&kit, "second").await["repeats"], "first");
    assert_eq!(status(&kit, "first").await["repeats"], Value::Null);
    assert_eq!(repeats(&kit, "first").await, ["second"]);
    assert_eq!(kit.calls("callback/end").len(), 1, "nobody waits to be called back about the second request");
}

#[tokio::test]
async fn the_query_and_the_search_keys_are_those_of_the_original() {
    let flow = phases(&["one", "two"]).state(Memory::new()).search_key(|body: String| format!("order-{body}"));
    let flow = flow.modify(async |context: Context, body: String| format!("{body} {}", context.query("size").unwrap()));
    let kit = remembering(flow).start().await;
    kit.request("7").query("size", "5").header("x-faasflow-request-id", "first").answer().await;
    assert_eq!(waited(&kit, "/_/requests/first/result").await.text(), "7 5");
    again(&kit, "/_/requests/first/again?id=second").await;
    assert_eq!(waited(&kit, "/_/requests/second/result").await.text(), "7 5");
    assert_eq!(status(&kit, "second").await["keys"], json!(["order-7"]));
}

/// A request that is answered after its first phase is put into the queue like any other.
#[tokio::test]
async fn a_flow_with_one_phase_runs_again_in_the_queue() {
    let kit = remembering(Flow::builder().state(Memory::new()).apply(Call::new("one").sync())).start().await;
    kit.request("x").header("x-faasflow-request-id", "first").answer().await;
    kit.hold_queue();
    let told = again(&kit, "/_/requests/first/again").await;
    let id = told["id"].as_str().unwrap();
    assert_eq!(status(&kit, id).await["status"], "running");
    assert_eq!(kit.calls("one").len(), 1);
    kit.release_queue();
    assert_eq!(waited(&kit, &format!("/_/requests/{id}/result")).await.text(), "x");
}

#[tokio::test]
async fn asking_again_with_the_same_id_begins_nothing_twice() {
    let kit = remembering(chain()).start().await;
    kit.request("x").header("x-faasflow-request-id", "first").answer().await;
    assert_eq!(waited(&kit, "/_/requests/first/result").await.text(), "x");
    kit.hold_queue();
    for _ in 0..3 {
        again(&kit, "/_/requests/first/again?id=second").await;
    }
    let all = futures_util::future::join_all((0..20).map(|_| again(&kit, "/_/requests/first/again?id=third"))).await;
    assert_eq!(all.len(), 20);
    kit.release_queue();
    for id in ["second", "third"] {
        assert_eq!(waited(&kit, &format!("/_/requests/{id}/result")).await.text(), "x");
        again(&kit, &format!("/_/requests/first/again?id={id}")).await;
    }
    assert_eq!(["one", "two", "three"].map(|name| kit.calls(name).len()), [3, 3, 3]);
    let mut listed = repeats(&kit, "first").await;
    listed.sort();
    assert_eq!(listed, ["second", "third"]);
}

#[tokio::test]
async fn a_request_that_could_not_be_queued_begins_when_it_is_asked_for_again() {
    let kit = remembering(chain()).setting("write_timeout", "2s").start().await;
    kit.request("x").header("x-faasflow-request-id", "first").answer().await;
    assert_eq!(waited(&kit, "/_/requests/first/result").await.text(), "x");
    kit.stop_queue();
    let away = asked(&kit, Method::POST, "/_/requests/first/again?id=second").await;
    assert_eq!(away.status, 503, "{}", away.text());
    assert_eq!(away.json::<Value>()["request_id"], "second", "the caller needs it to ask again");
    kit.start_queue();
    again(&kit, "/_/requests/first/again?id=second").await;
    assert_eq!(waited(&kit, "/_/requests/second/result").await.text(), "x");
    assert_eq!(kit.calls("one").len(), 2);
}

#[tokio::test]
async fn secret_values_reach_the_functions_again() {
    let flow = chain().secret("/card/number").secret_header("x-api-key");
    let kit = remembering(flow).start().await;
    let request = kit.request(CARD).header("x-faasflow-request-id", "first").header("x-api-key", "key-9876");
    request.header("content-type", "application/json").answer().await;
    assert_eq!(waited(&kit, "/_/requests/first/result").await.text(), CARD);
    again(&kit, "/_/requests/first/again?id=second").await;
    assert_eq!(waited(&kit, "/_/requests/second/result").await.text(), CARD);
    let call = &kit.calls("one")[1];
    assert_eq!((call.text().as_str(), call.header("x-api-key")), (CARD, Some("key-9876")));
    let shown = asked(&kit, Method::GET, "/_/requests/second/input").await;
    assert_eq!(shown.json::<Value>()["card"]["number"], "[secret]");
    assert_eq!(shown.header("x-faasflow-masked"), Some("true"));
    let other = asked(&kit, Method::GET, "/_/requests/none/input").await;
    assert_eq!(other.header("x-faasflow-masked"), None);
}

#[tokio::test]
async fn what_cannot_run_again_is_refused_with_a_reason() {
    let kit = remembering(chain()).setting("keep_records", "1s").start().await;
    let send = async |id: &str, body: &str| {
        kit.request(body.to_owned()).header("x-faasflow-request-id", id).answer().await;
        waited(&kit, &format!("/_/requests/{id}/result")).await
    };
    let refused = async |target: &str, status: u16, code: &str, reason: &str| {
        let answer = asked(&kit, Method::POST, target).await;
        let found = (answer.status.as_u16(), answer.header("x-faasflow-error-code"));
        assert_eq!(found, (status, Some(code)), "{target}: {}", answer.text());
        assert!(answer.text().contains(reason), "{target}: {}", answer.text());
    };
    send("first", "x").await;
    refused("/_/requests/absent/again", 404, "FF0416", "knows no request with this id").await;
    refused("/_/requests/first/again?id=a%20b", 400, "FF0418", "`id` must be the id of the new request").await;
    refused("/_/requests/first/again?id=first", 400, "FF0418", "leave `id` out, or choose another one").await;
    refused("/_/requests/first/again?from=1", 400, "FF0418", "from").await;
    send("other", "another input").await;
    refused("/_/requests/first/again?id=other", 409, "FF0415", "is taken").await;
    let unsigned = kit.request("").path("/_/requests/first/again").answer().await;
    assert_eq!((unsigned.status.as_u16(), unsigned.header("x-faasflow-error-code")), (401, Some("FF0407")));
    let both = asked(&kit, Method::GET, "/_/requests?repeats=first&key=x").await;
    assert_eq!(both.status, 400, "{}", both.text());
    let expired = async || asked(&kit, Method::POST, "/_/requests/first/again?id=late").await;
    until(async || expired().await.status == 410).await;
    assert_eq!(expired().await.header("x-faasflow-error-code"), Some("FF0417"));
}

#[tokio::test]
async fn a_fresh_request_can_say_which_one_it_repeats() {
    let kit = remembering(chain()).start().await;
    let send = |id: &str, original: &str| {
        let request = kit.request("edited").header("x-faasflow-request-id", id);
        request.header("x-faasflow-repeats", original).answer()
    };
    assert_eq!(send("second", "first").await.status, 202);
    waited(&kit, "/_/requests/second/result").await;
    assert_eq!(status(&kit, "second").await["repeats"], "first");
    assert_eq!(repeats(&kit, "first").await, ["second"]);
    assert_eq!(kit.calls("one")[0].header("x-faasflow-repeats"), None);
    let refused = send("third", "not an id").await;
    assert_eq!((refused.status.as_u16(), refused.header("x-faasflow-error-code")), (400, Some("FF0424")));
    assert!(refused.text().contains("`X-Faasflow-Repeats` is not a valid request id"), "{}", refused.text());
}

#[tokio::test]
async fn a_request_runs_again_with_the_deployed_definition() {
    let memory = Memory::new();
    let kit = remembering(phases(&["one", "two"]).state(memory.clone())).start().await;
    kit.request("x").header("x-faasflow-request-id", "first").answer().await;
    assert_eq!(waited(&kit, "/_/requests/first/result").await.text(), "x");
    assert_eq!(status(&kit, "first").await["is_deployed"], true);
    kit.deploy(phases(&["one", "three"]).state(memory).build().unwrap()).await;
    assert_eq!(status(&kit, "first").await["is_deployed"], false);
    again(&kit, "/_/requests/first/again?id=second").await;
    assert_eq!(waited(&kit, "/_/requests/second/result").await.text(), "x");
    assert_eq!(["one", "two", "three"].map(|name| kit.calls(name).len()), [2, 1, 1]);
    assert_eq!(status(&kit, "second").await["is_deployed"], true);
}

/// An id stands for one request, whatever it repeats. Asking again lists it once, at the time when it began.
#[tokio::test]
async fn the_id_of_another_request_is_taken() {
    let kit = remembering(chain()).start().await;
    for id in ["first", "other", "plain"] {
        kit.request("x").header("x-faasflow-request-id", id).answer().await;
        waited(&kit, &format!("/_/requests/{id}/result")).await;
    }
    kit.hold_queue();
    for _ in 0..3 {
        again(&kit, "/_/requests/first/again?id=new").await;
    }
    for target in ["/_/requests/other/again?id=new", "/_/requests/first/again?id=plain"] {
        let answer = asked(&kit, Method::POST, target).await;
        let found = (answer.status.as_u16(), answer.header("x-faasflow-error-code"));
        assert_eq!(found, (409, Some("FF0415")), "{target}: {}", answer.text());
    }
    kit.release_queue();
    waited(&kit, "/_/requests/new/result").await;
    assert_eq!(repeats(&kit, "first").await, ["new"]);
    assert!(repeats(&kit, "other").await.is_empty());
    assert_eq!(kit.calls("one").len(), 4);
}
