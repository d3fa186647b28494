//! How far the places of a request are.

use super::*;

/// The place and the status of each place.
fn places(status: &Value) -> Vec<(&str, &str)> {
    let places = status["places"].as_array().unwrap().iter();
    places.map(|place| (place["place"].as_str().unwrap(), place["status"].as_str().unwrap())).collect()
}

/// The members of the first fork. The numbers of those with a status add up.
fn members(status: &Value) -> Value {
    let all = status["places"].as_array().unwrap().iter();
    let members = all.map(|place| &place["members"]).find(|members| members.is_object()).unwrap().clone();
    let counts = members.as_object().unwrap().iter().filter(|(name, _)| !["all", "at_most"].contains(&name.as_str()));
    let sum: u64 = counts.map(|(_, count)| count.as_u64().unwrap()).sum();
    assert_eq!(members["all"].as_u64().unwrap(), sum, "{members}");
    members
}

async fn ended(kit: &Running, id: &str) -> Value {
    let ended: Value = waited(kit, &format!("/_/requests/{id}")).await.json();
    assert!(places(&ended).iter().all(|(_, status)| !["running", "waiting", "retrying"].contains(status)), "{ended}");
    ended
}

#[tokio::test]
async fn a_phase_that_never_began_is_stopped_with_its_request() {
    let kit = remembering(chain()).start().await;
    kit.hold_queue();
    kit.request("x").header("x-faasflow-request-id", "s").answer().await;
    did(&kit, "/_/requests/s/stop").await;
    assert_eq!(places(&ended(&kit, "s").await), [("1", "done"), ("2", "stopped")]);
}

#[tokio::test]
async fn what_a_paused_request_has_ahead_of_it_waits() {
    let items = ForEach::new(Flow::builder().apply("one")).at_most(2);
    let kit = remembering(Flow::builder().state(Memory::new()).for_each(items)).start().await;
    kit.hold_queue();
    kit.request("[1,2,3]").header("x-faasflow-request-id", "p").answer().await;
    let running = status(&kit, "p").await;
    assert_eq!(places(&running), [("1", "done"), ("1.0/2", "running"), ("1.1/2", "running")]);
    let counts = json!({ "all": 3, "at_most": 2, "waiting": 1, "running": 2, "done": 0, "failed": 0, "stopped": 0 });
    assert_eq!(members(&running), counts);
    did(&kit, "/_/requests/p/pause").await;
    let paused = status(&kit, "p").await;
    assert_eq!(places(&paused), [("1", "done"), ("1.0/2", "waiting"), ("1.1/2", "waiting")]);
    assert_eq!(members(&paused)["waiting"], 3);
    did(&kit, "/_/requests/p/stop").await;
    let counts = json!({ "all": 3, "at_most": 2, "waiting": 0, "running": 0, "done": 0, "failed": 0, "stopped": 3 });
    assert_eq!(members(&ended(&kit, "p").await), counts);
}

#[tokio::test]
async fn what_a_parked_request_has_ahead_of_it_waits() {
    let kit = remembering(chain()).start().await;
    kit.hold_queue();
    kit.request("x").header("x-faasflow-request-id", "m").answer().await;
    kit.deploy(Flow::builder().apply("one").apply("two").build().unwrap()).await;
    kit.release_queue();
    until(async || status(&kit, "m").await["status"] == "parked").await;
    assert_eq!(places(&status(&kit, "m").await), [("1", "done"), ("2", "waiting")]);
}

#[tokio::test]
async fn a_branch_that_lost_is_stopped() {
    let graph = Graph::new()
        .branch("quick", Flow::builder().apply("one"))
        .branch("slow", Flow::builder().apply("two").apply("three"))
        .complete(Complete::First);
    let kit = remembering(Flow::builder().state(Memory::new()).graph(graph)).start().await;
    kit.hold_function("two");
    kit.request("1").header("x-faasflow-request-id", "f").answer().await;
    let told = ended(&kit, "f").await;
    let counts = json!({ "all": 2, "waiting": 0, "running": 0, "done": 1, "failed": 0, "stopped": 1 });
    assert_eq!(members(&told), counts, "{told}");
    assert!(places(&told).contains(&("1.1/3", "stopped")), "{told}");
}

/// A branch that succeeded after the graph had failed was counted as running.
#[tokio::test]
async fn a_branch_that_ended_after_its_graph_counts_as_what_it_is() {
    let graph = Graph::new().branch("fails", Flow::builder().apply("one")).branch("ends", Flow::builder().apply("two"));
    let kit = remembering(Flow::builder().state(Memory::new()).graph(graph).apply("three"));
    let kit = kit.function("one", Fake::failing(400)).start().await;
    kit.hold_function("two");
    kit.hold_queue();
    kit.request("1").header("x-faasflow-request-id", "g").answer().await;
    kit.until_queued(2).await;
    // The first branch fails when the second one is in progress.
    kit.hold_function("one");
    kit.release_queue();
    kit.until_called("two", 1).await;
    kit.release_function("one");
    assert_eq!(ended(&kit, "g").await["status"], "failure");
    kit.release_function("two");
    until(async || members(&status(&kit, "g").await)["done"] == 1).await;
    let counts = json!({ "all": 2, "waiting": 0, "running": 0, "done": 1, "failed": 1, "stopped": 0 });
    assert_eq!(members(&ended(&kit, "g").await), counts);
}

#[tokio::test]
async fn an_item_that_was_never_called_has_not_begun() {
    let items = ForEach::new(Flow::builder().apply("one")).at_most(1);
    let kit = remembering(Flow::builder().state(Memory::new()).for_each(items));
    let kit = kit.function("one", Fake::failing(400)).start().await;
    kit.request("[1,2,3]").header("x-faasflow-request-id", "i").answer().await;
    let told = ended(&kit, "i").await;
    assert_eq!(kit.calls("one").len(), 1);
    let counts = json!({ "all": 3, "at_most": 1, "waiting": 0, "running": 0, "done": 0, "failed": 1, "stopped": 2 });
    assert_eq!(members(&told), counts, "{told}");
    assert_eq!(places(&told)[1], ("1.0/2", "failed"), "{told}");
    assert!(!places(&told).iter().any(|(place, _)| place.starts_with("1.1/")), "{told}");
}

/// Only the reason of the first one was shown.
#[tokio::test]
async fn items_that_failed_are_listed_with_their_reasons_up_to_a_number() {
    let items = ForEach::new(Flow::builder().apply("one")).at_most(4).complete(Complete::Settled);
    let kit = remembering(Flow::builder().state(Memory::new()).for_each(items));
    let fails = Fake::with(|call| Reply::new(call.text()).status(if call.text() == "0" { 200 } else { 400 }));
    let kit = kit.function("one", fails).start().await;
    let list = json!((0..100).map(|number| number % 3).collect::<Vec<_>>()).to_string();
    kit.request(list).header("x-faasflow-request-id", "l").answer().await;
    let told = ended(&kit, "l").await;
    let counts =
        json!({ "all": 100, "at_most": 4, "waiting": 0, "running": 0, "done": 34, "failed": 66, "stopped": 0 });
    assert_eq!(members(&told), counts);
    let failed: Vec<&Value> =
        told["places"].as_array().unwrap().iter().filter(|place| place["status"] == "failed").collect();
    assert_eq!(failed.len(), 20, "{told}");
    for place in failed {
        assert_eq!(place["reason"]["code"], "FF0310", "{place}");
    }
}
