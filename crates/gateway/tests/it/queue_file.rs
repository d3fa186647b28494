//! The queue's file when it is damaged, of another kind, or cannot be written: what was accepted is never lost
//! silently.

use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use crate::support::until;
use bytes::Bytes;
use faasflow_core::handler::BoxFuture;
use faasflow_gateway::queue::{Accepted, Answer, Deliver, Delivery, NewCall, Queue, QueueOptions, Unreachable};
use http::{HeaderMap, StatusCode};
use redb::{ReadableDatabase as _, TableDefinition};
use tokio_util::sync::CancellationToken;

fn call(id: &str, size: usize) -> NewCall {
    NewCall {
        call_id: id.to_owned(),
        function: "f".to_owned(),
        path: String::new(),
        query: None,
        headers: HeaderMap::new(),
        body: Bytes::from(vec![b'x'; size]),
        callback_url: None,
    }
}

/// A file with 40 calls in it, closed well.
async fn filled() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("queue.redb");
    let queue = Queue::open(&path, QueueOptions::default()).unwrap();
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o077, 0, "payloads wait in it, which are nobody else's");
    for id in 0..40 {
        queue.enqueue(call(&format!("c{id}"), 5000)).await.unwrap();
    }
    queue.close().await;
    (folder, path)
}

/// Opens a file without the queue. A process that another test starts shares the lock that the queue has released, for a moment.
async fn opened(path: &Path) -> redb::Database {
    until("the file is free", async || match redb::Database::open(path) {
        Err(redb::DatabaseError::DatabaseAlreadyOpen) => None,
        database => Some(database.unwrap()),
    })
    .await
}

/// Opens a file that must be refused, and be left as it was. Returns the error.
fn refused(path: &Path) -> String {
    let before = std::fs::read(path).ok();
    let listed = listing(path);
    let refused = Queue::open(path, QueueOptions::default()).err();
    let error = refused.unwrap_or_else(|| panic!("{} was opened", path.display()));
    let text = format!("{}; {}", faasflow_core::chain(&error), error.help().expect("there is something to do"));
    assert!(std::fs::read(path).ok() == before, "the file was changed: {text}");
    assert_eq!(listing(path), listed, "{text}");
    assert!(text.starts_with(&format!("the queue file {} cannot be used: ", path.display())), "{text}");
    text
}

fn listing(path: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(path.parent().unwrap()) else { return Vec::new() };
    let mut found: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    found.sort();
    found
}

#[tokio::test]
async fn a_damaged_file_is_refused_and_left_as_it_is() {
    let (_folder, path) = filled().await;
    let whole = std::fs::read(&path).unwrap();
    for length in [1, 63, 64, 320, 4095, 4096, 5000, whole.len() / 3, whole.len() / 2, whole.len() - 1] {
        std::fs::write(&path, &whole[..length]).unwrap();
        let printed = refused(&path);
        assert!(printed.contains("move the file aside"), "{length}: {printed}");
    }
    std::fs::write(&path, b"").unwrap();
    assert!(refused(&path).contains("it is damaged: it is empty"));
    std::fs::write(&path, b"#!/bin/sh\necho this is no queue, and long enough to be one\n".repeat(100)).unwrap();
    assert!(refused(&path).contains("it is not a queue file"), "{}", refused(&path));
    std::fs::write(&path, vec![0; whole.len()]).unwrap();
    refused(&path);

    // A sector that went bad: wherever something lies, it is noticed; where nothing lies, all is still there.
    let mut noticed = 0;
    for start in (0..whole.len() - 512).step_by(whole.len() / 60) {
        let mut damaged = whole.clone();
        damaged[start..start + 512].fill(0xa5);
        if damaged == whole {
            continue;
        }
        std::fs::write(&path, &damaged).unwrap();
        match Queue::open(&path, QueueOptions::default()) {
            Ok(queue) => {
                let stats = queue.stats().await.unwrap();
                assert_eq!((stats.depth, stats.unreadable), (40, 0), "damage at {start} went unnoticed");
                queue.close().await;
            }
            Err(_) => {
                noticed += 1;
                assert!(std::fs::read(&path).unwrap() == damaged, "damage at {start}: the file was changed");
            }
        }
    }
    assert!(noticed > 5, "{noticed}");

    std::fs::write(&path, &whole).unwrap();
    let queue = Queue::open(&path, QueueOptions::default()).unwrap();
    assert_eq!(queue.stats().await.unwrap().depth, 40, "put right, it is taken up");
    queue.close().await;
}

