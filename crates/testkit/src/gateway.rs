//! A gateway for tests, with functions, callback URLs and a queue in memory.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::any;
use bytes::Bytes;
use faasflow_core::handler::BoxFuture;
use faasflow_core::headers;
use faasflow_http::read_body;
use faasflow_queue::{Answer, Deliver, Delivery, MemoryStore, NewCall, Queue, QueueOptions, Unreachable};
use http::header::{HeaderValue, RETRY_AFTER};
use http::{HeaderMap, Method, StatusCode};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::fake::{Action, Fake};
use crate::flow_process::FlowProcess;
use crate::lock::lock;
use crate::recorded::RecordedCall;

/// The largest body in a test, in bytes.
const LARGEST: u64 = 1 << 30;
/// How often the queue tries to deliver an envelope.
const ATTEMPTS: u32 = 50;
/// How long the queue waits between attempts. It is short, so that tests do not wait for it.
const RETRY_DELAY: Duration = Duration::from_millis(20);
/// How long a crash waits until the requests of a test are answered.
const ANSWERED_WITHIN: Duration = Duration::from_secs(1);
/// How many envelopes are delivered at once, half of them of one flow. More would need more sockets than many shells
/// allow.
const WORKERS: usize = 128;

pub(crate) struct Gateway {
    pub(crate) functions: HashMap<String, Fake>,
    pub(crate) callbacks: HashMap<String, Fake>,
    calls: Mutex<HashMap<String, Vec<RecordedCall>>>,
    pub(crate) reports: Mutex<HashMap<String, RecordedCall>>,
    pub(crate) changed: Notify,
    store: MemoryStore,
    queue: Queue,
    /// How many envelopes were enqueued.
    enqueued: AtomicU64,
    /// Whether the queue refuses envelopes.
    pub(crate) stopped: AtomicBool,
    /// Whether the queue delivers everything twice.
    pub(crate) twice: AtomicBool,
    /// The statuses of all answers to deliveries.
    pub(crate) deliveries: Mutex<Vec<StatusCode>>,
    /// The flow function crashes when this function is called.
    pub(crate) crash_at: Mutex<Option<String>>,
    /// How many requests of the test have no answer yet.
    unanswered: AtomicUsize,
    /// Functions whose calls are held back, until what each of them has is cancelled.
    held: Mutex<HashMap<String, CancellationToken>>,
    pub(crate) flow: Mutex<Option<Arc<FlowProcess>>>,
}

impl Default for Gateway {
    fn default() -> Gateway {
        let mut options = QueueOptions::default();
        options.workers = WORKERS;
        options.max_body = usize::try_from(LARGEST).unwrap_or(usize::MAX);
        options.max_attempts = ATTEMPTS;
        (options.initial_delay, options.max_delay) = (RETRY_DELAY, RETRY_DELAY);
        let store = MemoryStore::new(options.clone());
        let queue = Queue::new(Arc::new(store.clone()), options);
        Gateway {
            functions: HashMap::new(),
            callbacks: HashMap::new(),
            calls: Mutex::default(),
            reports: Mutex::default(),
            changed: Notify::new(),
            store,
            queue,
            enqueued: AtomicU64::new(0),
            stopped: AtomicBool::new(false),
            twice: AtomicBool::new(false),
            deliveries: Mutex::default(),
            crash_at: Mutex::default(),
            unanswered: AtomicUsize::new(0),
            held: Mutex::default(),
            flow: Mutex::default(),
        }
    }
}

/// A request of the test that has no answer yet.
pub(crate) struct Unanswered<'a>(&'a Gateway);

impl Drop for Unanswered<'_> {
    fn drop(&mut self) {
        self.0.unanswered.fetch_sub(1, Ordering::SeqCst);
        self.0.changed.notify_waiters();
    }
}

