//! Controls a running flow under test.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use faasflow_core::signature::Keys;
use faasflow_core::{Flow, headers};
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
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);
/// How often a test looks whether it has happened, at the least.
const RECHECK: Duration = Duration::from_millis(20);

/// A running flow under test.
pub struct Running {
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) flow: Arc<FlowProcess>,
    address: SocketAddr,
    _secrets: tempfile::TempDir,
    _tasks: [AbortOnDropHandle<()>; 2],
}

impl Running {
    /// Keeps the tasks that serve and deliver, and the folder of secrets.
    pub(crate) fn new(
        gateway: Arc<Gateway>,
        flow: Arc<FlowProcess>,
        address: SocketAddr,
        secrets: tempfile::TempDir,
        tasks: [JoinHandle<()>; 2],
    ) -> Running {
        Running { gateway, flow, address, _secrets: secrets, _tasks: tasks.map(AbortOnDropHandle::new) }
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
    /// If that takes more than two minutes.
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
    /// If that takes more than two minutes.
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
    /// If that takes more than two minutes.
    pub async fn until_queued(&self, count: usize) {
        self.until(&format!("{count} envelopes in the queue"), || (self.queued().len() >= count).then_some(())).await;
    }

    /// Waits until the queue has no envelope any more, neither waiting nor in progress. Unless the test sends a request, nothing of
    /// the flow is executed after that.
    ///
    /// # Panics
    ///
    /// If that takes more than two minutes.
    pub async fn until_idle(&self) {
        self.until("the end of all deliveries", || self.gateway.is_idle().then_some(())).await;
    }

    pub(crate) async fn until<T>(&self, what: &str, done: impl Fn() -> Option<T>) -> T {
        let waiting = async {
            loop {
                let changed = self.gateway.changed.notified();
                tokio::pin!(changed);
                changed.as_mut().enable();
                match done() {
                    Some(value) => return value,
                    // The queue does not tell when a delivery has ended.
                    None => drop(tokio::time::timeout(RECHECK, changed).await),
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

    /// Makes the queue lose the envelopes that are waiting, as a broker does that keeps them in memory and ends. The queue must be
    /// [held](Running::hold_queue), and no envelope may be in progress.
    pub fn lose_queue(&self) {
        self.gateway.lose_queue();
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

    /// Makes a function, or a callback URL as `callback/NAME`, accept calls from now on without answering them. So a test can do
    /// something while a call is in progress, however slow the machine is.
    pub fn hold_function(&self, name: &str) {
        self.gateway.hold_function(name);
    }

    /// Makes a function answer again, including the calls that it held back. If the function is held again at once, only these
    /// calls are answered.
    pub fn release_function(&self, name: &str) {
        self.gateway.release_function(name);
    }

    /// Crashes the flow function the next time that this function is called. The flow function then starts again.
    pub fn crash_at(&self, function: impl Into<String>) {
        *lock(&self.gateway.crash_at) = Some(function.into());
    }

    /// Crashes the flow function now. When this returns, the flow function has started again.
    ///
    /// # Panics
    ///
    /// If the flow function does not start again.
    pub async fn crash(&self) {
        let flow = self.flow.clone();
        tokio::task::spawn_blocking(move || flow.crash())
            .await
            .expect("the flow function should restart after its crash");
    }

    /// Replaces the flow with another definition, as a deployment does. Requests in progress go on with the new one if the
    /// definition is the same in what is ahead of them. Otherwise they are refused or parked. A flow without a state manager keeps the
    /// current one. Deliveries in progress end without an answer, so the queue delivers them again.
    ///
    /// # Panics
    ///
    /// If the flow does not start with the settings of the test.
    pub async fn deploy(&self, flow: Flow) {
        let process = self.flow.clone();
        tokio::task::spawn_blocking(move || process.deploy(flow)).await.expect("the new flow should start");
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
