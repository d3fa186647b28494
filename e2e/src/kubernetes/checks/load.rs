//! A load of requests while something happens to the cluster.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use http::Method;
use tokio::task::JoinSet;

use crate::client::Client;

/// A load that continues until it is stopped.
pub(super) struct Load {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicUsize>,
    senders: JoinSet<Vec<String>>,
}

/// The results of its requests.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) sent: usize,
    /// The failures, in no particular order.
    pub(super) failures: Vec<String>,
}

impl Load {
    /// Starts this many senders. Each posts to one of the URLs, waits for the answer, and posts again after a pause.
    /// Half of them share a pool of connections, as a gateway's callers do; the others have separate ones.
    pub(super) fn start(urls: &[String], senders: usize, pause: Duration) -> Load {
        let (stop, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let shared = Client::new();
        let mut running = JoinSet::new();
        for number in 0..senders {
            let client = if number % 2 == 0 { shared.clone() } else { Client::new() };
            let (url, stop, sent) = (urls[number % urls.len()].clone(), stop.clone(), sent.clone());
            // This makes connections idle for different times.
            let pause = pause * u32::try_from(number % 4).unwrap_or(0);
            running.spawn(async move {
                let mut failures = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    sent.fetch_add(1, Ordering::Relaxed);
                    match client.send(Method::POST, &url, &[], "Ada").await {
                        Ok(answer) if answer.status.as_u16() == 200 && answer.body.starts_with(b"HELLO, ADA!") => {}
                        Ok(answer) => failures.push(format!("{url}: {}: {}", answer.status, answer.text().trim())),
                        Err(why) => failures.push(format!("{url}: {why}")),
                    }
                    tokio::time::sleep(pause).await;
                }
                failures
            });
        }
        Load { stop, sent, senders: running }
    }

    /// Waits until this many more requests were sent.
    pub(super) async fn more(&self, requests: usize) {
        let until = self.sent.load(Ordering::Relaxed) + requests;
        while self.sent.load(Ordering::Relaxed) < until {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits for the requests in flight.
    pub(super) async fn stop(mut self) -> Outcome {
        self.stop.store(true, Ordering::Relaxed);
        let mut failures = Vec::new();
        while let Some(ended) = self.senders.join_next().await {
            failures.extend(ended.unwrap_or_else(|panic| vec![panic.to_string()]));
        }
        Outcome { sent: self.sent.load(Ordering::Relaxed), failures }
    }
}

impl Outcome {
    /// Prints the number of requests, and fails if one failed.
    ///
    /// # Errors
    ///
    /// The first failures.
    pub(super) fn without_failure(&self) -> Result<(), String> {
        println!("          ({} requests, {} failed)", self.sent, self.failures.len());
        if self.failures.is_empty() {
            return Ok(());
        }
        let first = &self.failures[..self.failures.len().min(5)];
        Err(format!("{} of {} requests failed: {}", self.failures.len(), self.sent, first.join("; ")))
    }
}
