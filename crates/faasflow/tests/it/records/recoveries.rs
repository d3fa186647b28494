//! Which requests are recovered, and which are not.

use faasflow::{Scope, StateManager as _};
use faasflow_core::state::{ListQuery, Status};

use super::*;

fn scope(id: &str) -> Scope {
    Scope { flow: "flow".to_owned(), request: id.to_owned() }
}

/// What is recovered of requests that have not moved for this long.
async fn recovered(kit: &Running, older: &str) -> Value {
    did(kit, &format!("/_/recover?force=true&older={older}")).await["recovered"].clone()
}

/// How long a request has not moved when it is recovered.
const OLD: Duration = Duration::from_secs(2);

/// Checks that something moves an old request: nothing is recovered right after it. This is repeated if it was not right after it,
/// because the machine was too slow.
async fn moves(kit: &Running, moves: impl AsyncFn()) {
    for _ in 0..20 {
        tokio::time::sleep(OLD).await;
        let begun = Instant::now();
        moves().await;
        let told = recovered(kit, &format!("{}ms", OLD.as_millis())).await;
        if begun.elapsed() < OLD {
            assert_eq!(told, json!([]));
            return;
        }
    }
    panic!("the machine is too slow");
}

/// The results that it uses are old, so it seemed not to move.
#[tokio::test]
async fn a_request_moves_when_it_is_started_again() {
    let kit = remembering(chain()).function("two", Fake::failing(400)).start().await;
    kit.request("x").header("x-faasflow-request-id", "r").answer().await;
    until(async || is_listed(&kit, "r", "failure").await).await;
    kit.hold_function("two");
    moves(&kit, async || {
        // It has failed again, if this is repeated.
        kit.release_function("two");
        until(async || is_listed(&kit, "r", "failure").await).await;
        kit.hold_function("two");
        did(&kit, "/_/requests/r/redrive").await;
    })
    .await;
}

#[tokio::test]
async fn a_request_moves_when_it_is_resumed() {
    let kit = remembering(chain()).start().await;
    kit.hold_queue();
    kit.request("x").header("x-faasflow-request-id", "r").answer().await;
    did(&kit, "/_/requests/r/pause").await;
    moves(&kit, async || {
        did(&kit, "/_/requests/r/pause").await;
        did(&kit, "/_/requests/r/resume").await;
    })
    .await;
}

/// The items that have ended were not looked at.
#[tokio::test]
async fn a_for_each_moves_when_an_item_ends() {
    let items = ForEach::new(Flow::builder().apply("one")).at_most(1);
    let kit = remembering(Flow::builder().state(Memory::new()).for_each(items)).start().await;
    kit.hold_function("one");
    let list = json!((0..100).collect::<Vec<_>>()).to_string();
    kit.request(list).header("x-faasflow-request-id", "r").answer().await;
    moves(&kit, async || {
        let called = kit.until_called("one", 1).await.len();
        // One item ends, and the next one begins.
        kit.release_function("one");
        kit.hold_function("one");
        kit.until_called("one", called + 1).await;
    })
    .await;
}

/// Such a value counted as absent, so the request was recovered for ever.
#[tokio::test]
async fn a_record_that_cannot_be_read_is_named() {
    let memory = Memory::new();
    let items = ForEach::new(Flow::builder().apply("one"));
    let kit = remembering(Flow::builder().state(memory.clone()).for_each(items)).start().await;
    kit.hold_queue();
    for (id, key, value) in [
        ("a", "result/1", "?"),
        ("b", "entry/1/0", "?"),
        // It does not fit the for-each, which has one item.
        ("c", "entry/1/0", r#"{"member":7,"ended":"done","tally":{"done":1}}"#),
        ("d", "over@0", r#"{"by":"2","outcome":"vanished"}"#),
    ] {
        kit.request("[1]").header("x-faasflow-request-id", id).answer().await;
        memory.set(&scope(id), key, value.into()).await.unwrap();
        let told = get(&kit, &format!("/_/requests/{id}")).await;
        assert_eq!(told.status, 500, "{id}: {}", told.text());
        assert_eq!(told.header("x-faasflow-error-code"), Some("FF0425"));
        let reason = told.json::<Value>()["reason"].as_str().unwrap().to_owned();
        assert!(reason.contains(&format!("`{key}`")), "{id}: {reason}");
        assert_quoted(code::UNREADABLE_RECORD, &reason.replace(key, "entry/1/0"));
        let told = did(&kit, "/_/recover?force=true&older=0s").await;
        let failed: Vec<&Value> = told["failed"].as_array().unwrap().iter().filter(|one| one["id"] == id).collect();
        assert_eq!(failed.len(), 1, "{told}");
        assert!(failed[0]["reason"].as_str().unwrap().contains(&format!("`{key}`")), "{told}");
    }
    assert_eq!(kit.queued().len(), 4, "none of them is posted again");
}

/// A pause and a resume at the same moment can leave such a line, and only what is listed as running is recovered.
#[tokio::test]
async fn a_request_that_is_listed_as_paused_and_is_not_is_recovered() {
    let memory = Memory::new();
    let kit = remembering(phases(&["one", "two"]).state(memory.clone())).start().await;
    kit.hold_queue();
    for id in ["a", "b", "c"] {
        kit.request("x").header("x-faasflow-request-id", id).answer().await;
    }
    did(&kit, "/_/requests/c/pause").await;
    kit.lose_queue();
    kit.release_queue();
    let lines = memory.list_requests("flow", &ListQuery::newest(10)).await.unwrap();
    for line in lines {
        let status = match line.request.as_str() {
            "a" => Status::Paused,
            "b" => Status::Parked,
            _ => Status::Running,
        };
        memory.list_request(&scope(&line.request), line.started_ms, status).await.unwrap();
    }
    let told = recovered(&kit, "0s").await;
    let ids: Vec<&str> = told.as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap()).collect();
    assert_eq!((ids.len(), ids.contains(&"c")), (2, false), "{told}");
    for id in ["a", "b"] {
        assert_eq!(waited(&kit, &format!("/_/requests/{id}/result")).await.text(), "x");
    }
    let listed: Value = asked(&kit, Method::GET, "/_/requests?status=paused").await.json();
    assert_eq!(listed["requests"][0]["id"], "c", "{listed}");
}

#[tokio::test]
async fn a_recovery_tells_how_much_of_a_request_was_queued() {
    let items = ForEach::new(Flow::builder().apply("one"));
    let kit = remembering(Flow::builder().state(Memory::new()).for_each(items)).setting("write_timeout", "2s");
    let kit = kit.start().await;
    kit.hold_queue();
    kit.request("[1,2,3]").header("x-faasflow-request-id", "r").answer().await;
    kit.lose_queue();
    kit.stop_queue();
    let told = did(&kit, "/_/recover?force=true&older=0s").await;
    let reason = told["failed"][0]["reason"].as_str().unwrap();
    assert!(reason.starts_with("0 of 3 phases were queued; "), "{reason}");
    kit.start_queue();
    kit.release_queue();
    assert_eq!(recovered(&kit, "0s").await, json!([{ "id": "r", "tokens": 3 }]));
    assert_eq!(waited(&kit, "/_/requests/r/result").await.text(), "[1,2,3]");
}
