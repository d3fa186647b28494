//! What a request has ahead of it, and what became of a place before a redrive.

use super::*;

/// Each place that is ahead, and what it waits for.
fn ahead(told: &Value) -> Vec<(&str, &str, Vec<&str>)> {
    let places = told["ahead"].as_array().into_iter().flatten();
    let told = places.map(|place| {
        assert_eq!((&place["status"], &place["attempts"]), (&json!("waiting"), &json!(0)), "{place}");
        let waits_for = &place["waits_for"];
        let names = waits_for["places"].as_array().unwrap().iter().map(|place| place.as_str().unwrap()).collect();
        (place["place"].as_str().unwrap(), waits_for["what"].as_str().unwrap(), names)
    });
    told.collect()
}

async fn start(kit: &Running, id: &str, body: &str) -> Value {
    let answer = kit.request(body.to_owned()).header("x-faasflow-request-id", id).answer().await;
    assert_eq!(answer.status, 202, "{}", answer.text());
    status(kit, id).await
}

async fn place(kit: &Running, id: &str, place: &str) -> Value {
    let answer = asked(kit, Method::GET, &format!("/_/requests/{id}/place?place={place}")).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json::<Value>()["place"].clone()
}

#[tokio::test]
async fn phases_wait_for_those_before_them() {
    let kit = remembering(chain()).start().await;
    kit.hold_queue();
    let told = start(&kit, "c", "x").await;
    assert_eq!(ahead(&told), [("3", "places", vec!["2"])], "{told}");
    assert_eq!(told["ahead"][0]["steps"], json!(["function `three`"]), "{told}");
    assert_eq!(place(&kit, "c", "3").await, told["ahead"][0]);
    did(&kit, "/_/requests/c/pause").await;
    assert_eq!(place(&kit, "c", "2").await["waits_for"], json!({ "what": "resume" }));
    did(&kit, "/_/requests/c/resume").await;
    kit.release_queue();
    let told: Value = waited(&kit, "/_/requests/c").await.json();
    assert_eq!(told.get("ahead"), None, "{told}");
    assert_eq!(place(&kit, "c", "3").await["status"], "done");
}

#[tokio::test]
async fn branches_wait_for_branches_and_joins_for_members() {
    let graph = Graph::new()
        .branch("a", Flow::builder().apply("one"))
        .branch("b", Flow::builder().apply("two").apply("three"))
        .branch("c", Flow::builder().apply("three"))
        .after("c", ["a", "b"]);
    let kit = remembering(Flow::builder().state(Memory::new()).graph(graph).apply("one")).start().await;
    kit.hold_queue();
    let told = start(&kit, "b", "1").await;
    let expected = [
        ("1.1/4", "places", vec!["1.1/3"]),
        ("1.2/5", "branches", vec!["1.0/2", "1.1/3"]),
        ("6", "members", vec!["1"]),
    ];
    assert_eq!(ahead(&told), expected, "{told}");
    assert_eq!(place(&kit, "b", "1.2/5").await, told["ahead"][1]);
}

#[tokio::test]
async fn a_branch_after_a_failed_one_is_not_waited_for() {
    let graph = Graph::new()
        .branch("a", Flow::builder().apply("one"))
        .branch("b", Flow::builder().apply("two"))
        .branch("c", Flow::builder().apply("three"))
        .after("c", ["a"])
        .complete(Complete::Settled);
    let kit = remembering(Flow::builder().state(Memory::new()).graph(graph).apply("three"));
    let kit = kit.function("one", Fake::failing(400)).start().await;
    kit.hold_function("two");
    start(&kit, "f", "1").await;
    until(async || status(&kit, "f").await["places"][0]["members"]["failed"] == 1).await;
    let told = status(&kit, "f").await;
    assert!(!ahead(&told).iter().any(|(place, ..)| place.starts_with("1.2/")), "{told}");
    let counts = json!({ "all": 3, "waiting": 0, "running": 1, "done": 0, "failed": 1, "stopped": 1 });
    assert_eq!(told["places"][0]["members"], counts, "{told}");
    let items: Value = asked(&kit, Method::GET, "/_/requests/f/items?place=1").await.json();
    let statuses: Vec<&Value> = items["items"].as_array().unwrap().iter().map(|item| &item["status"]).collect();
    assert_eq!(statuses, ["failed", "running", "stopped"], "{items}");
    kit.release_function("two");
    waited(&kit, "/_/requests/f").await;
}

