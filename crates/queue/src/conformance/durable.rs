//! Restarts and damaged files.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use faasflow_http::now_ms;

use crate::call::{Accepted, Call, NewCall, Target};
use crate::conformance::steps::{accept, call, claim, conclude, deliver, drain, kill, new_call};
use crate::error::QueueError;
use crate::policy::options::QueueOptions;
use crate::stats::QueuedCall;
use crate::store::{Conclusion, Store};

type OpenResult = Result<Arc<dyn Store>, QueueError>;

fn place() -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("queue");
    (folder, path)
}

pub(super) async fn all_is_there_after_a_restart(open: &impl AsyncFn(&Path, QueueOptions) -> OpenResult) {
    let (_folder, path) = place();
    let store = open(&path, QueueOptions::default()).await.expect("it is opened");
    for id in ["dead", "tried", "put-off", "plain"] {
        accept(&*store, id, "f").await;
    }
    let dead = kill(&*store).await;
    let due_ms = now_ms() + 100;
    for counts in [true, false] {
        let (claim, _) = claim(&*store, 9).await;
        conclude(&*store, claim, Conclusion::Again { due_ms, counts }).await;
    }
    let url = "http://127.0.0.1:1/back".parse().expect("a URL");
    let target = Target::Callback { url, function: "f".to_owned() };
    let callback = Arc::new(Call { target, ..Call::clone(&call("back", "f")) });
    accept(&*store, "asks", "h").await;
    accept(&*store, "held", "g").await;
    loop {
        let (claim, got) = claim(&*store, 9).await;
        if got.call_id == "asks" {
            conclude(&*store, claim, Conclusion::Delivered { callback: Some(callback.clone()) }).await;
            break;
        }
        conclude(&*store, claim, Conclusion::Untried { due_ms: 0 }).await;
    }
    let before = store.list(99).await.expect("it can be read");
    let written = store.letter(dead).await.expect("it can be read");
    store.close().await;

    let store = open(&path, QueueOptions::default()).await.expect("it is opened again");
    let mut after = store.list(99).await.expect("it can be read");
    after.iter_mut().for_each(|call| call.in_flight = false);
    let shown = |calls: &[QueuedCall]| {
        let one = |call: &QueuedCall| (call.id, call.call_id.clone(), call.attempt, call.callback, call.accepted_ms);
        calls.iter().map(one).collect::<Vec<_>>()
    };
    assert_eq!(shown(&after), shown(&before));
    assert_eq!(store.letter(dead).await.expect("it can be read"), written);
    let stats = store.stats().await.expect("it can be asked");
    assert_eq!((stats.depth, stats.dead_letters, stats.unreadable), (5, 1, 0));
    assert_eq!(stats.functions, [("f".to_owned(), 4), ("g".to_owned(), 1)].into());
    for id in ["tried", "plain"] {
        assert_eq!(store.accept(call(id, "f")).await.expect("it is accepted"), Accepted::Duplicate);
    }
    accept(&*store, "dead", "f").await;
    assert!(store.revive(dead, 0).await.expect("it is revived"));
    let delivered = drain(&*store).await;
    let mut ids = delivered["f"].clone();
    ids.sort_unstable();
    assert_eq!(ids, ["dead", "dead", "plain", "put-off", "tried"]);
    assert_eq!(
        (delivered["g"].as_slice(), delivered["callback 127.0.0.1:1"].as_slice()),
        (["held".to_owned()].as_slice(), ["back".to_owned()].as_slice())
    );
    store.close().await;
    let store = open(&path, QueueOptions::default()).await.expect("it is opened again");
    assert_eq!(store.stats().await.expect("it can be asked").depth, 0);
    store.close().await;
}

