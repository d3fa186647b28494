//! A file of older versions: 22 calls, one of them tried once and one with a callback, a dead letter, and the ids of
//! all. The file of the second format was migrated from that of the first.

use super::*;

const OLDER: [&[u8]; 2] = [include_bytes!("../format-1.redb.gz"), include_bytes!("../format-2.redb.gz")];

/// A queue that remembers ids and letters of any age.
fn patient() -> QueueOptions {
    QueueOptions { duplicate_window: Duration::MAX, dead_letter_age: Duration::MAX, ..QueueOptions::default() }
}

fn older(compressed: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let (folder, path) = file();
    let mut bytes = Vec::new();
    flate2::read::GzDecoder::new(compressed).read_to_end(&mut bytes).unwrap();
    std::fs::write(&path, bytes).unwrap();
    (folder, path)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_the_first_version_is_migrated() {
    is_taken_up_whole(OLDER[0]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_the_second_version_is_migrated() {
    is_taken_up_whole(OLDER[1]).await;
}

async fn is_taken_up_whole(compressed: &[u8]) {
    let (_folder, path) = older(compressed);
    for opened in 1..=2 {
        let store = RedbStore::open(&path, patient()).unwrap();
        let stats = store.stats().await.unwrap();
        assert_eq!((stats.depth, stats.dead_letters, stats.unreadable), (22, 1, 0), "opened {opened} times");
        let functions =
            [("down", 1), ("f", 10), ("f.openfaas-fn", 1), ("g", 10)].map(|(name, count)| (name.to_owned(), count));
        assert_eq!(stats.functions, functions.into());
        let listed = store.list(99).await.unwrap();
        let mut expected = vec!["tried".to_owned(), "asks".to_owned()];
        expected.extend((0..20).map(|id| format!("c{id}")));
        assert_eq!(listed.iter().map(|call| call.call_id.clone()).collect::<Vec<_>>(), expected);
        assert_eq!(
            (listed[0].attempt, listed[0].due_ms, listed[0].accepted_ms),
            (2, 1_795_873_065_673, 1_795_870_065_666)
        );
        store.close().await;
    }
    let store = RedbStore::open(&path, patient()).unwrap();
    for (id, function) in [("tried", "down"), ("asks", "f"), ("c0", "f"), ("c19", "g")] {
        assert_eq!(store.accept(call(id, function)).await.unwrap(), Accepted::Duplicate, "{id}");
    }
    // A call that was given up may be sent again.
    assert_eq!(store.accept(call("dead", "broken")).await.unwrap(), Accepted::New);
    let ids = store.letters().await.unwrap();
    let letter = store.letter(ids[0]).await.unwrap().unwrap();
    assert_eq!(
        (letter.call.call_id.as_str(), letter.reason.as_str()),
        ("dead", "it answered 500 Internal Server Error")
    );
    assert_eq!((letter.attempts, letter.answer.as_ref().unwrap().2.as_ref()), (1, b"no".as_slice()));
    assert!(store.revive(ids[0], 0).await.unwrap());

    let mut got = std::collections::HashMap::new();
    // All except the delayed one, unless it is due.
    while got.get("dead") != Some(&2)
        || (0..20).any(|id| !got.contains_key(&format!("c{id}")))
        || !got.contains_key("asks")
    {
        let claim = store.claim(&|_| 99).await.unwrap();
        let call = store.fetch(&claim).await.unwrap().unwrap();
        let expected = new_call(&call.call_id, call.function());
        assert_eq!((&call.headers, &call.body), (&expected.headers, &expected.body));
        *got.entry(call.call_id.clone()).or_insert(0) += 1;
        if call.call_id == "asks" {
            let crate::Target::Function { path, query, callback_url, .. } = &call.target else { panic!("{call:?}") };
            assert_eq!((path.as_str(), query.as_deref()), ("/p", Some("q=1")));
            assert_eq!(callback_url.as_ref().unwrap(), "http://127.0.0.1:9/back?x=1");
        }
        store.conclude(claim, Conclusion::Delivered { callback: None }).await.unwrap();
    }
    assert_eq!(got["dead"], 2);
    assert!((0..20).all(|id| got[&format!("c{id}")] == 1));
    store.close().await;
}

/// A file that could be migrated is not touched if it is damaged.
#[test]
fn a_damaged_file_of_an_older_version_is_left_as_it_is() {
    for compressed in OLDER {
        let (_folder, path) = older(compressed);
        let mut bytes = std::fs::read(&path).unwrap();
        // Unused pages may contain it too.
        let bodies = bytes.windows(10).enumerate().filter(|(_, part)| *part == b"body of c7").map(|(at, _)| at);
        for body in bodies.collect::<Vec<_>>() {
            bytes[body] ^= 1;
        }
        std::fs::write(&path, &bytes).unwrap();
        assert!(matches!(RedbStore::open(&path, patient()), Err(QueueError::Unusable { .. })));
        assert!(std::fs::read(&path).unwrap() == bytes);
    }
}
