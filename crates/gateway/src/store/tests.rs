use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use super::*;

mod formats;
mod rows;

/// A store in a temporary folder.
struct Fixture {
    folder: tempfile::TempDir,
    store: Store,
}

fn limits() -> StoreLimits {
    StoreLimits { max_value: 1 << 20, time_to_live: Duration::from_secs(3600) }
}

fn open() -> Fixture {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), limits()).unwrap();
    Fixture { folder, store }
}

fn scope(request: &str) -> Scope {
    Scope { function: "f".into(), flow: "flow".into(), request: request.into() }
}

impl Fixture {
    async fn set(&self, request: &str, key: &str, length: usize) -> u64 {
        let mut value = self.store.begin();
        for _ in 0..length.div_ceil(1000) {
            value.append(&vec![7; length.min(1000)]).await.unwrap();
        }
        value.write(scope(request), key.into(), Condition::Always, None).await.unwrap().unwrap()
    }

    async fn keys(&self, request: &str) -> Vec<String> {
        let found = self.store.keys(scope(request), None, 10_000).await.unwrap();
        found.into_iter().map(|(key, _, _)| key).collect()
    }

    fn files(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.folder.path().join("state-values")).unwrap();
        entries.map(|entry| entry.unwrap().path()).collect()
    }

    /// Removes everything that is due. Returns how many steps that took.
    async fn collect(&self) -> usize {
        let mut steps = 1;
        while self.store.0.writer.change(Change::Collect).await.unwrap() == Outcome::More {
            steps += 1;
        }
        steps
    }

    /// The number of entries in the tables of scopes, expiry, values, garbage and files.
    async fn rows(&self) -> [u64; 5] {
        use redb::ReadableTableMetadata as _;
        let count = |read: &redb::ReadTransaction| {
            Ok([
                read.open_table(tables::SCOPES)?.len()?,
                read.open_table(tables::EXPIRY)?.len()?,
                read.open_table(tables::VALUES)?.len()?,
                read.open_table(tables::GARBAGE)?.len()?,
                read.open_table(FILES)?.len()?,
            ])
        };
        self.store.read(count).await.unwrap()
    }

    /// The number of entries in the tables of the list.
    async fn lines(&self) -> [u64; 3] {
        use redb::ReadableTableMetadata as _;
        let count = |read: &redb::ReadTransaction| {
            Ok([
                read.open_table(tables::LINES)?.len()?,
                read.open_table(tables::BY_TIME)?.len()?,
                read.open_table(tables::BY_STATUS)?.len()?,
            ])
        };
        self.store.read(count).await.unwrap()
    }

    async fn begin(&self, request: &str) {
        let value = self.store.begin();
        let written = value.write(scope(request), "begun@0".into(), Condition::Absent, Some(7)).await.unwrap();
        assert!(written.is_some());
    }

    async fn reopen(self) -> Fixture {
        let Fixture { folder, store } = self;
        store.close().await;
        let store = Store::open(folder.path(), limits()).unwrap();
        Fixture { folder, store }
    }
}

#[tokio::test]
async fn values_are_there_after_a_restart_and_versions_are_never_used_twice() {
    let fixture = open();
    let small = fixture.set("r", "small", 10).await;
    let large = fixture.set("r", "large", INLINE + 1000).await;
    let mode = std::fs::metadata(fixture.folder.path().join("state.redb")).unwrap().permissions().mode();
    assert_eq!(mode & 0o077, 0, "only the owner may read payloads");
    assert!(fixture.files().iter().all(|file| std::fs::metadata(file).unwrap().permissions().mode() & 0o077 == 0));
    let fixture = fixture.reopen().await;
    let Value { version, bytes } = fixture.store.get(&scope("r"), "small").await.unwrap().unwrap();
    assert!(matches!(bytes, ValueBytes::Inline(bytes) if bytes == vec![7; 10]));
    assert_eq!(version, small);
    let Value { version, bytes } = fixture.store.get(&scope("r"), "large").await.unwrap().unwrap();
    assert_eq!(version, large);
    let ValueBytes::File { file, length } = bytes else { panic!("it is not in a file") };
    let length_on_disk = file.metadata().await.unwrap().len();
    assert_eq!((length, length_on_disk), (length_on_disk, (INLINE + 1000).div_ceil(1000) as u64 * 1000));
    let newer = fixture.set("r", "small", 10).await;
    assert!(newer > small.max(large), "{newer}");
}