#[tokio::test]
async fn a_file_that_was_never_closed_is_mended_and_whole() {
    let (folder, path) = filled().await;
    let queue = Queue::open(&path, QueueOptions::default()).unwrap();
    for id in 40..50 {
        queue.enqueue(call(&format!("c{id}"), 5000)).await.unwrap();
    }
    // As kill -9 leaves it.
    let torn = folder.path().join("torn.redb");
    std::fs::copy(&path, &torn).unwrap();
    queue.close().await;
    let queue = Queue::open(&torn, QueueOptions::default()).unwrap();
    assert_eq!(queue.stats().await.unwrap().depth, 50);
    queue.close().await;

    // And torn, with damage besides: refused, and left as it was.
    std::fs::copy(&torn, &path).unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.windows(5000).position(|part| part.iter().all(|&byte| byte == b'x')).unwrap();
    bytes[middle + 100] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    assert!(refused(&path).contains("it is damaged"));
}

#[tokio::test]
async fn obstacles_on_the_path_of_the_file_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("queue.redb");
    std::fs::create_dir(&path).unwrap();
    assert!(refused(&path).contains("it is a folder"), "{}", refused(&path));
    std::fs::remove_dir(&path).unwrap();
    std::fs::write(folder.path().join("file"), "").unwrap();
    let printed = refused(&folder.path().join("file/queue.redb"));
    assert!(printed.contains("or choose another"), "{printed}");

    let queue = Queue::open(&path, QueueOptions::default()).unwrap();
    queue.enqueue(call("c", 1)).await.unwrap();
    let printed = refused(&path);
    assert!(printed.contains("another process has it open"), "{printed}");
    assert!(printed.contains("stop the other"), "{printed}");
    queue.enqueue(call("d", 1)).await.unwrap();
    queue.close().await;
    let queue = Queue::open(&path, QueueOptions::default()).unwrap();
    assert_eq!(queue.stats().await.unwrap().depth, 2);
    queue.close().await;
}

#[tokio::test]
async fn a_file_of_a_newer_version_is_left_to_it() {
    let (_folder, path) = filled().await;
    let database = opened(&path).await;
    let write = database.begin_write().unwrap();
    write.open_table(TableDefinition::<&str, u64>::new("meta")).unwrap().insert("format", 4).unwrap();
    write.commit().unwrap();
    database.close().unwrap();
    let printed = refused(&path);
    assert!(printed.contains("its format is 4, and this version of faasflow reads formats up to 3"), "{printed}");
    assert!(printed.contains("use the version of faasflow that wrote the file"), "{printed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_cannot_be_read_stays_and_is_reported() {
    const CALLS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("calls");
    const UNREADABLE: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("unreadable");
    let (_folder, path) = filled().await;
    let database = opened(&path).await;
    let write = database.begin_write().unwrap();
    write.open_table(CALLS).unwrap().insert(7, b"nonsense".as_slice()).unwrap();
    write.commit().unwrap();
    database.close().unwrap();

    let queue = Queue::open(&path, QueueOptions::default()).unwrap();
    let stats = queue.stats().await.unwrap();
    assert_eq!((stats.depth, stats.unreadable), (39, 1));
    assert_eq!(queue.unreadable().await.unwrap()[0].0, 7);
    let stop = CancellationToken::new();
    let running = tokio::spawn({
        let (queue, stop) = (queue.clone(), stop.clone());
        async move { queue.run(Arc::new(Taker), stop).await }
    });
    until("the others are delivered", async || (queue.stats().await.unwrap().depth == 0).then_some(())).await;
    stop.cancel();
    running.await.unwrap();
    queue.close().await;
    let database = opened(&path).await;
    let read = database.begin_read().unwrap();
    let record = read.open_table(UNREADABLE).unwrap().get(7).unwrap().map(|record| record.value().to_vec());
    assert_eq!(record.as_deref(), Some(b"nonsense".as_slice()));
}

struct Taker;

impl Deliver for Taker {
    fn deliver(&self, _: Delivery) -> BoxFuture<'_, Result<Answer, Unreachable>> {
        let (headers, body) = (HeaderMap::new(), Bytes::new());
        Box::pin(std::future::ready(Ok(Answer {
            status: StatusCode::OK,
            headers,
            body,
            duration: Duration::ZERO,
            cause: None,
        })))
    }
}

