//! The gateway of a test: functions, callback URLs and a queue, in memory.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
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
use faasflow_http::{HttpClient, read_body};
use faasflow_queue::{Answer, Deliver, Delivery, MemoryStore, NewCall, Queue, QueueOptions, Unreachable};
use http::header::RETRY_AFTER;
use http::{HeaderMap, Method, StatusCode};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::fake::{Action, Fake};
use crate::flow_process::FlowProcess;
use crate::lock::lock;
use crate::recorded::RecordedCall;

/// The largest body in a test.
const LARGEST: u64 = 1 << 30;
/// How often an envelope is delivered before the test's queue gives it up.
const ATTEMPTS: u32 = 50;
/// How long the queue waits before it tries again: a test is not to wait for it.
const RETRY_DELAY: Duration = Duration::from_millis(20);
/// How many envelopes are on delivery at once, half of them of one flow: more would need more sockets than many shells
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
    /// How many envelopes came.
    enqueued: AtomicU64,
    /// The queue refuses what comes.
    pub(crate) stopped: AtomicBool,
    /// The queue delivers everything twice.
    pub(crate) twice: AtomicBool,
    /// The statuses that deliveries were answered with.
    pub(crate) deliveries: Mutex<Vec<StatusCode>>,
    /// The function at whose next call the flow function crashes.
    pub(crate) crash_at: Mutex<Option<String>>,
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
            flow: Mutex::default(),
        }
    }
}

impl Gateway {
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

    fn record(&self, name: &str, call: &RecordedCall) {
        lock(&self.calls).entry(name.to_owned()).or_default().push(call.clone());
        self.changed.notify_waiters();
    }

    /// Delivers envelopes to the flow function, those that meet with a passing trouble again.
    pub(crate) async fn deliver(self: Arc<Gateway>, client: HttpClient) {
        let queue = self.queue.clone();
        queue.run(Arc::new(Courier { gateway: self, client }), CancellationToken::new()).await;
    }

    /// From now on the queue takes what comes and delivers nothing.
    pub(crate) fn hold_queue(&self) {
        self.store.hold();
    }

    pub(crate) fn release_queue(&self) {
        self.store.release();
    }

    /// The envelopes that wait: headers and body.
    pub(crate) fn queued(&self) -> Vec<(HeaderMap, Bytes)> {
        self.store.waiting().iter().map(|call| (call.headers.clone(), call.body.clone())).collect()
    }
}

/// Takes envelopes from the queue to the flow function, whatever function they name.
struct Courier {
    gateway: Arc<Gateway>,
    client: HttpClient,
}

impl Courier {
    async fn attempt(&self, delivery: &Delivery) -> Result<Answer, Unreachable> {
        let begun = Instant::now();
        let flow = lock(&self.gateway.flow).clone();
        let Some(flow) = flow else { return Err(Unreachable { reason: "the flow does not run yet".to_owned() }) };
        let mut request = Request::new(Body::from(delivery.call.body.clone()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = flow.url().parse().expect("the flow's address is a URL");
        *request.headers_mut() = delivery.call.headers.clone();
        let answer = match self.client.send(request).await {
            Ok(response) => {
                let (mut parts, body) = response.into_parts();
                let body = read_body(body, LARGEST, Duration::from_secs(60)).await.unwrap_or_default();
                // A test is not to wait for it.
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
            // Both have to succeed.
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
        let flow = lock(&gateway.flow).clone();
        if let Some(flow) = flow {
            tokio::task::spawn_blocking(move || flow.crash()).await.expect("the flow function restarts");
        }
    }
    match gateway.functions.get(&name) {
        Some(fake) => answer(fake, &call).await,
        None => {
            let mut response = format!("there is no function `{name}`").into_response();
            *response.status_mut() = StatusCode::NOT_FOUND;
            response
        }
    }
}

async fn callback(State(gateway): State<Arc<Gateway>>, Path(name): Path<String>, request: Request) -> Response {
    let call = take(request).await;
    gateway.record(&format!("callback/{name}"), &call);
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
        // The flow's own id stays in the headers. A test may see all that a flow posts, so nothing is a duplicate here.
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