pub(super) async fn a_long_queue_is_taken_up(open: &impl AsyncFn(&Path, QueueOptions) -> OpenResult) {
    const MANY: usize = 3_000;
    let (_folder, path) = place();
    let store = open(&path, QueueOptions::default()).await.expect("it is opened");
    let accepting = (0..MANY).map(|id| {
        let store = &*store;
        async move { accept(store, &format!("c{id}"), "f").await }
    });
    futures_util::future::join_all(accepting).await;
    let order: Vec<String> =
        store.list(MANY).await.expect("it can be read").into_iter().map(|call| call.call_id).collect();
    // Every tenth call is due after the restart.
    let mut later = Vec::new();
    for (at, expected) in order.iter().take(MANY / 2).enumerate() {
        let (claim, got) = claim(&*store, 99).await;
        assert_eq!(got.call_id, *expected);
        if at % 10 == 0 {
            later.push(got.call_id.clone());
            conclude(&*store, claim, Conclusion::Again { due_ms: now_ms() + 1_500, counts: true }).await;
        } else {
            deliver(&*store, claim).await;
        }
    }
    store.close().await;
    let store = open(&path, QueueOptions::default()).await.expect("it is opened again");
    assert_eq!(store.stats().await.expect("it can be asked").depth, MANY - MANY / 2 + later.len());
    let mut fresh = Vec::new();
    for _ in 0..MANY - MANY / 2 + later.len() {
        let (claim, got) = claim(&*store, 99).await;
        if claim.attempt == 1 {
            fresh.push(got.call_id.clone());
        } else {
            assert_eq!(claim.attempt, 2);
            later.retain(|id| *id != got.call_id);
        }
        deliver(&*store, claim).await;
    }
    assert_eq!(fresh, order[MANY / 2..], "in the order of acceptance");
    assert!(later.is_empty(), "{later:?} did not come again");
    store.close().await;
}

pub(super) async fn unacknowledged_claims_come_again(open: &impl AsyncFn(&Path, QueueOptions) -> OpenResult) {
    let (_folder, path) = place();
    let store = open(&path, QueueOptions::default()).await.expect("it is opened");
    accept(&*store, "c", "f").await;
    let (lost, _) = claim(&*store, 1).await;
    store.close().await;
    let store = open(&path, QueueOptions::default()).await.expect("it is opened again");
    let (claim, got) = claim(&*store, 1).await;
    assert_eq!((claim.id, claim.attempt, got.call_id.as_str()), (lost.id, 1, "c"));
    store.close().await;
}

pub(super) async fn a_damaged_file_is_refused_and_left_as_it_is(
    open: &impl AsyncFn(&Path, QueueOptions) -> OpenResult,
) {
    const CALLS: usize = 40;
    let (_folder, path) = place();
    let store = open(&path, QueueOptions::default()).await.expect("it is opened");
    for id in 0..CALLS {
        let new = NewCall { body: Bytes::from(vec![b'x'; 5_000]), ..new_call(&format!("c{id}"), "f") };
        store.accept(Arc::new(Call::new(new))).await.expect("it is accepted");
    }
    store.close().await;
    let whole = std::fs::read(&path).expect("a file");
    for length in [1, 4_096, whole.len() / 2, whole.len() - 1] {
        std::fs::write(&path, &whole[..length]).expect("it is written");
        let refused = open(&path, QueueOptions::default()).await.expect_err("a file that was cut is refused");
        assert!(matches!(refused, QueueError::Unusable { .. }), "{length}: {refused}");
        assert!(std::fs::read(&path).expect("a file") == whole[..length], "the file was changed");
    }
    let mut noticed = 0;
    for start in (0..whole.len() - 512).step_by(whole.len() / 40) {
        let mut damaged = whole.clone();
        damaged[start..start + 512].fill(0xa5);
        std::fs::write(&path, &damaged).expect("it is written");
        match open(&path, QueueOptions::default()).await {
            // Damage to unused bytes loses nothing.
            Ok(store) => {
                let stats = store.stats().await.expect("it can be asked");
                assert_eq!((stats.depth, stats.unreadable), (CALLS, 0), "damage at {start} went unnoticed");
                store.close().await;
            }
            Err(_) => {
                noticed += 1;
                assert!(std::fs::read(&path).expect("a file") == damaged, "damage at {start}: the file was changed");
            }
        }
    }
    assert!(noticed > 5, "only {noticed} of 40 damages were noticed");
}
