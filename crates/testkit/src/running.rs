//! Steers a flow under test.

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

/// The key that flows sign with in a test.
pub(crate) const KEY: &str = "the key of the test kit";
/// How long a test waits for what must come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A flow under test.
pub struct Running {
    pub(crate) gateway: Arc<Gateway>,
    flow: Arc<FlowProcess>,
    pub(crate) client: HttpClient,
    address: SocketAddr,
    _secrets: tempfile::TempDir,
    _tasks: [AbortOnDropHandle<()>; 2],
}

impl Running {
    /// A flow whose gateway serves and delivers in these tasks, with the folder of its secrets.
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

    /// A URL that records what it is sent, as the calls of `callback/NAME`.
    #[must_use]
    pub fn callback_url(&self, name: &str) -> String {
        format!("{}/callback/{name}", self.gateway_url())
    }

    /// The calls that a function has received, in their order; those of a callback URL under `callback/NAME`.
    #[must_use]
    pub fn calls(&self, name: &str) -> Vec<RecordedCall> {
        self.gateway.calls(name)
    }

    /// Waits until a function has received so many calls.
    ///
    /// # Panics
    ///
    /// If it has not within 30 seconds.
    pub async fn until_called(&self, name: &str, times: usize) -> Vec<RecordedCall> {
        self.until(&format!("{times} calls of `{name}`"), || {
            let calls = self.calls(name);
            (calls.len() >= times).then_some(calls)
        })
        .await
    }

    /// Waits until the queue has been answered so many times; returns all statuses so far.
    ///
    /// # Panics
    ///
    /// If it has not within 30 seconds.
    pub async fn until_delivered(&self, times: usize) -> Vec<StatusCode> {
        self.until(&format!("{times} deliveries"), || {
            let deliveries = lock(&self.gateway.deliveries).clone();
            (deliveries.len() >= times).then_some(deliveries)
        })
        .await
    }

    /// Waits until so many envelopes are in the queue.
    ///
    /// # Panics
    ///
    /// If they are not within 30 seconds.
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
            Err(_) => panic!("waited {PATIENCE:?} for {what} in vain"),
        }
    }

    /// From now on the queue refuses what comes, as one does whose broker is down.
    pub fn stop_queue(&self) {
        self.gateway.stopped.store(true, Ordering::SeqCst);
    }

    /// The queue takes what comes again.
    pub fn start_queue(&self) {
        self.gateway.stopped.store(false, Ordering::SeqCst);
    }

    /// From now on the queue takes what comes and delivers nothing.
    pub fn hold_queue(&self) {
        self.gateway.hold_queue();
    }

    /// The queue delivers again, also what it has held.
    pub fn release_queue(&self) {
        self.gateway.release_queue();
    }

    /// The envelopes that wait in the queue: headers and body.
    #[must_use]
    pub fn queued(&self) -> Vec<(HeaderMap, Bytes)> {
        self.gateway.queued()
    }

    /// From now on the queue delivers every envelope twice.
    pub fn deliver_twice(&self) {
        self.gateway.twice.store(true, Ordering::SeqCst);
    }

    /// Has the flow function crash, without a word to anybody, at the next call of this function. It is started anew.
    pub fn crash_at(&self, function: impl Into<String>) {
        *lock(&self.gateway.crash_at) = Some(function.into());
    }

    /// Signs a body as the flow would.
    ///
    /// # Panics
    ///
    /// Never.
    #[must_use]
    pub fn sign(&self, body: &[u8]) -> (http::HeaderName, HeaderValue) {
        let signature = Keys::parse(KEY).expect("there is a key").sign([body]);
        (headers::SIGNATURE, HeaderValue::from_str(&signature).expect("a signature is a header value"))
    }
}