impl Gateway {
    pub(crate) fn unanswered(&self) -> Unanswered<'_> {
        self.unanswered.fetch_add(1, Ordering::SeqCst);
        Unanswered(self)
    }

    /// Waits a moment until the requests of the test are answered. A crash in a later phase would otherwise cut off the answer that
    /// a request was accepted, if that is still on its way. A request whose own phase crashes has no answer, however.
    async fn until_answered(&self) {
        let all = async {
            while self.unanswered.load(Ordering::SeqCst) > 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let _ = tokio::time::timeout(ANSWERED_WITHIN, all).await;
    }

    pub(crate) fn router(self: &Arc<Gateway>) -> Router {
        Router::new()
            .route("/function/{name}", any(function))
            .route("/callback/{name}", any(callback))
            .route("/async-function/{name}", any(enqueue))
            .route("/_/report", any(report))
            .with_state(self.clone())
    }

    pub(crate) fn calls(&self, name: &str) -> Vec<RecordedCall> {
        lock(&self.calls).get(name).cloned().unwrap_or_default()
    }

    /// Makes calls of a function wait from now on.
    pub(crate) fn hold_function(&self, name: &str) {
        lock(&self.held).entry(name.to_owned()).or_default();
    }

    /// Lets the calls of a function go on that wait, and those that come from now on.
    pub(crate) fn release_function(&self, name: &str) {
        if let Some(released) = lock(&self.held).remove(name) {
            released.cancel();
        }
    }

    async fn until_released(&self, name: &str) {
        let held = lock(&self.held).get(name).cloned();
        if let Some(released) = held {
            released.cancelled().await;
        }
    }

    fn record(&self, name: &str, call: &RecordedCall) {
        lock(&self.calls).entry(name.to_owned()).or_default().push(call.clone());
        self.changed.notify_waiters();
    }

    /// Delivers envelopes to the flow function, and retries after temporary errors.
    pub(crate) async fn deliver(self: Arc<Gateway>) {
        let queue = self.queue.clone();
        queue.run(Arc::new(Courier { gateway: self }), CancellationToken::new()).await;
    }

    /// Makes the queue accept envelopes without delivering them.
    pub(crate) fn hold_queue(&self) {
        self.store.hold();
    }

    pub(crate) fn lose_queue(&self) {
        self.store.lose();
    }

    pub(crate) fn release_queue(&self) {
        self.store.release();
    }

    /// Whether the queue has no envelope, neither waiting nor in progress.
    pub(crate) fn is_idle(&self) -> bool {
        self.store.is_empty()
    }

    /// The waiting envelopes: headers and body.
    pub(crate) fn queued(&self) -> Vec<(HeaderMap, Bytes)> {
        self.store.waiting().iter().map(|call| (call.headers.clone(), call.body.clone())).collect()
    }
}

/// Delivers envelopes from the queue to the flow function, no matter which function they name.
struct Courier {
    gateway: Arc<Gateway>,
}

