//! Functions that take only so many calls at once.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn h8_a_call_that_is_put_off_keeps_its_attempts() {
    let (_folder, path) = file();
    let queue = Queue::open(&path, quick()).unwrap();
    // The call is put off far more often than there are attempts. Then it fails twice, which is fewer.
    let statuses = [[429; 10].as_slice(), &[503, 429, 503, 200]].concat();
    let receiver = Receiver::answering("f", &statuses);
    let running = Running::start(&queue, &receiver);
    queue.enqueue(call("c", "f")).await.unwrap();
    receiver.until(|got| got.len() == statuses.len()).await;
    let attempts: Vec<u32> = receiver.got.lock().unwrap().iter().map(|delivery| delivery.attempt).collect();
    assert_eq!(attempts, [[1; 11].as_slice(), &[2, 2, 3]].concat());
    running.stop().await;
    assert_eq!((queue.stats().await.unwrap().depth, queue.stats().await.unwrap().dead_letters), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn h8_a_call_that_is_put_off_keeps_its_attempts_over_a_restart() {
    let (_folder, path) = file();
    let receiver = Receiver::answering("f", &[429]);
    for round in 1..=4 {
        let queue = Queue::open(&path, quick()).unwrap();
        let running = Running::start(&queue, &receiver);
        if round == 1 {
            queue.enqueue(call("c", "f")).await.unwrap();
        }
        receiver.until(|got| got.len() >= 2 * round).await;
        running.stop().await;
    }
    assert!(receiver.got.lock().unwrap().iter().all(|delivery| delivery.attempt == 1));
}

/// Records the number of concurrent deliveries.
struct Counting {
    /// Where the first two deliveries wait for each other.
    two: tokio::sync::Barrier,
    begun: AtomicUsize,
    now: AtomicUsize,
    most: AtomicUsize,
    done: AtomicUsize,
    changed: tokio::sync::Notify,
}

impl Deliver for Counting {
    fn deliver(&self, delivery: Delivery) -> BoxFuture<'_, Result<Answer, Unreachable>> {
        let counted = delivery.call.function().starts_with("limited");
        Box::pin(async move {
            if counted {
                let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
                self.most.fetch_max(now, Ordering::SeqCst);
                if self.begun.fetch_add(1, Ordering::SeqCst) < 2 {
                    self.two.wait().await;
                }
                // Let other deliveries begin in between.
                for _ in 0..20 {
                    tokio::task::yield_now().await;
                }
                self.now.fetch_sub(1, Ordering::SeqCst);
            }
            self.done.fetch_add(1, Ordering::SeqCst);
            self.changed.notify_one();
            let (headers, body) = (HeaderMap::new(), Bytes::new());
            Ok(Answer { status: StatusCode::OK, headers, body, duration: Duration::ZERO, cause: None })
        })
    }

    fn at_once(&self, function: &str) -> usize {
        if function == "limited" { 2 } else { usize::MAX }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn h8_a_limited_function_is_sent_no_more_than_it_takes() {
    let (_folder, path) = file();
    let queue = Queue::open(&path, quick()).unwrap();
    let receiver = Arc::new(Counting {
        two: tokio::sync::Barrier::new(2),
        begun: AtomicUsize::new(0),
        now: AtomicUsize::new(0),
        most: AtomicUsize::new(0),
        done: AtomicUsize::new(0),
        changed: tokio::sync::Notify::new(),
    });
    for id in 0..60 {
        // The name with and without the namespace means the same function.
        let function = ["limited", "limited.openfaas-fn", "other"][id % 3];
        queue.enqueue(call(&format!("c{id}"), function)).await.unwrap();
    }
    let stop = CancellationToken::new();
    let running = tokio::spawn({
        let (queue, receiver, stop) = (queue.clone(), receiver.clone(), stop.clone());
        async move { queue.run(receiver, stop).await }
    });
    let all = async {
        while receiver.done.load(Ordering::SeqCst) < 60 {
            receiver.changed.notified().await;
        }
    };
    tokio::time::timeout(PATIENCE, all).await.expect("all are delivered");
    stop.cancel();
    running.await.unwrap();
    assert_eq!(receiver.most.load(Ordering::SeqCst), 2);
    queue.close().await;
}