#[tokio::test]
async fn an_item_waits_for_a_slot() {
    let each = ForEach::new(Flow::builder().apply("one")).at_most(2);
    let kit = remembering(Flow::builder().state(Memory::new()).for_each(each).apply("two")).start().await;
    kit.hold_queue();
    let told = start(&kit, "s", "[1,2,3]").await;
    assert_eq!(ahead(&told), [("3", "members", vec!["1"])], "{told}");
    assert_eq!(place(&kit, "s", "1.1/2").await["status"], "running");
    let waiting = place(&kit, "s", "1.2/2").await;
    assert_eq!((&waiting["status"], &waiting["waits_for"]), (&json!("waiting"), &json!({ "what": "slot" })));
    did(&kit, "/_/requests/s/stop").await;
    let stopped = place(&kit, "s", "1.2/2").await;
    assert_eq!((&stopped["status"], stopped.get("waits_for")), (&json!("stopped"), None));
}

#[tokio::test]
async fn the_other_branches_of_a_choice_do_not_wait() {
    let choice = faasflow::Choice::new(async |text: String| if text.len() > 3 { "large" } else { "small" })
        .branch("large", Flow::builder().apply("one").apply("two"))
        .branch("small", Flow::builder().apply("two"));
    let kit =
        remembering(Flow::builder().state(Memory::new()).apply("one").choose(choice).apply("three")).start().await;
    kit.hold_queue();
    let told = start(&kit, "h", "long text").await;
    // Place 4 is the branch that was not chosen.
    assert_eq!(ahead(&told), [("3", "places", vec!["2"]), ("5", "places", vec!["3"])], "{told}");
    let answer = asked(&kit, Method::GET, "/_/requests/h/place?place=4").await;
    assert_eq!(answer.status, 404, "{}", answer.text());
}

#[tokio::test]
async fn what_became_of_a_place_before_a_redrive_is_told() {
    let seen = Arc::new(AtomicUsize::new(0));
    let twice = Fake::with(move |call| match seen.fetch_add(1, SeqCst) {
        0 | 1 => Reply::new("no").status(400),
        _ => Reply::new(call.text()),
    });
    let kit = remembering(chain()).function("two", twice).start().await;
    start(&kit, "g", "x").await;
    for _ in 0..2 {
        waited(&kit, "/_/requests/g").await;
        until(async || asked(&kit, Method::POST, "/_/requests/g/redrive").await.status == 200).await;
    }
    let told: Value = waited(&kit, "/_/requests/g").await.json();
    assert_eq!((&told["status"], &told["generation"]), (&json!("success"), &json!(2)), "{told}");
    let places = told["places"].as_array().unwrap();
    // The success of the first phase is used again, so it was executed once.
    assert_eq!((&places[0]["place"], places[0].get("earlier")), (&json!("1@2"), None), "{told}");
    let earlier = places[1]["earlier"].as_array().unwrap();
    let generations: Vec<_> = earlier.iter().map(|one| (&one["generation"], &one["status"])).collect();
    assert_eq!(generations, [(&json!(0), &json!("failed")), (&json!(1), &json!("failed"))], "{told}");
    for one in earlier {
        assert_eq!((&one["reason"]["code"], &one["attempts"]), (&json!("FF0310"), &json!(1)), "{told}");
        assert!(one["began_ms"].as_u64() <= one["done_ms"].as_u64() && one["done_ms"].is_u64(), "{told}");
    }
    assert_eq!(places[2].get("earlier"), None, "{told}");
    assert_eq!(place(&kit, "g", "2@2").await["earlier"], places[1]["earlier"]);
}

#[tokio::test]
async fn an_item_that_failed_before_a_redrive_says_so() {
    let each = ForEach::new(Flow::builder().apply("one")).complete(Complete::Settled);
    let kit = remembering(Flow::builder().state(Memory::new()).for_each(each).apply("two"));
    let kit = kit.function("one", Fake::echo().after_failing(1, 400)).function("two", Fake::failing(400)).start().await;
    start(&kit, "i", "[1,2,3]").await;
    waited(&kit, "/_/requests/i").await;
    until(async || asked(&kit, Method::POST, "/_/requests/i/redrive").await.status == 200).await;
    until(async || status(&kit, "i").await["status"] == "failure").await;
    let items: Value = asked(&kit, Method::GET, "/_/requests/i/items?place=1@1").await.json();
    assert_eq!(items["members"]["done"], 3, "{items}");
    let mended = items["items"].as_array().unwrap().iter();
    let mut with_earlier = 0;
    for item in mended {
        let told = place(&kit, "i", item["place"].as_str().unwrap()).await;
        with_earlier += told["earlier"].as_array().map_or(0, |earlier| {
            assert_eq!((&earlier[0]["generation"], &earlier[0]["status"]), (&json!(0), &json!("failed")), "{told}");
            earlier.len()
        });
    }
    assert_eq!(with_earlier, 1, "one item has failed before");
}
