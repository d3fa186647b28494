//! The queue against a receiver that notes what it gets, and every store against the conformance suite.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use faasflow_core::chain;
use faasflow_core::handler::BoxFuture;
use http::{HeaderMap, StatusCode};
use tokio_util::sync::CancellationToken;

use crate::*;

mod put_off;

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(120);

#[tokio::test(flavor = "multi_thread")]
async fn the_store_in_memory_conforms() {
    conformance::check(async |options| Arc::new(MemoryStore::new(options)) as Arc<dyn Store>).await;
}

/// Gives prepared answers, and records every delivery.
#[derive(Default)]
struct Receiver {
    got: Mutex<Vec<Delivery>>,
    /// The status for a function; 200 where none is given. Taken one after the other, the last one stays.
    statuses: Mutex<HashMap<String, Vec<u16>>>,
    hangs: Mutex<Vec<String>>,
    changed: tokio::sync::Notify,
}

impl Receiver {
    fn answering(function: &str, statuses: &[u16]) -> Arc<Receiver> {
        let receiver = Receiver::default();
        receiver.statuses.lock().unwrap().insert(function.to_owned(), statuses.to_vec());
        Arc::new(receiver)
    }

    async fn until(&self, done: impl Fn(&[Delivery]) -> bool) {
        let waiting = async {
            loop {
                let changed = self.changed.notified();
                if done(&self.got.lock().unwrap()) {
                    return;
                }
                changed.await;
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.expect("it is delivered");
    }

    fn call_ids(&self) -> Vec<String> {
        self.got.lock().unwrap().iter().map(|delivery| delivery.call.call_id.clone()).collect()
    }
}

impl Deliver for Receiver {
    fn deliver(&self, delivery: Delivery) -> BoxFuture<'_, Result<Answer, Unreachable>> {
        let key = if delivery.call.is_callback() { "callback" } else { delivery.call.function() }.to_owned();
        let status = match self.statuses.lock().unwrap().get_mut(&key) {
            Some(statuses) if statuses.len() > 1 => statuses.remove(0),
            Some(statuses) => statuses[0],
            None => 200,
        };
        let hangs = self.hangs.lock().unwrap().contains(&key);
        self.got.lock().unwrap().push(delivery);
        self.changed.notify_one();
        Box::pin(async move {
            if hangs {
                std::future::pending::<()>().await;
            }
            let mut headers = HeaderMap::new();
            headers.insert("x-own", "1".parse().unwrap());
            let body = Bytes::from("answer");
            Ok(Answer {
                status: StatusCode::from_u16(status).unwrap(),
                headers,
                body,
                duration: Duration::ZERO,
                cause: None,
            })
        })
    }
}

fn call(id: &str, function: &str) -> NewCall {
    NewCall {
        call_id: id.to_owned(),
        function: function.to_owned(),
        path: String::new(),
        query: None,
        headers: HeaderMap::new(),
        body: Bytes::from(format!("body of {id}")),
        callback_url: None,
    }
}

fn quick() -> QueueOptions {
    QueueOptions { initial_delay: Duration::from_millis(1), max_attempts: 3, ..QueueOptions::default() }
}

struct Running {
    queue: Queue,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

impl Running {
    fn start(queue: &Queue, receiver: &Arc<Receiver>) -> Running {
        let stop = CancellationToken::new();
        let task = tokio::spawn({
            let (queue, receiver, stop) = (queue.clone(), receiver.clone(), stop.clone());
            async move { queue.run(receiver, stop).await }
        });
        Running { queue: queue.clone(), stop, task }
    }

    async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap();
        self.queue.close().await;
    }
}

fn file() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("queue.redb");
    (folder, path)
}

