//! What is told of the generations before a redrive: deliveries, steps, calls and answers.

use super::payloads::{payload, refusal};
use super::*;
use crate::deployments::deploy;

async fn send(kit: &Running, id: &str, body: &str) {
    let answer = kit.request(body.to_owned()).header("x-faasflow-request-id", id).answer().await;
    assert_eq!(answer.status, 202, "{}", answer.text());
}

/// Waits until the request has ended, and redrives it.
async fn redriven(kit: &Running, id: &str, target: &str) {
    waited(kit, &format!("/_/requests/{id}")).await;
    until(async || asked(kit, Method::POST, &format!("/_/requests/{id}/{target}")).await.status == 200).await;
}

/// The statuses of the calls of the only step that is told.
fn statuses(told: &Value) -> Vec<u64> {
    let steps = told["step_times"].as_array().unwrap_or_else(|| panic!("no steps: {told}"));
    assert_eq!((steps.len(), &steps[0]["name"]), (1, &json!("function `two`")), "{told}");
    steps[0]["calls"].as_array().unwrap().iter().map(|call| call["status"].as_u64().unwrap()).collect()
}

#[tokio::test]
async fn each_generation_tells_its_deliveries_its_calls_and_its_answer() {
    let seen = Arc::new(AtomicUsize::new(0));
    let two = Fake::with(move |call| match seen.fetch_add(1, SeqCst) {
        0 | 3 => Reply::new("busy").status(503).header("retry-after", "0"),
        // This pause is longer than a phase may wait, so the queue delivers it again.
        1 => Reply::new("busy").status(503).header("retry-after", "3600"),
        2 => Reply::new("the first refusal").status(422).header("x-why", "one"),
        4 => Reply::new("the second refusal").status(409).header("x-why", "two"),
        _ => Reply::new(call.text()),
    });
    let kit = remembering(chain()).function("two", two).start().await;
    send(&kit, "g", "x").await;
    for _ in 0..2 {
        redriven(&kit, "g", "redrive").await;
    }
    let told: Value = waited(&kit, "/_/requests/g").await.json();
    assert_eq!((&told["status"], &told["generation"]), (&json!("success"), &json!(2)), "{told}");
    let now = &told["places"][1];
    let [first, second] = now["earlier"].as_array().unwrap().as_slice() else { panic!("{told}") };
    assert_eq!(
        (&first["place"], &second["place"], &now["place"]),
        (&json!("2"), &json!("2@1"), &json!("2@2")),
        "{told}"
    );

    // A single call is not told apart from its delivery.
    assert_eq!((first["attempts"].as_u64(), first.get("step_times")), (Some(2), None), "{told}");
    let [given_up] = first["given_up"].as_array().unwrap().as_slice() else { panic!("{told}") };
    assert_eq!((statuses(given_up), &given_up["code"]), (vec![503, 503], &json!("FF0317")), "{told}");
    assert_eq!(
        (first["answer"]["status"].as_u64(), first["answer"]["bytes"].as_u64()),
        (Some(422), Some(17)),
        "{told}"
    );
    let times = [&first["began_ms"], &given_up["given_up_ms"], &first["last_began_ms"], &first["done_ms"]];
    let times = times.map(|time| time.as_u64().unwrap_or_else(|| panic!("no time: {told}")));
    assert!(times.is_sorted(), "{told}");

    assert_eq!((second["attempts"].as_u64(), second.get("given_up")), (Some(1), None), "{told}");
    assert_eq!((statuses(second), second["answer"]["status"].as_u64()), (vec![503, 409], Some(409)), "{told}");
    assert!(times[3] <= second["began_ms"].as_u64().unwrap(), "{told}");
    assert_eq!((now.get("step_times"), now.get("answer")), (None, None), "{told}");
    for one in [first, second] {
        assert_eq!(one.get("details_left_out"), None, "{told}");
    }

    for (place, text, header) in [("2", "the first refusal", "one"), ("2@1", "the second refusal", "two")] {
        assert_eq!(payload(&kit, &format!("g/answer?place={place}")).await.text(), text);
        let head = payload(&kit, &format!("g/answer/head?place={place}")).await.json::<Value>();
        let why = json!({ "name": "x-why", "value": header });
        assert!(head["headers"].as_array().unwrap().contains(&why), "{head}");
        assert_eq!(payload(&kit, &format!("g/input?place={place}")).await.text(), "x");
    }
    assert_eq!(refusal(&kit, "g/answer?place=2@2").await.0, 404);
    assert_eq!(refusal(&kit, "g/answer?place=2@3").await.0, 404);
}