/// The variable that tells a test to play its part in a process of its own, and with which file.
const PART: &str = "FAASFLOW_TEST_PART";

/// Runs one test of this program again as another process, which gets `PART`.
fn again(test: &str, path: &Path, change: impl FnOnce(&mut Command)) -> std::process::Output {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", &format!("queue_file::{test}"), "--nocapture"]).env(PART, path);
    change(&mut command);
    command.output().unwrap()
}

fn part() -> Option<PathBuf> {
    #[expect(clippy::disallowed_methods, reason = "it was set by this test for itself")]
    std::env::var_os(PART).map(PathBuf::from)
}

#[tokio::test]
async fn a_file_that_may_not_be_written_is_refused() {
    if let Some(path) = part() {
        let refused = Queue::open(&path, QueueOptions::default()).unwrap_err();
        println!("SAID {}", faasflow_core::chain(&refused));
        return;
    }
    let (folder, path) = filled().await;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o444)).unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let before = std::fs::read(&path).unwrap();
    // The super-user may write everything, so somebody else has to try.
    let root = std::fs::metadata("/proc/self").map(|own| std::os::unix::fs::MetadataExt::uid(&own)).unwrap_or(0) == 0;
    let output = again("a_file_that_may_not_be_written_is_refused", &path, |command| {
        if root {
            command.uid(65534).gid(65534);
        }
    });
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(printed.contains("SAID the queue file") && printed.contains("Permission denied"), "{output:?}");
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

/// A limit on the size of files stands in for a disk that is full: the system refuses to write in both cases.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_calls_loses_none_and_recovers() {
    if let Some(path) = part() {
        return fill(&path).await;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("queue.redb");
    let output = again("a_full_disk_refuses_calls_loses_none_and_recovers", &path, |_| {});
    assert!(
        output.status.success(),
        "{}\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    // The process is gone; the file has all that it was promised to have.
    let accepted = String::from_utf8_lossy(&output.stdout).matches("ACCEPTED").count();
    let queue = Queue::open(&path, QueueOptions::default()).unwrap();
    assert!(accepted > 20, "{accepted}");
    let ids: Vec<String> = queue.list(usize::MAX).await.unwrap().into_iter().map(|call| call.call_id).collect();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        if let Some((_, id)) = line.split_once("ACCEPTED ") {
            assert!(ids.iter().any(|found| found == id), "{id} was accepted");
        }
    }
    assert_eq!(ids.len(), accepted, "and nothing that was refused");
    queue.close().await;
}

async fn fill(path: &Path) {
    limit_files(4 << 20);
    let queue = Queue::open(path, QueueOptions::default()).unwrap();
    let mut refusals = 0;
    for id in 0.. {
        let id = format!("before-{id}");
        match queue.enqueue(call(&id, 100_000)).await {
            Ok(Accepted::New) => println!("ACCEPTED {id}"),
            Ok(other) => panic!("{other:?}"),
            Err(error) => {
                assert!(error.is_temporary(), "{error}");
                refusals += 1;
            }
        }
        if refusals == 3 {
            break;
        }
        assert!(id != "before-1000", "the limit has no effect");
    }
    limit_files(64 << 20);
    // A call that was refused may be sent again under its id, and is accepted as a new one.
    let accepted = until("there is space again", async || queue.enqueue(call("after", 100_000)).await.ok()).await;
    assert_eq!(accepted, Accepted::New);
    println!("ACCEPTED after");
    for id in 0..20 {
        assert_eq!(queue.enqueue(call(&format!("after-{id}"), 1000)).await.unwrap(), Accepted::New);
        println!("ACCEPTED after-{id}");
    }
    // Killed in the middle of it all, as it were: nothing is closed.
    std::process::exit(0);
}

#[allow(unsafe_code, reason = "the standard library sets no limits")]
pub(crate) fn limit_files(bytes: u64) {
    // SAFETY: both take plain values; the signal that a limit sends is ignored, so that writes fail instead.
    unsafe {
        libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
        let limit = libc::rlimit { rlim_cur: bytes, rlim_max: libc::RLIM_INFINITY };
        assert_eq!(libc::setrlimit(libc::RLIMIT_FSIZE, &raw const limit), 0);
    }
}
