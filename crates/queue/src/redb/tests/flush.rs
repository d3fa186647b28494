//! The times of writes, and failing disks.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_call_whose_flush_failed_does_not_come_back() {
    let (_folder, path) = file();
    let store = RedbStore::open(&path, QueueOptions::default()).unwrap();
    store.accept(call("before", "f")).await.unwrap();
    // Everything is in the file then, but may not be on disk.
    file::faults::fail(&path, true);
    let refused = store.accept(call("refused", "f")).await.unwrap_err();
    assert!(refused.is_temporary(), "{refused}");
    file::faults::fail(&path, false);
    let deadline = std::time::Instant::now() + Duration::from_secs(60);
    while let Err(error) = store.accept(call("after", "f")).await {
        assert!(std::time::Instant::now() < deadline, "{error}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    store.close().await;
    let store = RedbStore::open(&path, QueueOptions::default()).unwrap();
    let there: Vec<String> = store.list(10).await.unwrap().into_iter().map(|call| call.call_id).collect();
    assert_eq!(there, ["before", "after"]);
    assert_eq!(store.accept(call("refused", "f")).await.unwrap(), Accepted::New, "its id is not taken either");
    store.close().await;
}

/// Conclusions do not wake the writer while calls come. The last one before a pause must not wait for the next call.
#[tokio::test(flavor = "multi_thread")]
async fn a_waiting_change_is_written_even_if_no_other_joins_it() {
    let (_folder, path) = file();
    let store = RedbStore::open(&path, QueueOptions::default()).unwrap();
    for id in 1..=12 {
        // After a call, after a pause that lets the writer fall asleep, and after one of another length.
        if id % 3 == 0 {
            store.accept(call(&format!("c{id}"), "f")).await.unwrap();
        }
        tokio::time::sleep(Duration::from_millis(id * 2)).await;
        let id = 1000 + id;
        store.writer.lazy(vec![Change::put_call(id, &call("c", "f"))]);
        let written = async {
            while read::call(&store.shared.disk, id).unwrap().is_none() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(PATIENCE, written).await.expect("nobody wrote it");
    }
    store.close().await;
}
