//! Sets a test up, and steers it.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use faasflow_core::signature::Keys;
use faasflow_core::{Flow, headers};
use faasflow_runtime::config::{Found, HMAC_SECRET, SINGLE_PROCESS};
use faasflow_runtime::http::{HttpClient, ServerOptions, serve};
use faasflow_runtime::{Config, Forwarder};
use http::{HeaderMap, HeaderValue, StatusCode};
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

use crate::fake::Fake;
use crate::flow_process::FlowProcess;
use crate::gateway::{Gateway, RecordedCall, lock};
use crate::request::Request;

/// The key that flows sign with in a test.
const KEY: &str = "the key of the test kit";
/// How long a test waits for what must come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A flow to test, and what it is surrounded with.
#[must_use = "a kit does nothing until `start`"]
pub struct TestKit {
    flow: Flow,
    gateway: Gateway,
    settings: HashMap<String, String>,
    forwarder: Option<Arc<dyn Forwarder>>,
    listener: std::net::TcpListener,
}

impl TestKit {
    /// Tests this flow, under the name `flow`.
    ///
    /// # Panics
    ///
    /// If the operating system has no port.
    pub fn new(flow: Flow) -> TestKit {
        TestKit::define(|_| flow)
    }

    /// Tests the flow that `define` makes of the kit's URL (without a slash at the end): its callback URLs are
    /// `<url>/callback/<name>`.
    ///
    /// # Panics
    ///
    /// If the operating system has no port.
    pub fn define(define: impl FnOnce(&str) -> Flow) -> TestKit {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port for the gateway");
        listener.set_nonblocking(true).expect("a socket that does not block");
        let address = listener.local_addr().expect("an address");
        let flow = define(&format!("http://{address}"));
        TestKit { flow, gateway: Gateway::default(), settings: HashMap::new(), forwarder: None, listener }
    }

    /// Surrounds it with a function of this name.
    pub fn function(mut self, name: impl Into<String>, fake: Fake) -> TestKit {
        self.gateway.functions.insert(name.into(), fake);
        self
    }

    /// Has the callback URL of this name answer so; without it, every one answers 204.
    pub fn callback(mut self, name: impl Into<String>, fake: Fake) -> TestKit {
        self.gateway.callbacks.insert(name.into(), fake);
        self
    }

    /// Changes a setting of the flow function, such as `write_timeout`, as its environment would.
    pub fn setting(mut self, name: impl Into<String>, value: impl Into<String>) -> TestKit {
        self.settings.insert(name.into(), value.into());
        self
    }

    /// Forwards envelopes by this forwarder, and not through the kit's queue. Whoever takes them posts them to
    /// [`flow_url`](Running::flow_url).
    pub fn forwarder(mut self, forwarder: impl Forwarder) -> TestKit {
        self.forwarder = Some(Arc::new(forwarder));
        self
    }

    /// Starts gateway, queue and flow function.
    ///
    /// # Panics
    ///
    /// If a setting is wrong, or the operating system has no port.
    pub async fn start(self) -> Running {
        let TestKit { flow, gateway, settings, forwarder, listener } = self;
        let gateway = Arc::new(gateway);
        let listener = TcpListener::from_std(listener).expect("a listener");
        let address = listener.local_addr().expect("an address");
        let router = gateway.router();
        let serving = tokio::spawn(async move {
            let _ = serve(listener, router, ServerOptions::default(), std::future::pending()).await;
        });

        let secrets = tempfile::tempdir().expect("a folder for secrets");
        std::fs::write(secrets.path().join(HMAC_SECRET), KEY).expect("the key can be written");
        let fixed = HashMap::from([
            ("workflow_name", "flow".to_owned()),
            ("gateway", address.to_string()),
            ("host", "127.0.0.1".to_owned()),
            ("port", "0".to_owned()),
            (SINGLE_PROCESS, "true".to_owned()),
            ("secret_mount_path", secrets.path().to_string_lossy().into_owned()),
        ]);
        let config = Config::load(|name| {
            let value = settings.get(name).or_else(|| fixed.get(name))?.clone();
            Some(Found { value, origin: "the test".to_owned() })
        });
        let config = config.unwrap_or_else(|error| panic!("{error}"));
        let starting = tokio::task::spawn_blocking(move || FlowProcess::start(flow, config, forwarder));
        let flow = starting.await.expect("the flow starts");
        let flow = Arc::new(flow);
        *lock(&gateway.flow) = Some(flow.clone());
        let client = HttpClient::new(Duration::from_secs(5));
        let delivering = tokio::spawn(gateway.clone().deliver(client.clone()));
        Running {
            gateway,
            flow,
            client,
            address,
            _secrets: secrets,
            _serving: AbortOnDropHandle::new(serving),
            _delivering: AbortOnDropHandle::new(delivering),
        }
    }
}

/// A flow under test.
pub struct Running {
    pub(crate) gateway: Arc<Gateway>,
    flow: Arc<FlowProcess>,
    pub(crate) client: HttpClient,
    address: SocketAddr,
    _secrets: tempfile::TempDir,
    _serving: AbortOnDropHandle<()>,
    _delivering: AbortOnDropHandle<()>,
}

impl Running {
    /// A fresh request to the flow, with this body.
    pub fn request(&self, body: impl Into<Bytes>) -> Request<'_> {
        Request::new(self, body.into())
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
