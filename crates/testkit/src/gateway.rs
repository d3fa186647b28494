//! The gateway of a test: functions, callback URLs and a queue, in memory.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::any;
use bytes::Bytes;
use faasflow_core::headers;
use faasflow_runtime::http::{HttpClient, read_body};
use http::{HeaderMap, Method, StatusCode};
use tokio::sync::{Notify, Semaphore};

use crate::fake::{Doing, Fake};
use crate::flow_process::FlowProcess;

/// The largest body in a test.
const LARGEST: u64 = 1 << 30;
/// How often an envelope is delivered before the test's queue gives it up.
const ATTEMPTS: usize = 50;

/// How many envelopes are on delivery at once: a thousand at once would need more sockets than many shells allow.
const WORKERS: usize = 64;

/// A call that a fake function or a callback URL received.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RecordedCall {
    /// The method.
    pub method: Method,
    /// The query, without the `?`.
    pub query: Option<String>,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl RecordedCall {
    /// The body as text; what is not UTF-8 is replaced.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// A header as text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// An envelope in the test's queue.
#[derive(Clone, Debug)]
pub(crate) struct Queued {
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    attempts: usize,
}

#[derive(Default)]
pub(crate) struct Gateway {
    pub(crate) functions: HashMap<String, Fake>,
    pub(crate) callbacks: HashMap<String, Fake>,
    calls: Mutex<HashMap<String, Vec<RecordedCall>>>,
    pub(crate) reports: Mutex<HashMap<String, RecordedCall>>,
    pub(crate) changed: Notify,
    pub(crate) queue: Mutex<VecDeque<Queued>>,
    queue_changed: Notify,
    /// The queue refuses what comes.
    pub(crate) stopped: AtomicBool,
    /// The queue takes what comes and delivers nothing.
    pub(crate) held: AtomicBool,
    /// The queue delivers everything twice.
    pub(crate) twice: AtomicBool,
    /// The statuses that deliveries were answered with.
    pub(crate) deliveries: Mutex<Vec<StatusCode>>,
    /// The function at whose next call the flow function crashes.
    pub(crate) crash_at: Mutex<Option<String>>,
    pub(crate) flow: Mutex<Option<Arc<FlowProcess>>>,
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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

    pub(crate) fn wake_queue(&self) {
        self.queue_changed.notify_one();
    }

    /// Delivers envelopes to the flow function, those that meet with a passing trouble again.
    pub(crate) async fn deliver(self: Arc<Gateway>, client: HttpClient) {
        let workers = Arc::new(Semaphore::new(WORKERS));
        loop {
            let next = if self.held.load(Ordering::SeqCst) { None } else { lock(&self.queue).pop_front() };
            let Some(queued) = next else {
                self.queue_changed.notified().await;
                continue;
            };
            let times = if self.twice.load(Ordering::SeqCst) && queued.attempts == 0 { 2 } else { 1 };
            for _ in 0..times {
                let worker = workers.clone().acquire_owned().await.expect("nobody closes it");
                let attempt = self.clone().attempt(client.clone(), queued.clone());
                tokio::spawn(async move {
                    attempt.await;
                    drop(worker);
                });
            }
        }
    }

    async fn attempt(self: Arc<Gateway>, client: HttpClient, mut queued: Queued) {
        let Some(flow) = lock(&self.flow).clone() else { return };
        let mut request = Request::new(Body::from(queued.body.clone()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = flow.url().parse().expect("the flow's address is a URL");
        *request.headers_mut() = queued.headers.clone();
        let status = match client.send(request).await {
            Ok(response) => {
                let status = response.status();
                let _ = read_body(response.into_body(), LARGEST, Duration::from_secs(60)).await;
                status
            }
            Err(_) => StatusCode::SERVICE_UNAVAILABLE,
        };
        lock(&self.deliveries).push(status);
        let passing = matches!(status.as_u16(), 408 | 425 | 429 | 502 | 503 | 504);
        queued.attempts += 1;
        if passing && queued.attempts < ATTEMPTS {
            tokio::time::sleep(Duration::from_millis(20)).await;
            lock(&self.queue).push_back(queued);
            self.queue_changed.notify_one();
        }
        self.changed.notify_waiters();
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
        Doing::Reply(reply) => reply,
        Doing::After(delay, reply) => {
            tokio::time::sleep(delay).await;
            reply
        }
        Doing::Hang => std::future::pending().await,
    };
    let mut response = Response::new(Body::from(reply.body));
    *response.status_mut() = reply.status;
    *response.headers_mut() = reply.headers;
    response
}

async fn enqueue(State(gateway): State<Arc<Gateway>>, Path(_): Path<String>, request: Request) -> Response {
    if gateway.stopped.load(Ordering::SeqCst) {
        return (StatusCode::INTERNAL_SERVER_ERROR, "Error queuing request: the test has stopped the queue")
            .into_response();
    }
    let mut call = take(request).await;
    call.headers.remove(http::header::HOST);
    call.headers.remove(http::header::CONTENT_LENGTH);
    lock(&gateway.queue).push_back(Queued { headers: call.headers, body: call.body, attempts: 0 });
    gateway.queue_changed.notify_one();
    gateway.changed.notify_waiters();
    StatusCode::ACCEPTED.into_response()
}

async fn report(State(gateway): State<Arc<Gateway>>, request: Request) -> StatusCode {
    let call = take(request).await;
    let id = call.header(headers::REQUEST_ID.as_str()).unwrap_or_default().to_owned();
    lock(&gateway.reports).insert(id, call);
    gateway.changed.notify_waiters();
    StatusCode::OK
}