#[tokio::test]
async fn if_there_is_much_to_tell_the_earliest_generations_lose_their_details() {
    let items = || ForEach::new(Flow::builder().apply("one")).complete(Complete::Settled);
    let graph = Graph::new().branch("a", Flow::builder().for_each(items()));
    let graph = graph.branch("b", Flow::builder().for_each(items()));
    let kit = remembering(Flow::builder().state(Memory::new()).graph(graph).apply("two"));
    let kit = kit.function("one", Fake::failing(422)).function("two", Fake::failing(400)).start().await;
    send(&kit, "m", "[1,2,3,4,5,6,7,8,9,10,11]").await;
    for _ in 0..5 {
        redriven(&kit, "m", "redrive").await;
    }
    let told: Value = waited(&kit, "/_/requests/m").await.json();
    assert_eq!((&told["status"], &told["generation"]), (&json!("failure"), &json!(5)), "{told}");
    let failed: Vec<_> =
        told["places"].as_array().unwrap().iter().filter(|place| place["status"] == "failed").collect();
    assert_eq!(failed.len(), 23, "{told}");
    // Each failure has an answer, which counts as 20 details, and there may be 2000.
    let mut left_out = Vec::new();
    for place in &failed {
        let earlier = place["earlier"].as_array().unwrap();
        let generations: Vec<_> = earlier.iter().map(|one| one["generation"].as_u64().unwrap()).collect();
        assert_eq!(generations, [0, 1, 2, 3, 4], "{place}");
        for one in earlier {
            assert_eq!(one.get("answer").is_none(), one["details_left_out"] == true, "{one}");
            assert_eq!(one["reason"]["code"], "FF0310", "{one}");
        }
        left_out.extend(earlier.iter().filter(|one| one.get("answer").is_none()).map(|one| (place, one)));
    }
    assert_eq!(left_out.len(), 23 * 5 - 100, "{told}");
    assert!(left_out.iter().all(|(_, one)| one["generation"] == 0), "{left_out:?}");
    // The answer about a single place has room for them.
    let target = format!("/_/requests/m/place?place={}", left_out[0].0["place"].as_str().unwrap());
    let place: Value = asked(&kit, Method::GET, &target).await.json();
    let earlier = &place["place"]["earlier"][0];
    assert_eq!((earlier["answer"]["status"].as_u64(), earlier.get("details_left_out")), (Some(422), None), "{place}");
}

#[tokio::test]
async fn a_success_that_was_used_again_is_told_once() {
    let two = Fake::echo().after_failing(1, 400);
    let kit = remembering(chain()).function("two", two).start().await;
    send(&kit, "s", "x").await;
    redriven(&kit, "s", "redrive").await;
    redriven(&kit, "s", "redrive?from=1").await;
    let told: Value = waited(&kit, "/_/requests/s").await.json();
    assert_eq!((&told["status"], &told["generation"]), (&json!("success"), &json!(2)), "{told}");
    let earlier = |at: usize| {
        let earlier = told["places"][at]["earlier"].as_array().unwrap().iter();
        let told = earlier.map(|one| (one["generation"].as_u64().unwrap(), one["status"].as_str().unwrap()));
        told.collect::<Vec<_>>()
    };
    assert_eq!(earlier(0), [(0, "done")], "{told}");
    assert_eq!(earlier(1), [(0, "failed"), (1, "done")], "{told}");
    assert_eq!(earlier(2), [(1, "done")], "{told}");
    assert_eq!(payload(&kit, "s/output?place=1").await.text(), "x");
}

#[tokio::test]
async fn an_answer_of_an_earlier_generation_does_not_tell_a_secret() {
    let seen = Arc::new(AtomicUsize::new(0));
    let two = Fake::with(move |call| match seen.fetch_add(1, SeqCst) {
        0 => Reply::new(r#"{"error":"no card out-7777 of key-5555"}"#)
            .status(422)
            .header("x-quotes", "out-7777 and key-5555"),
        _ => Reply::new(call.text()),
    });
    let one = Fake::with(|_| Reply::new(r#"{"number":"out-7777"}"#).header("content-type", "application/json"));
    let flow = Flow::builder().state(Memory::new()).apply("one").apply("two").secret("/number").secret("/key");
    let kit = remembering(flow).function("one", one).function("two", two).start().await;
    let request = kit.request(r#"{"key":"key-5555"}"#).header("x-faasflow-request-id", "k");
    assert_eq!(request.header("content-type", "application/json").answer().await.status, 202);
    redriven(&kit, "k", "redrive").await;
    let told: Value = waited(&kit, "/_/requests/k").await.json();
    assert_eq!(
        (&told["status"], &told["places"][1]["earlier"][0]["place"]),
        (&json!("success"), &json!("2")),
        "{told}"
    );
    assert!(!told.to_string().contains("7777"), "{told}");
    assert_eq!(payload(&kit, "k/answer?place=2").await.text(), r#"{"error":"no card [secret] of [secret]"}"#);
    let head: Value = payload(&kit, "k/answer/head?place=2").await.json();
    let quotes = json!({ "name": "x-quotes", "value": "[secret] and [secret]", "altered": "masked" });
    assert!(head["headers"].as_array().unwrap().contains(&quotes), "{head}");
    assert_eq!(payload(&kit, "k/output?place=1").await.json::<Value>(), json!({ "number": "[secret]" }));
    assert_eq!(payload(&kit, "k/input?place=2").await.json::<Value>(), json!({ "number": "[secret]" }));
}

#[tokio::test]
async fn an_answer_from_before_another_definition_is_not_taken_for_one_of_this_definition() {
    let memory = Memory::new();
    let two = Fake::answer(Reply::new("no").status(422));
    let kit = remembering(phases(&["one", "two", "three"]).state(memory.clone())).function("two", two).start().await;
    send(&kit, "d", "x").await;
    waited(&kit, "/_/requests/d").await;
    assert_eq!(payload(&kit, "d/answer?place=2").await.text(), "no");
    deploy(&kit, phases(&["one", "three", "two"]).state(memory)).await;
    redriven(&kit, "d", "redrive?from=2").await;
    let told: Value = waited(&kit, "/_/requests/d").await.json();
    assert_eq!((&told["status"], &told["generation"]), (&json!("failure"), &json!(1)), "{told}");
    assert!(told["places"].as_array().unwrap().iter().all(|place| place.get("earlier").is_none()), "{told}");
    assert_eq!(refusal(&kit, "d/answer?place=2").await.0, 404);
    assert_eq!(payload(&kit, "d/answer?place=3@1").await.text(), "no");
}
