//! Sends the requests. Each is repeated until the gateway has accepted it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::Method;
use tokio::task::JoinSet;

use super::shape::Shape;
use super::stand::Stand;
use super::tally::Tally;
use crate::client::Client;

/// How long an accepted request may take before the next is sent anyway.
const LONGEST: Duration = Duration::from_secs(120);

pub(super) struct Load(JoinSet<()>);

impl Load {
    pub(super) fn start(requests: usize, shape: Shape, stand: &Stand, tally: &Arc<Tally>) -> Load {
        let next = Arc::new(AtomicUsize::new(0));
        let mut senders = JoinSet::new();
        for _ in 0..shape.at_once().min(requests) {
            let (next, tally, client) = (next.clone(), tally.clone(), Client::new());
            let (url, report) = (stand.flow(), stand.report_url());
            senders.spawn(async move {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= requests {
                        return;
                    }
                    let ended = tally.end_of(number);
                    send(&client, &url, &report, shape, number).await;
                    tally.accept(number);
                    let _ = tokio::time::timeout(LONGEST, ended).await;
                }
            });
        }
        Load(senders)
    }

    /// Waits for the senders to end.
    pub(super) async fn stop(mut self) {
        self.0.abort_all();
        while self.0.join_next().await.is_some() {}
    }
}

/// Repeats a request until it is accepted. If an answer is lost, the request may have been accepted, so its ids stay
/// the same and the gateway can recognise it.
async fn send(client: &Client, url: &str, report: &str, shape: Shape, number: usize) {
    let id = format!("chaos-{number}");
    let call_id = format!("00000000-0000-4000-8000-{number:012x}");
    let headers = [
        ("x-faasflow-request-id", id.as_str()),
        ("x-call-id", call_id.as_str()),
        ("x-faasflow-callback-url", report),
        ("content-type", "text/plain"),
    ];
    loop {
        if let Ok(answer) = client.send(Method::POST, url, &headers, shape.payload(number)).await
            && answer.status == http::StatusCode::ACCEPTED
        {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
