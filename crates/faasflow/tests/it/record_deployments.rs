//! Deployments of another definition, for requests that are remembered.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use faasflow::{Flow, FlowBuilder, ForEach, Graph, Memory, Outcome};
use faasflow_testkit::{Fake, Reply, Running, TestKit};
use http::Method;
use serde_json::{Value, json};

use super::deployments::{NAMES, answered, counts, deploy, start};
use super::records::{asked, did, is_listed, status, waited};
use super::support::{phases, until};

async fn send(kit: &Running, id: &str) {
    let sent = kit.request("1").header("x-faasflow-request-id", id).answer().await;
    assert_eq!(sent.status, 202, "{}", sent.text());
}

async fn ends(kit: &Running, id: &str, output: &str) {
    let end = waited(kit, &format!("/_/requests/{id}/result")).await;
    assert_eq!((end.outcome(), end.text().as_str()), (Some(Outcome::Success), output));
}

/// The reason for which something cannot be done.
async fn refused(kit: &Running, target: &str) -> String {
    let answer = asked(kit, Method::POST, target).await;
    assert_eq!(answer.status, 409, "{}", answer.text());
    answer.json::<Value>()["reason"].as_str().unwrap().to_owned()
}

/// A test of a flow, one of whose functions fails until the returned switch is set.
async fn failing(flow: FlowBuilder, function: &'static str) -> (Running, Arc<AtomicBool>) {
    let works = Arc::new(AtomicBool::new(false));
    let shared = works.clone();
    let fake = Fake::with(move |call| Reply::new(call.text()).status(if shared.load(SeqCst) { 200 } else { 500 }));
    let kit = TestKit::new(flow.state(Memory::new()).build().unwrap()).setting("records", "on");
    let kit = NAMES.into_iter().fold(kit, |kit, name| kit.function(name, Fake::echo()));
    (kit.function(function, fake).start().await, works)
}

