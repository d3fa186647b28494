//! Controls a running flow under test.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use faasflow_core::headers;
use faasflow_core::signature::Keys;
use faasflow_http::HttpClient;
use http::{HeaderMap, HeaderValue, StatusCode};
use tokio::task::JoinHandle;
use tokio_util::task::AbortOnDropHandle;

use crate::flow_process::FlowProcess;
use crate::gateway::Gateway;
use crate::lock::lock;
use crate::recorded::RecordedCall;

/// The key with which flows sign in tests.
pub(crate) const KEY: &str = "the key of the test kit";
/// How long a test waits for something that should happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A running flow under test.
pub struct Running {
    pub(crate) gateway: Arc<Gateway>,
    flow: Arc<FlowProcess>,
    pub(crate) client: HttpClient,
    address: SocketAddr,
    _secrets: tempfile::TempDir,
    _tasks: [AbortOnDropHandle<()>; 2],
}

impl Running {
    /// Keeps the tasks that serve and deliver, and the folder of secrets.
    pub(crate) fn new(
        gateway: Arc<Gateway>,
        flow: Arc<FlowProcess>,
        client: HttpClient,
        address: SocketAddr,
        secrets: tempfile::TempDir,
        tasks: [JoinHandle<()>; 2],
    ) -> Running {
        Running { gateway, flow, client, address, _secrets: secrets, _tasks: tasks.map(AbortOnDropHandle::new) }
    }

    /// The URL of the flow function, with a slash at the end.
    #[must_use]
    pub fn flow_url(&self) -> String {
        self.flow.url()
    }

    /// The URL of the gateway, without a slash at the end.
    #[must_use]
    pub fn gateway_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A callback URL. It records the requests that it receives as calls of `callback/NAME`.
    #[must_use]
    pub fn callback_url(&self, name: &str) -> String {
        format!("{}/callback/{name}", self.gateway_url())
    }

    /// The calls that a function has received, in order. Those of a callback URL have the name `callback/NAME`.
    #[must_use]
    pub fn calls(&self, name: &str) -> Vec<RecordedCall> {
        self.gateway.calls(name)
    }

    /// Waits until a function has received at least `times` calls, and returns all of its calls.
    ///
    /// # Panics
    ///
    /// If that takes more than 30 seconds.
    pub async fn until_called(&self, name: &str, times: usize) -> Vec<RecordedCall> {
        self.until(&format!("{times} calls of `{name}`"), || {
            let calls = self.calls(name);
            (calls.len() >= times).then_some(calls)
        })
        .await
    }

    /// Waits until at least `times` deliveries have been answered, and returns all statuses so far.
    ///
    /// # Panics
    ///
    /// If that takes more than 30 seconds.
    pub async fn until_delivered(&self, times: usize) -> Vec<StatusCode> {
        self.until(&format!("{times} deliveries"), || {
            let deliveries = lock(&self.gateway.deliveries).clone();
            (deliveries.len() >= times).then_some(deliveries)
        })
        .await
    }

    /// Waits until at least `count` envelopes are in the queue.
    ///
    /// # Panics
    ///
    /// If that takes more than 30 seconds.
    pub async fn until_queued(&self, count: usize) {
        self.until(&format!("{count} envelopes in the queue"), || (self.queued().len() >= count).then_some(())).await;
    }

    pub(crate) async fn until<T>(&self, what: &str, done: impl Fn() -> Option<T>) -> T {
        let waiting = async {
            loop {
                let changed = self.gateway.changed.notified();
                tokio::pin!(changed);
                changed.as_mut().enable();
                match done() {
                    Some(value) => return value,
                    None => changed.await,
                }
            }
        };
        match tokio::time::timeout(PATIENCE, waiting).await {
            Ok(value) => value,
            Err(_) => panic!("timed out after {PATIENCE:?} while waiting for {what}"),
        }
    }

    /// Makes the queue refuse envelopes, as if its broker were down.
    pub fn stop_queue(&self) {
        self.gateway.stopped.store(true, Ordering::SeqCst);
    }

    /// Makes the queue accept envelopes again.
    pub fn start_queue(&self) {
        self.gateway.stopped.store(false, Ordering::SeqCst);
    }

    /// Makes the queue accept envelopes without delivering them.
    pub fn hold_queue(&self) {
        self.gateway.hold_queue();
    }

    /// Makes the queue deliver again, including the envelopes that it held back.
    pub fn release_queue(&self) {
        self.gateway.release_queue();
    }

    /// The envelopes that are waiting in the queue: headers and body.
    #[must_use]
    pub fn queued(&self) -> Vec<(HeaderMap, Bytes)> {
        self.gateway.queued()
    }

    /// Makes the queue deliver every envelope twice from now on.
    pub fn deliver_twice(&self) {
        self.gateway.twice.store(true, Ordering::SeqCst);
    }

    /// Crashes the flow function the next time that this function is called. The flow function then starts again.
    pub fn crash_at(&self, function: impl Into<String>) {
        *lock(&self.gateway.crash_at) = Some(function.into());
    }

    /// Signs a body with the flow's key.
    ///
    /// # Panics
    ///
    /// Never.
    #[must_use]
    pub fn sign(&self, body: &[u8]) -> (http::HeaderName, HeaderValue) {
        let signature = Keys::parse(KEY).expect("the test key should be valid").sign([body]);
        (headers::SIGNATURE, HeaderValue::from_str(&signature).expect("a signature should be a valid header value"))
    }
}
