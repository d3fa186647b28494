//! The store in a file.

use std::io::Read as _;
use std::path::PathBuf;
use std::process::Command;

use super::*;
use crate::conformance;
use crate::conformance::steps::new_call;

mod flush;
mod migration;

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(120);

fn file() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("queue.redb");
    (folder, path)
}

fn call(id: &str, function: &str) -> Arc<Call> {
    Arc::new(Call::new(new_call(id, function)))
}

async fn open(path: &Path, options: QueueOptions) -> Result<Arc<dyn Store>, QueueError> {
    Ok(Arc::new(RedbStore::open(path, options)?))
}

#[tokio::test(flavor = "multi_thread")]
async fn it_conforms() {
    let folders = Mutex::new(Vec::new());
    conformance::check(async |options| {
        let (folder, path) = file();
        folders.lock().unwrap().push(folder);
        open(&path, options).await.unwrap()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_durable() {
    conformance::check_durable(open).await;
    conformance::check_file(open).await;
}

/// The variable that turns a test into the victim. Its value is the path of the file.
const VICTIM: &str = "FAASFLOW_TEST_VICTIM";

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_process_loses_nothing() {
    #[expect(clippy::disallowed_methods, reason = "it was set by this test for itself")]
    if let Some(path) = std::env::var_os(VICTIM) {
        return conformance::victim(open(Path::new(&path), QueueOptions::default()).await.unwrap()).await;
    }
    let (_folder, path) = file();
    for round in 1..=3 {
        let mut victim = Command::new(std::env::current_exe().unwrap());
        let name = "redb::tests::a_killed_process_loses_nothing";
        victim.args(["--exact", name, "--nocapture", "--test-threads=1"]).env(VICTIM, &path);
        conformance::killed(victim, 150 * round, &path, open).await;
        std::fs::remove_file(&path).unwrap();
    }
}

/// More delayed calls than fit into memory.
#[tokio::test(flavor = "multi_thread")]
async fn delayed_calls_beyond_the_window_are_all_delivered() {
    const MANY: usize = 6_000;
    let (_folder, path) = file();
    let store = RedbStore::open(&path, QueueOptions::default()).unwrap();
    futures_util::future::join_all((0..MANY).map(|id| store.accept(call(&format!("c{id}"), "f")))).await;
    let base = now_ms() + 12_000;
    for at in 0..MANY as u64 {
        let claim = store.claim(&|_| 99).await.unwrap();
        assert_eq!(claim.attempt, 1);
        // In no particular order.
        let due_ms = base + at * 7919 % 500;
        store.conclude(claim, Conclusion::Again { due_ms, counts: true }).await.unwrap();
    }
    assert!(store.shared.window().schedule.entries().count() <= 1_024);
    // A lane that is full of them does not delay the retries of another.
    store.accept(call("other", "g")).await.unwrap();
    let claim = store.claim(&|_| 99).await.unwrap();
    assert_eq!(&*claim.lane, "g");
    let other = claim.id;
    store.conclude(claim, Conclusion::Again { due_ms: base + 400, counts: true }).await.unwrap();
    tokio::time::sleep(Duration::from_millis((base + 600).saturating_sub(now_ms()))).await;
    let stuck = |lane: &str| if lane == "f" { 0 } else { 99 };
    let claim = tokio::time::timeout(PATIENCE, store.claim(&stuck)).await.expect("it is held up");
    let claim = claim.unwrap();
    assert_eq!((claim.id, claim.attempt), (other, 2));
    store.conclude(claim, Conclusion::Delivered { callback: None }).await.unwrap();
    let mut seen = std::collections::HashSet::new();
    while seen.len() < MANY {
        let claim = tokio::time::timeout(PATIENCE, store.claim(&|_| 99)).await.expect("one is lost");
        let claim = claim.unwrap();
        assert_eq!(claim.attempt, 2);
        assert!(seen.insert(claim.id), "{} came twice", claim.id);
        store.conclude(claim, Conclusion::Delivered { callback: None }).await.unwrap();
    }
    assert_eq!(store.stats().await.unwrap().depth, 0);
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_queue_is_not_in_memory() {
    let (_folder, path) = file();
    let store = RedbStore::open(&path, QueueOptions::default()).unwrap();
    futures_util::future::join_all((0..5_000).map(|id| store.accept(call(&format!("c{id}"), "f")))).await;
    assert_eq!(store.shared.window().schedule.entries().count(), window::WINDOW);
    store.close().await;
    let store = RedbStore::open(&path, QueueOptions::default()).unwrap();
    assert!(store.shared.window().schedule.entries().count() <= window::WINDOW);
    assert_eq!(store.stats().await.unwrap().depth, 5_000);
    store.close().await;
}