#[tokio::test(flavor = "multi_thread")]
async fn accepted_calls_are_delivered_in_order_and_are_gone() {
    let (_folder, path) = file();
    // One worker: the order of delivery is then that of acceptance.
    let queue = Queue::open(&path, QueueOptions { workers: 1, ..quick() }).unwrap();
    for id in 0..20 {
        assert_eq!(queue.enqueue(call(&format!("c{id}"), "f")).await.unwrap(), Accepted::New);
    }
    let receiver = Arc::new(Receiver::default());
    let running = Running::start(&queue, &receiver);
    receiver.until(|got| got.len() == 20).await;
    running.stop().await;
    assert_eq!(receiver.call_ids(), (0..20).map(|id| format!("c{id}")).collect::<Vec<_>>());
    drop(queue);
    let reopened = Queue::open(&path, quick()).unwrap();
    assert_eq!(reopened.stats().await.unwrap().depth, 0);
    reopened.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unacknowledged_calls_are_delivered_after_a_restart() {
    let (_folder, path) = file();
    let queue = Queue::open(&path, quick()).unwrap();
    for id in ["a", "b", "c"] {
        queue.enqueue(call(id, "f")).await.unwrap();
    }
    queue.close().await;
    let queue = Queue::open(&path, QueueOptions { workers: 1, ..quick() }).unwrap();
    let receiver = Arc::new(Receiver::default());
    let running = Running::start(&queue, &receiver);
    receiver.until(|got| got.len() == 3).await;
    drop(queue);
    running.stop().await;
    assert_eq!(receiver.call_ids(), ["a", "b", "c"]);
    assert_eq!(receiver.got.lock().unwrap()[1].call.body, "body of b");
}

#[tokio::test(flavor = "multi_thread")]
async fn temporary_errors_are_tried_again_and_failures_are_not() {
    let (_folder, path) = file();
    let queue = Queue::open(&path, quick()).unwrap();
    let receiver = Receiver::answering("f", &[503, 429, 200]);
    receiver.statuses.lock().unwrap().insert("broken".into(), vec![500]);
    receiver.statuses.lock().unwrap().insert("down".into(), vec![503]);
    let running = Running::start(&queue, &receiver);
    queue.enqueue(call("recovers", "f")).await.unwrap();
    queue.enqueue(call("fails", "broken")).await.unwrap();
    queue.enqueue(call("never", "down")).await.unwrap();
    receiver.until(|got| got.len() == 7).await;
    let letters = loop {
        let letters = queue.dead_letters(10).await.unwrap();
        if letters.len() == 2 {
            break letters;
        }
        tokio::task::yield_now().await;
    };
    let letter = |id: &str| letters.iter().find(|letter| letter.call_id == id).unwrap().clone();
    assert_eq!((letter("fails").attempts, letter("fails").status), (1, Some(500)));
    assert_eq!(letter("never").reason, "it answered 503 Service Unavailable, at the last of 3 attempts");
    let whole = queue.dead_letter(letter("fails").id).await.unwrap().unwrap();
    assert_eq!((whole.body.as_str(), whole.answer_body.as_deref()), ("body of fails", Some("answer")));

    // After the redrive it is delivered. Its id was released, so a call with the id may be sent again.
    receiver.statuses.lock().unwrap().insert("broken".into(), vec![200]);
    let only = Selection { function: Some("broken".into()), ids: None };
    assert_eq!(queue.redrive(&only, Some(100)).await.unwrap(), 1);
    receiver.until(|got| got.len() == 8).await;
    assert_eq!(queue.enqueue(call("never", "f")).await.unwrap(), Accepted::New);
    assert_eq!(queue.discard(&Selection::default()).await.unwrap(), 1);
    assert_eq!(queue.stats().await.unwrap().dead_letters, 0);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_duplicate_is_dropped_also_after_a_restart_and_while_the_first_is_written() {
    let (_folder, path) = file();
    let queue = Queue::open(&path, quick()).unwrap();
    let same = || queue.enqueue(call("same", "f"));
    let (one, two, three) = tokio::join!(same(), same(), same());
    let accepted = [one.unwrap(), two.unwrap(), three.unwrap()];
    assert_eq!(accepted.iter().filter(|&&accepted| accepted == Accepted::New).count(), 1);
    queue.close().await;
    let queue = Queue::open(&path, quick()).unwrap();
    assert_eq!(queue.enqueue(call("same", "f")).await.unwrap(), Accepted::Duplicate);
    assert_eq!(queue.stats().await.unwrap().depth, 1);
    queue.close().await;

    let window = Duration::ZERO;
    let queue = Queue::open(&path, QueueOptions { duplicate_window: window, ..quick() }).unwrap();
    std::thread::sleep(Duration::from_millis(2));
    assert_eq!(queue.enqueue(call("same", "f")).await.unwrap(), Accepted::New);
    queue.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_callback_carries_the_answer_and_is_retried_like_a_call() {
    let (_folder, path) = file();
    let queue = Queue::open(&path, quick()).unwrap();
    let receiver = Receiver::answering("callback", &[503, 200]);
    receiver.statuses.lock().unwrap().insert("f".into(), vec![500]);
    let running = Running::start(&queue, &receiver);
    let url = "http://127.0.0.1:1/back".parse().unwrap();
    queue.enqueue(NewCall { callback_url: Some(url), ..call("c", "f") }).await.unwrap();
    receiver.until(|got| got.len() == 3).await;
    running.stop().await;
    let got = receiver.got.lock().unwrap();
    let last = &got[2];
    assert_eq!((last.attempt, &*last.call.body), (2, b"answer".as_slice()));
    let header = |name: &str| last.call.headers.get(name).map(|value| value.to_str().unwrap().to_owned());
    assert_eq!(header("x-function-status").as_deref(), Some("500"));
    assert_eq!(header("x-function-name").as_deref(), Some("f"));
    assert_eq!(header("x-call-id").as_deref(), Some("c"));
    assert_eq!(header("x-duration-seconds").as_deref(), Some("0.000000"));
    assert_eq!(header("x-own").as_deref(), Some("1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hanging_function_does_not_starve_the_others() {
    let (_folder, path) = file();
    let queue = Queue::open(&path, QueueOptions { workers: 4, ..quick() }).unwrap();
    let receiver = Arc::new(Receiver::default());
    receiver.hangs.lock().unwrap().push("stuck".into());
    let running = Running::start(&queue, &receiver);
    for id in 0..10 {
        queue.enqueue(call(&format!("s{id}"), "stuck")).await.unwrap();
    }
    for id in 0..10 {
        queue.enqueue(call(&format!("g{id}"), "good")).await.unwrap();
    }
    receiver.until(|got| got.iter().filter(|delivery| delivery.call.function() == "good").count() == 10).await;
    running.task.abort();
    queue.close().await;
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused() {
    let (_folder, path) = file();
    let queue = Queue::open(&path, QueueOptions { max_body: 4, ..quick() }).unwrap();
    let refused = queue.enqueue(call("c", "f")).await.unwrap_err();
    assert_eq!(refused.to_string(), "the body has 9 bytes, and the queue accepts 4");
    queue.close().await;
}

#[tokio::test]
async fn an_unusable_file_is_refused_and_left_as_it_is() {
    let (_folder, path) = file();
    std::fs::write(&path, b"something else entirely, and long enough to be looked at").unwrap();
    let refused = Queue::open(&path, quick()).unwrap_err();
    assert!(chain(&refused).contains("it is not a queue file"), "{refused:?}");
    assert!(refused.help().is_some_and(|help| help.contains("move the file aside")), "{refused:?}");
    assert!(std::fs::read(&path).unwrap().starts_with(b"something else"));

    let (_folder, path) = file();
    let queue = Queue::open(&path, quick()).unwrap();
    let second = Queue::open(&path, quick()).unwrap_err();
    assert!(chain(&second).contains("another process has it open"), "{second:?}");
    queue.close().await;
}

#[tokio::test]
async fn a_file_cut_in_half_is_refused_and_left_as_it_is() {
    let (_folder, path) = file();
    let queue = Queue::open(&path, quick()).unwrap();
    for id in 0..50 {
        queue.enqueue(NewCall { body: Bytes::from(vec![7; 10_000]), ..call(&format!("c{id}"), "f") }).await.unwrap();
    }
    queue.close().await;
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    let refused = std::panic::catch_unwind(|| Queue::open(&path, quick()));
    let refused = refused.expect("a damaged file is no panic").expect_err("a damaged file is not opened");
    assert!(matches!(refused, QueueError::Unusable { .. } | QueueError::Storage(_)), "{refused}");
    assert_eq!(std::fs::read(&path).unwrap().len(), whole.len() / 2);
}

/// A callback to an asynchronous route has the id of the call whose answer it carries. It is not a duplicate of that
/// call.
#[tokio::test(flavor = "multi_thread")]
async fn one_id_may_go_to_two_functions() {
    let (_folder, path) = file();
    let queue = Queue::open(&path, quick()).unwrap();
    assert_eq!(queue.enqueue(call("same", "one")).await.unwrap(), Accepted::New);
    assert_eq!(queue.enqueue(call("same", "two")).await.unwrap(), Accepted::New);
    assert_eq!(queue.enqueue(call("same", "one")).await.unwrap(), Accepted::Duplicate);
    queue.close().await;
}

/// Two redrives at once deliver each dead letter once.
#[tokio::test(flavor = "multi_thread")]
async fn concurrent_redrives_share_the_letters() {
    let (_folder, path) = file();
    let queue = Queue::open(&path, quick()).unwrap();
    let receiver = Receiver::answering("f", &[500]);
    let running = Running::start(&queue, &receiver);
    for id in 0..10 {
        queue.enqueue(call(&format!("c{id}"), "f")).await.unwrap();
    }
    receiver.until(|got| got.len() == 10).await;
    while queue.stats().await.unwrap().dead_letters < 10 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    receiver.statuses.lock().unwrap().insert("f".to_owned(), vec![200]);
    let all = Selection::default();
    let redrives = (0..8).map(|_| queue.redrive(&all, None));
    let moved: u64 = futures_util::future::join_all(redrives).await.into_iter().map(Result::unwrap).sum();
    assert_eq!(moved, 10);
    receiver.until(|got| got.len() >= 20).await;
    running.stop().await;
    assert_eq!(receiver.got.lock().unwrap().len(), 20);
}