#[tokio::test]
async fn replaced_and_removed_values_leave_nothing() {
    let fixture = open();
    for length in [INLINE * 2, INLINE * 2, 5] {
        fixture.set("r", "a", length).await;
    }
    fixture.set("r", "b", INLINE * 2).await;
    fixture.store.remove(scope("r"), "b".into()).await.unwrap();
    // A condition that does not hold.
    let mut refused = fixture.store.begin();
    refused.append(&vec![1; INLINE * 2]).await.unwrap();
    assert_eq!(refused.write(scope("r"), "a".into(), Condition::Absent, None).await.unwrap(), None);
    // A value that never arrives completely.
    let mut dropped = fixture.store.begin();
    dropped.append(&vec![1; INLINE * 2]).await.unwrap();
    drop(dropped);
    // One that is too large.
    let mut large = fixture.store.begin();
    let error = loop {
        if let Err(error) = large.append(&vec![1; INLINE * 2]).await {
            break error;
        }
    };
    assert_eq!(error.code(), faasflow_core::code::VALUE_TOO_LARGE);
    drop(large);
    let fixture = fixture.reopen().await;
    assert_eq!((fixture.keys("r").await, fixture.files().len()), (vec!["a".to_owned()], 0));
    fixture.store.end(scope("r"), None).await.unwrap();
    fixture.collect().await;
    assert_eq!(fixture.rows().await, [0; 5]);
}

#[tokio::test]
async fn t6_many_values_are_removed_in_small_steps_that_survive_a_stop() {
    let fixture = open();
    for number in 0..1200 {
        // So large that each has a row of its own.
        fixture.set("many", &format!("result/{number}"), 5000).await;
    }
    fixture.set("many", "payload/1", INLINE * 2).await;
    fixture.set("many", "over@0", 3).await;
    fixture.set("other", "result/1", 3).await;
    fixture.store.end(scope("many"), Some(Duration::from_secs(3600))).await.unwrap();
    assert_eq!(fixture.keys("many").await, ["over@0"], "the others are gone at once");
    assert_eq!(fixture.store.0.writer.change(Change::Collect).await.unwrap(), Outcome::More);
    let left = fixture.rows().await[2];
    assert!((100..1201).contains(&left), "{left}");
    let fixture = fixture.reopen().await;
    assert!(fixture.collect().await >= 2);
    assert_eq!(fixture.rows().await, [2, 2, 2, 0, 0]);
    assert_eq!((fixture.keys("other").await, fixture.files().len()), (vec!["result/1".to_owned()], 0));
}

#[tokio::test]
async fn t3_every_request_expires_and_expired_values_are_removed() {
    let fixture = open();
    for request in ["short", "long", "open"] {
        fixture.set(request, "over@0", 3).await;
        fixture.set(request, "result/1", 3).await;
    }
    fixture.store.end(scope("short"), Some(Duration::from_millis(1))).await.unwrap();
    fixture.store.end(scope("long"), Some(Duration::from_secs(3600))).await.unwrap();
    tokio::time::sleep(Duration::from_millis(5)).await;
    fixture.collect().await;
    assert_eq!(fixture.keys("short").await, [""; 0]);
    assert_eq!(fixture.keys("long").await, ["over@0"]);
    assert_eq!(fixture.keys("open").await, ["result/1", "over@0"]);
    // Requests that never end expire as well.
    assert_eq!(fixture.rows().await[..2], [2, 2]);
    // A value that is written late expires too.
    fixture.set("short", "result/2", 3).await;
    assert_eq!(fixture.rows().await[..2], [3, 3]);
}