impl Courier {
    async fn attempt(&self, delivery: &Delivery) -> Result<Answer, Unreachable> {
        let begun = Instant::now();
        let flow = lock(&self.gateway.flow).clone();
        let Some(flow) = flow else {
            return Err(Unreachable { reason: "the flow function has not started yet".to_owned() });
        };
        let mut request = Request::new(Body::from(delivery.call.body.clone()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = flow.url().parse().expect("the address of the flow function should be a valid URL");
        *request.headers_mut() = delivery.call.headers.clone();
        request.headers_mut().insert(headers::ATTEMPT, HeaderValue::from(delivery.attempt));
        let answer = match flow.client().send(request).await {
            Ok(response) => {
                let (mut parts, body) = response.into_parts();
                let body = read_body(body, LARGEST, Duration::from_secs(60)).await.unwrap_or_default();
                // Tests should not wait for it.
                parts.headers.remove(RETRY_AFTER);
                let (status, headers, duration) = (parts.status, parts.headers, begun.elapsed());
                Ok(Answer { status, headers, body, duration, cause: None })
            }
            Err(error) => Err(Unreachable { reason: error.to_string() }),
        };
        let status = answer.as_ref().map_or(StatusCode::SERVICE_UNAVAILABLE, |answer| answer.status);
        lock(&self.gateway.deliveries).push(status);
        self.gateway.changed.notify_waiters();
        answer
    }
}

impl Deliver for Courier {
    fn deliver(&self, delivery: Delivery) -> BoxFuture<'_, Result<Answer, Unreachable>> {
        Box::pin(async move {
            if !self.gateway.twice.load(Ordering::SeqCst) || delivery.attempt > 1 {
                return self.attempt(&delivery).await;
            }
            let (one, other) = tokio::join!(self.attempt(&delivery), self.attempt(&delivery));
            // Both deliveries have to succeed.
            if one.as_ref().is_ok_and(|answer| answer.status.is_success()) { other } else { one }
        })
    }
}

async fn take(request: Request) -> RecordedCall {
    let (parts, body) = request.into_parts();
    let body = read_body(body, LARGEST, Duration::from_secs(60)).await.unwrap_or_default();
    RecordedCall { method: parts.method, query: parts.uri.query().map(str::to_owned), headers: parts.headers, body }
}

async fn function(State(gateway): State<Arc<Gateway>>, Path(name): Path<String>, request: Request) -> Response {
    let call = take(request).await;
    gateway.record(&name, &call);
    let crashes = lock(&gateway.crash_at).take_if(|at| *at == name).is_some();
    if crashes {
        gateway.until_answered().await;
        let flow = lock(&gateway.flow).clone();
        if let Some(flow) = flow {
            tokio::task::spawn_blocking(move || flow.crash())
                .await
                .expect("the flow function should restart after its crash");
        }
    }
    gateway.until_released(&name).await;
    match gateway.functions.get(&name) {
        Some(fake) => answer(fake, &call).await,
        None => {
            let mut response =
                format!("the test kit has no function `{name}`; add it with `TestKit::function`").into_response();
            *response.status_mut() = StatusCode::NOT_FOUND;
            response
        }
    }
}

async fn callback(State(gateway): State<Arc<Gateway>>, Path(name): Path<String>, request: Request) -> Response {
    let call = take(request).await;
    let recorded = format!("callback/{name}");
    gateway.record(&recorded, &call);
    gateway.until_released(&recorded).await;
    match gateway.callbacks.get(&name) {
        Some(fake) => answer(fake, &call).await,
        None => StatusCode::NO_CONTENT.into_response(),
    }
}

async fn answer(fake: &Fake, call: &RecordedCall) -> Response {
    let reply = match fake.call(call) {
        Action::Reply(reply) => reply,
        Action::After(delay, reply) => {
            tokio::time::sleep(delay).await;
            reply
        }
        Action::Hang => std::future::pending().await,
    };
    let mut response = Response::new(Body::from(reply.body));
    *response.status_mut() = reply.status;
    *response.headers_mut() = reply.headers;
    response
}

async fn enqueue(State(gateway): State<Arc<Gateway>>, Path(name): Path<String>, request: Request) -> Response {
    if gateway.stopped.load(Ordering::SeqCst) {
        return (StatusCode::INTERNAL_SERVER_ERROR, "Error queuing request: the test has stopped the queue")
            .into_response();
    }
    let mut call = take(request).await;
    call.headers.remove(http::header::HOST);
    call.headers.remove(http::header::CONTENT_LENGTH);
    let call = NewCall {
        // The flow's own id stays in the headers. The queue gets another id, so that nothing counts as a duplicate and
        // a test sees every envelope that the flow posts.
        call_id: gateway.enqueued.fetch_add(1, Ordering::SeqCst).to_string(),
        function: name,
        path: String::new(),
        query: None,
        headers: call.headers,
        body: call.body,
        callback_url: None,
    };
    let accepted = gateway.queue.enqueue(call).await;
    gateway.changed.notify_waiters();
    match accepted {
        Ok(_) => StatusCode::ACCEPTED.into_response(),
        Err(error) => {
            (StatusCode::INTERNAL_SERVER_ERROR, format!("Error queuing request: {}", faasflow_core::chain(&error)))
                .into_response()
        }
    }
}

async fn report(State(gateway): State<Arc<Gateway>>, request: Request) -> StatusCode {
    let call = take(request).await;
    let id = call.header(headers::REQUEST_ID.as_str()).unwrap_or_default().to_owned();
    lock(&gateway.reports).insert(id, call);
    gateway.changed.notify_waiters();
    StatusCode::OK
}