/// Each place with its steps.
fn steps(status: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap().replace("function ", "");
    let places = status["places"].as_array().unwrap().iter();
    places.map(|place| format!("{} {}", text(&place["place"]), text(&place["steps"][0]))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_whose_envelopes_are_lost_are_recovered_by_a_definition_with_another_beginning() {
    for behind in [&["zero", "one"][..], &[]] {
        let kit = start(phases(&["one", "two", "three"]), "on").await;
        kit.hold_queue();
        send(&kit, "r").await;
        kit.lose_queue();
        deploy(&kit, phases(&[behind, &["two", "three"]].concat())).await;
        assert_eq!(steps(&status(&kit, "r").await), ["1 `one`", "2 `two`"]);
        kit.release_queue();
        let recovery = did(&kit, "/_/recover?older=0s&force=true").await;
        assert_eq!(recovery["recovered"], json!([{ "id": "r", "tokens": 1 }]), "{recovery}");
        ends(&kit, "r", "1").await;
        assert_eq!(counts(&kit), [0, 1, 1, 1, 0, 0, 0]);
        assert_eq!(steps(&status(&kit, "r").await), ["1 `one`", "2 `two`", "3 `three`"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn branches_whose_envelopes_are_lost_are_recovered_by_a_definition_with_another_beginning() {
    let flow = |behind: &[&str]| {
        let graph = Graph::new().branch("x", phases(&["two", "three"])).branch("y", phases(&["four"]));
        phases(behind).graph(graph).apply("five")
    };
    for behind in [&["zero", "one"][..], &[]] {
        let kit = start(flow(&["one"]), "on").await;
        kit.hold_queue();
        send(&kit, "r").await;
        kit.lose_queue();
        deploy(&kit, flow(behind)).await;
        kit.release_queue();
        assert_eq!(did(&kit, "/_/recover?older=0s&force=true").await["recovered"], json!([{ "id": "r", "tokens": 2 }]));
        ends(&kit, "r", r#"{"x":1,"y":1}"#).await;
        assert_eq!(counts(&kit), [0, 1, 1, 1, 1, 1, 0]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_whose_definition_has_changed_ahead_is_not_recovered() {
    let kit = start(phases(&["one", "two", "three"]), "on").await;
    kit.hold_queue();
    send(&kit, "r").await;
    kit.lose_queue();
    deploy(&kit, phases(&["one", "two", "four"])).await;
    kit.release_queue();
    let recovery = did(&kit, "/_/recover?older=0s&force=true").await;
    let reason = recovery["failed"][0]["reason"].as_str().unwrap();
    for shape in ["`[call one] [call two] [call three]`", "`[call one] [call two] [call four]`", "phase 2"] {
        assert!(reason.contains(shape), "{reason}");
    }
    assert_eq!(counts(&kit), [0, 1, 0, 0, 0, 0, 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_request_is_resumed_by_a_definition_with_another_beginning() {
    let kit = start(phases(&["one", "two", "three"]), "on").await;
    kit.hold_queue();
    send(&kit, "r").await;
    did(&kit, "/_/requests/r/pause").await;
    deploy(&kit, phases(&["zero", "zero", "two", "three"])).await;
    kit.release_queue();
    kit.until_idle().await;
    assert_eq!(counts(&kit), [0, 1, 0, 0, 0, 0, 0]);
    assert_eq!(did(&kit, "/_/requests/r/resume").await["status"], "running");
    ends(&kit, "r", "1").await;
    assert_eq!(counts(&kit), [0, 1, 1, 1, 0, 0, 0]);
}

/// It went on, was executed up to the change, and was parked there.
#[tokio::test(flavor = "multi_thread")]
async fn a_paused_request_whose_definition_has_changed_ahead_is_not_resumed() {
    let kit = start(phases(&["one", "two", "three", "four"]), "on").await;
    kit.hold_queue();
    send(&kit, "r").await;
    did(&kit, "/_/requests/r/pause").await;
    deploy(&kit, phases(&["one", "two", "three", "five"])).await;
    kit.release_queue();
    kit.until_idle().await;
    let reason = refused(&kit, "/_/requests/r/resume").await;
    for shape in ["[call one] [call two] [call three] [call four]", "[call one] [call two] [call three] [call five]"] {
        assert!(reason.contains(shape), "{reason}");
    }
    // Its owner may start it again from a phase now. A second pause would prevent that.
    assert_eq!(status(&kit, "r").await["status"], "parked");
    assert!(refused(&kit, "/_/requests/r/pause").await.contains("start it again from a phase"));
    assert_eq!(counts(&kit), [0, 1, 0, 0, 0, 0, 0]);
    deploy(&kit, phases(&["one", "two", "three", "four"])).await;
    did(&kit, "/_/requests/r/resume").await;
    ends(&kit, "r", "1").await;
    assert_eq!(counts(&kit), [0, 1, 1, 1, 1, 0, 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parked_request_goes_on_when_a_definition_fits_again() {
    let kit = start(phases(&["one", "two", "three"]), "on").await;
    kit.hold_queue();
    send(&kit, "r").await;
    deploy(&kit, phases(&["one", "two"])).await;
    kit.release_queue();
    until(async || status(&kit, "r").await["status"] == "parked").await;
    let reason = refused(&kit, "/_/requests/r/resume").await;
    assert!(reason.contains("`[call one] [call two] [call three]`, and `[call one] [call two]`"), "{reason}");
    // Its beginning is another one, but it does not matter any more.
    deploy(&kit, phases(&["zero", "four", "two", "three"])).await;
    assert_eq!(did(&kit, "/_/requests/r/resume").await["status"], "running");
    ends(&kit, "r", "1").await;
    assert_eq!(counts(&kit), [0, 1, 1, 1, 0, 0, 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_request_is_redriven_if_only_what_it_has_behind_has_changed() {
    for behind in [&["zero", "one", "two"][..], &["zero"], &["one"], &[]] {
        let (kit, works) = failing(phases(&["one", "two", "three", "four"]), "three").await;
        send(&kit, "r").await;
        until(async || is_listed(&kit, "r", "failure").await).await;
        works.store(true, SeqCst);
        deploy(&kit, phases(&[behind, &["three", "four"]].concat())).await;
        did(&kit, "/_/requests/r/redrive?from=failed").await;
        ends(&kit, "r", "1").await;
        assert_eq!(counts(&kit), [0, 1, 1, 2, 1, 0, 0], "{behind:?}");
        // It ends again in the same way if another definition is deployed meanwhile.
        deploy(&kit, phases(&["one", "two", "three", "four"])).await;
        assert_eq!(status(&kit, "r").await["places"][3]["place"], "4@1");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_graph_with_a_failed_branch_is_redriven_if_only_what_it_has_behind_has_changed() {
    let flow = |behind: &[&str], x: &str, last: &str| {
        let graph = Graph::new().branch("x", phases(&[x, "three"])).branch("y", phases(&["four"]));
        phases(behind).graph(graph).apply(last)
    };
    let (kit, works) = failing(flow(&["one"], "two", "five"), "three").await;
    send(&kit, "r").await;
    until(async || is_listed(&kit, "r", "failure").await).await;
    works.store(true, SeqCst);
    deploy(&kit, flow(&["one"], "two", "six")).await;
    let reason = refused(&kit, "/_/requests/r/redrive?from=failed").await;
    assert!(reason.contains("different from phase 1.0/3 on"), "{reason}");
    // The phase in the branch before the one that failed has changed as well.
    deploy(&kit, flow(&["zero", "one"], "zero", "five")).await;
    did(&kit, "/_/requests/r/redrive?from=failed").await;
    ends(&kit, "r", r#"{"x":1,"y":1}"#).await;
    assert_eq!(counts(&kit), [0, 1, 1, 2, 1, 1, 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_item_is_redriven_if_the_for_each_is_the_same() {
    let flow = |behind: &[&str], item: &[&str]| phases(behind).for_each(ForEach::new(phases(item))).apply("six");
    let (kit, works) = failing(flow(&["one"], &["two", "five"]), "five").await;
    let sent = kit.request("[1]").header("x-faasflow-request-id", "r").answer().await;
    assert_eq!(sent.status, 202, "{}", sent.text());
    until(async || is_listed(&kit, "r", "failure").await).await;
    works.store(true, SeqCst);
    deploy(&kit, flow(&["zero"], &["two", "four"])).await;
    let reason = refused(&kit, "/_/requests/r/redrive?from=failed").await;
    assert!(reason.contains("different from phase 1.0/3 on"), "{reason}");
    deploy(&kit, flow(&["zero", "zero"], &["two", "five"])).await;
    did(&kit, "/_/requests/r/redrive?from=failed").await;
    ends(&kit, "r", "[1]").await;
    assert_eq!(counts(&kit), [0, 1, 1, 0, 0, 2, 1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_starts_again_from_a_phase_with_the_deployed_definition() {
    let (kit, works) = failing(phases(&["one", "two", "three"]), "three").await;
    send(&kit, "r").await;
    until(async || is_listed(&kit, "r", "failure").await).await;
    works.store(true, SeqCst);
    // What follows phase 3 is different, and what comes before it too.
    deploy(&kit, phases(&["one", "zero", "three", "four"])).await;
    let reason = refused(&kit, "/_/requests/r/redrive?from=3").await;
    assert!(reason.contains("the phases before phase 3 have changed too"), "{reason}");
    assert!(reason.contains("start it again from phase 2 or an earlier one"), "{reason}");
    kit.hold_queue();
    did(&kit, "/_/requests/r/redrive?from=2").await;
    // The request belongs to this definition now, even if another one is deployed.
    deploy(&kit, phases(&["one", "two", "three"])).await;
    kit.release_queue();
    until(async || status(&kit, "r").await["status"] == "parked").await;
    assert_eq!(counts(&kit), [0, 1, 1, 1, 0, 0, 0]);
    assert_eq!(steps(&status(&kit, "r").await), ["1@1 `one`", "2@1 `zero`"]);
    deploy(&kit, phases(&["zero", "three", "four"])).await;
    did(&kit, "/_/requests/r/resume").await;
    ends(&kit, "r", "1").await;
    assert_eq!(counts(&kit), [1, 1, 1, 2, 1, 0, 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_starts_again_from_a_phase_that_has_another_number_now() {
    let (kit, works) = failing(phases(&["one", "two", "three"]), "three").await;
    send(&kit, "r").await;
    until(async || is_listed(&kit, "r", "failure").await).await;
    works.store(true, SeqCst);
    deploy(&kit, phases(&["one", "zero", "two", "three"])).await;
    // The number is the one that the status shows.
    did(&kit, "/_/requests/r/redrive?from=3").await;
    ends(&kit, "r", "1").await;
    assert_eq!(counts(&kit), [0, 1, 1, 2, 0, 0, 0]);
}

/// A test whose phases may take two seconds.
async fn impatient(flow: FlowBuilder) -> Running {
    let kit = TestKit::new(flow.state(Memory::new()).build().unwrap());
    let kit = kit.setting("records", "on").setting("write_timeout", "2s");
    NAMES.into_iter().fold(kit, |kit, name| kit.function(name, Fake::echo())).start().await
}

/// The invocation of a request, as a queue delivers it again; `None` if the flow crashes.
async fn invoke(kit: &Running) -> Option<u16> {
    let request = kit.request("1").header("x-faasflow-request-id", "r").header("x-call-id", "c");
    answered(request).await.map(|answer| answer.status.as_u16())
}

/// A flow that has crashed while it executed the first phase of a request, and has started again.
async fn crashed(flow: FlowBuilder, function: &str) -> Running {
    let kit = impatient(flow).await;
    kit.crash_at(function);
    assert_eq!(invoke(&kit).await, None);
    until(async || answered(kit.request("").method(Method::GET).path("/_/requests/r")).await.is_some()).await;
    kit
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_whose_first_phase_was_not_executed_begins_again_with_the_deployed_definition() {
    let kit = crashed(phases(&["one", "two", "three"]), "one").await;
    deploy(&kit, phases(&["zero", "four", "one"])).await;
    kit.hold_queue();
    until(async || invoke(&kit).await == Some(202)).await;
    kit.lose_queue();
    assert_eq!(steps(&status(&kit, "r").await), ["1 `zero`", "2 `four`"]);
    kit.release_queue();
    did(&kit, "/_/recover?older=0s&force=true").await;
    ends(&kit, "r", "1").await;
    assert_eq!(counts(&kit), [1, 2, 0, 0, 1, 0, 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_of_which_nothing_was_executed_is_recovered_by_the_deployed_definition() {
    let kit = crashed(phases(&["one", "two", "three"]), "one").await;
    deploy(&kit, phases(&["zero", "four"])).await;
    until(async || answered(kit.request("").method(Method::GET).path("/_/requests/r")).await.is_some()).await;
    // Another process may still execute it.
    assert_eq!(did(&kit, "/_/recover?older=0s&force=true").await["failed"][0]["id"], "r");
    let recovered = json!([{ "id": "r", "tokens": 1 }]);
    until(async || did(&kit, "/_/recover?older=0s&force=true").await["recovered"] == recovered).await;
    ends(&kit, "r", "1").await;
    assert_eq!(counts(&kit), [1, 1, 0, 0, 1, 0, 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_whose_first_phase_was_executed_goes_on_with_what_follows_it() {
    let kit = impatient(phases(&["one", "two", "three"])).await;
    kit.stop_queue();
    assert_eq!(invoke(&kit).await, Some(503));
    deploy(&kit, phases(&["zero", "four", "two", "three"])).await;
    kit.start_queue();
    until(async || invoke(&kit).await == Some(202)).await;
    ends(&kit, "r", "1").await;
    assert_eq!(counts(&kit), [0, 1, 1, 1, 0, 0, 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_request_is_redriven_even_if_the_graph_before_was_removed() {
    let flow = |behind: FlowBuilder| behind.apply("five").apply("six");
    let graph = Graph::new().branch("x", phases(&["two", "three"])).branch("y", phases(&["four"]));
    let (kit, works) = failing(flow(phases(&["one"]).graph(graph)), "six").await;
    send(&kit, "r").await;
    until(async || is_listed(&kit, "r", "failure").await).await;
    works.store(true, SeqCst);
    deploy(&kit, flow(Flow::builder())).await;
    did(&kit, "/_/requests/r/redrive?from=failed").await;
    ends(&kit, "r", r#"{"x":1,"y":1}"#).await;
    assert_eq!(counts(&kit), [0, 1, 1, 1, 1, 1, 2]);
}

/// A check that was added in front would not be executed otherwise.
#[tokio::test]
async fn a_request_that_starts_again_from_the_first_phase_has_the_deployed_definition() {
    let kit = start(phases(&["two", "three"]), "on").await;
    send(&kit, "r").await;
    ends(&kit, "r", "1").await;
    deploy(&kit, phases(&["one", "two", "three"])).await;
    did(&kit, "/_/requests/r/redrive?from=1").await;
    ends(&kit, "r", "1").await;
    assert_eq!(counts(&kit)[..4], [0, 1, 2, 2]);
}