#[tokio::test]
async fn requests_that_have_ended_expire_with_their_lines() {
    let fixture = open();
    // A line without values expires too.
    fixture.store.list(scope("empty"), 7, Status::Paused).await.unwrap();
    assert_eq!(fixture.rows().await, [1, 1, 0, 0, 0]);
    fixture.store.retire(scope("empty"), 7, Status::Success, Duration::from_millis(1), Duration::ZERO).await.unwrap();
    let (soon, later) = (Duration::from_millis(1), Duration::from_secs(3600));
    for request in ["soon", "later", "open", "removed"] {
        fixture.begin(request).await;
        fixture.set(request, "over@0", 3).await;
    }
    for (request, keep_for) in [("soon", soon), ("later", later)] {
        fixture.store.retire(scope(request), 7, Status::Success, keep_for, later).await.unwrap();
    }
    fixture.store.end(scope("removed"), None).await.unwrap();
    tokio::time::sleep(Duration::from_millis(5)).await;
    let query = ListQuery::newest(9);
    let listed = fixture.store.lines("f".into(), "flow".into(), query.clone()).await.unwrap();
    let names: Vec<&str> = listed.iter().map(|line| line.request.as_str()).collect();
    assert_eq!(names, ["open", "later"], "what has expired is left out before it is removed");
    fixture.collect().await;
    assert_eq!((fixture.lines().await, fixture.keys("soon").await), ([2; 3], vec!["over@0".to_owned()]));
    assert_eq!(fixture.keys("later").await, ["begun@0", "over@0"]);
    for request in ["soon", "later"] {
        fixture.store.retire(scope(request), 7, Status::Success, Duration::ZERO, Duration::ZERO).await.unwrap();
    }
    fixture.store.end(scope("open"), Some(later)).await.unwrap();
    fixture.collect().await;
    assert_eq!((fixture.lines().await, fixture.rows().await), ([0; 3], [1, 1, 1, 0, 0]));
}

/// Readers do not see what has expired, so neither may a write that depends on it.
#[tokio::test]
async fn a_request_that_has_expired_can_begin_again_before_it_is_removed() {
    let fixture = open();
    fixture.begin("r").await;
    fixture.set("r", "result/1", 3).await;
    let (soon, later) = (Duration::from_millis(1), Duration::from_secs(3600));
    fixture.store.retire(scope("r"), 7, Status::Success, soon, later).await.unwrap();
    while !fixture.keys("r").await.is_empty() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    fixture.begin("r").await;
    assert_eq!(fixture.keys("r").await, ["begun@0"]);
    fixture.collect().await;
    assert_eq!(fixture.keys("r").await, ["begun@0"]);
}

#[tokio::test]
async fn keys_are_listed_in_pages() {
    let fixture = open();
    let names = ["", "a", "over@0", "over@1", "result/1", "result/2", "z"];
    for name in names {
        fixture.set("r", name, 3).await;
    }
    let (mut listed, mut after) = (Vec::new(), None);
    loop {
        let page = fixture.store.keys(scope("r"), after.clone(), 2).await.unwrap();
        let Some((last, _, _)) = page.last() else { break };
        after = Some(last.clone());
        listed.extend(page.into_iter().map(|(key, _, bytes)| (key, bytes)));
    }
    let expected = ["", "a", "result/1", "result/2", "z", "over@0", "over@1"].map(|key| (key.to_owned(), 3));
    assert_eq!(listed, expected);
}

#[tokio::test]
async fn files_of_other_kinds_are_refused_and_left() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.redb");
    let refused = || {
        let before = std::fs::read(&path).unwrap();
        let error = Store::open(folder.path(), limits()).unwrap_err();
        assert!(std::fs::read(&path).unwrap() == before, "the file was changed: {error}");
        assert_eq!(error.code(), faasflow_core::code::STORE_UNUSABLE);
        format!("{}; {}", faasflow_core::chain(&error), error.help().unwrap())
    };
    for content in ["", "#!/bin/sh\n", &"no store ".repeat(5000)] {
        std::fs::write(&path, content).unwrap();
        assert!(refused().contains("is damaged, or is not the file of a store"), "{}", refused());
    }
    std::fs::remove_file(&path).unwrap();

    let fixture =
        Fixture { store: Store::open(folder.path(), limits()).unwrap(), folder: tempfile::tempdir().unwrap() };
    fixture.set("r", "key", 50_000).await;
    assert!(refused().contains("another process has it open"));
    fixture.store.close().await;
    let mut damaged = std::fs::read(&path).unwrap();
    let middle = damaged.windows(1000).position(|part| part.iter().all(|byte| *byte == 7)).unwrap();
    damaged[middle + 10] ^= 1;
    std::fs::write(&path, damaged).unwrap();
    assert!(refused().contains("it is damaged"), "{}", refused());
    std::fs::remove_file(&path).unwrap();

    Store::open(folder.path(), limits()).unwrap().close().await;
    // A process that another test starts shares the released lock for a moment.
    let database = loop {
        match redb::Database::open(&path) {
            Err(redb::DatabaseError::DatabaseAlreadyOpen) => tokio::time::sleep(Duration::from_millis(5)).await,
            opened => break opened.unwrap(),
        }
    };
    let write = database.begin_write().unwrap();
    write.open_table(faasflow_queue::database::META).unwrap().insert("format", 4).unwrap();
    write.commit().unwrap();
    database.close().unwrap();
    assert!(refused().contains("its format is 4, and this version of faasflow reads format 3"));
}

#[tokio::test]
async fn a_store_that_is_closed_says_so() {
    let fixture = open();
    fixture.store.close().await;
    let closed = fixture.store.remove(scope("r"), "key".into()).await.unwrap_err();
    assert!(matches!(closed, StoreError::Closed), "{closed}");
    let closed = fixture.store.keys(scope("r"), None, 1).await.unwrap_err();
    assert!(matches!(closed, StoreError::Closed), "{closed}");
}

#[tokio::test]
async fn the_metrics_count_what_is_read_written_and_held() {
    let fixture = open();
    fixture.set("r", "result/1", 1000).await;
    fixture.set("r", "result/2", 100_000).await;
    fixture.set("other", "result/1", 10).await;
    let refused = fixture.store.begin().write(scope("r"), "result/1".into(), Condition::Absent, None).await.unwrap();
    assert_eq!(refused, None);
    for key in ["result/1", "result/2", "missing"] {
        fixture.store.get(&scope("r"), key).await.unwrap();
    }
    let wanted = ["result/1", "missing"].map(|key| (Arc::new(scope("other")), Arc::from(key)));
    fixture.store.get_some(wanted.to_vec(), 1 << 20).await.unwrap();
    fixture.store.end(scope("r"), None).await.unwrap();

    let text = async || prometheus::TextEncoder::new().encode_to_string(&fixture.store.metrics().await.unwrap());
    let shown = text().await.unwrap();
    for line in [
        "faasflow_store_reads_total 5",
        "faasflow_store_read_bytes_total 101010",
        "faasflow_store_writes_total 3",
        "faasflow_store_written_bytes_total 101010",
        "faasflow_store_requests 1",
        "faasflow_store_removals 1",
        "faasflow_store_flush_seconds_count 4",
    ] {
        assert!(shown.lines().any(|shown| shown == line), "{line} is not in:\n{shown}");
    }
    fixture.collect().await;
    assert!(text().await.unwrap().contains("faasflow_store_removals 0\n"));
}
