//! Functions that record their requests, and can be made to wait.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use bytes::Bytes;
use faasflow_http::{ServerOptions, read_body, serve};
use http::{HeaderMap, Method, Response, StatusCode};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

/// A request that a function received.
#[derive(Clone, Debug)]
pub(crate) struct ReceivedRequest {
    pub(crate) function: String,
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl ReceivedRequest {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// Serves every function; the first part of the path is the name. Echoes the body.
#[derive(Clone)]
pub(crate) struct Recorder {
    url: String,
    shared: Arc<Shared>,
    _serving: Arc<AbortOnDropHandle<()>>,
}

struct Shared {
    seen: watch::Sender<Vec<ReceivedRequest>>,
    paused: Mutex<HashMap<String, watch::Sender<bool>>>,
    statuses: Mutex<HashMap<String, StatusCode>>,
    once: Mutex<HashMap<String, StatusCode>>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Recorder {
    pub(crate) async fn start() -> Result<Recorder, String> {
        Recorder::start_at("127.0.0.1").await
    }

    /// Serves on another address of this machine.
    pub(crate) async fn start_at(host: &str) -> Result<Recorder, String> {
        let listener = TcpListener::bind((host, 0)).await.map_err(|error| error.to_string())?;
        let address = listener.local_addr().map_err(|error| error.to_string())?;
        let shared = Arc::new(Shared {
            seen: watch::Sender::new(Vec::new()),
            paused: Mutex::new(HashMap::new()),
            statuses: Mutex::new(HashMap::new()),
            once: Mutex::new(HashMap::new()),
        });
        let router = Router::new().fallback(answer).with_state(shared.clone());
        let serving = tokio::spawn(async move {
            let _ = serve(listener, router, ServerOptions::default(), std::future::pending()).await;
        });
        let _serving = Arc::new(AbortOnDropHandle::new(serving));
        Ok(Recorder { url: format!("http://{address}"), shared, _serving })
    }

    /// The URL of the function of this name.
    pub(crate) fn url(&self, function: &str) -> String {
        format!("{}/{function}", self.url)
    }

    /// The requests to a function, in order.
    pub(crate) fn seen(&self, function: &str) -> Vec<ReceivedRequest> {
        self.shared.seen.borrow().iter().filter(|seen| seen.function == function).cloned().collect()
    }

    /// Waits until a function got this many requests with this body. Requests of an earlier check may still arrive,
    /// because the queue delivers at least once.
    pub(crate) async fn until_sent(
        &self,
        function: &str,
        body: &str,
        times: usize,
        patience: Duration,
    ) -> Result<Vec<ReceivedRequest>, String> {
        let mut watching = self.shared.seen.subscribe();
        let meant = |seen: &&ReceivedRequest| seen.function == function && seen.body == body;
        let enough = |all: &Vec<ReceivedRequest>| all.iter().filter(meant).count() >= times;
        let waited = tokio::time::timeout(patience, watching.wait_for(enough)).await.map(drop);
        let seen: Vec<ReceivedRequest> = self.seen(function).into_iter().filter(|seen| seen.body == body).collect();
        waited
            .map_err(|_| format!("`{function}` was sent `{body}` {} times in {patience:?}, not {times}", seen.len()))?;
        Ok(seen)
    }

    /// Waits until a function got this many requests.
    pub(crate) async fn until(
        &self,
        function: &str,
        times: usize,
        patience: Duration,
    ) -> Result<Vec<ReceivedRequest>, String> {
        let mut watching = self.shared.seen.subscribe();
        let enough = |all: &Vec<ReceivedRequest>| all.iter().filter(|seen| seen.function == function).count() >= times;
        let waited = tokio::time::timeout(patience, watching.wait_for(enough)).await.map(drop);
        let seen = self.seen(function);
        waited.map_err(|_| format!("`{function}` was asked {} times within {patience:?}, not {times}", seen.len()))?;
        Ok(seen)
    }

    /// Forgets all requests so far.
    pub(crate) fn clear(&self) {
        self.shared.seen.send_modify(Vec::clear);
    }

    /// Makes requests of a function wait until [`release`](Recorder::release).
    pub(crate) fn hold(&self, function: &str) {
        locked(&self.shared.paused).insert(function.to_owned(), watch::Sender::new(true));
    }

    pub(crate) fn release(&self, function: &str) {
        if let Some(paused) = locked(&self.shared.paused).remove(function) {
            paused.send_replace(false);
        }
    }

    /// Sets the answer of a function.
    pub(crate) fn answer(&self, function: &str, status: StatusCode) {
        locked(&self.shared.statuses).insert(function.to_owned(), status);
    }

    /// Sets the answer of a function to the next request only.
    pub(crate) fn answer_once(&self, function: &str, status: StatusCode) {
        locked(&self.shared.once).insert(function.to_owned(), status);
    }
}

async fn answer(State(shared): State<Arc<Shared>>, request: axum::extract::Request) -> Response<axum::body::Body> {
    let (parts, body) = request.into_parts();
    let body = read_body(body, 1 << 30, Duration::from_secs(60)).await.unwrap_or_default();
    let path = parts.uri.path().trim_start_matches('/');
    let (function, path) = path.split_once('/').unwrap_or((path, ""));
    let seen = ReceivedRequest {
        function: function.to_owned(),
        method: parts.method,
        path: format!("/{path}"),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        headers: parts.headers,
        body: body.clone(),
    };
    let once = locked(&shared.once).remove(function);
    let content_type = seen.headers.get(http::header::CONTENT_TYPE).cloned();
    shared.seen.send_modify(|all| all.push(seen));
    let paused = locked(&shared.paused).get(function).map(watch::Sender::subscribe);
    if let Some(mut paused) = paused {
        let _ = paused.wait_for(|paused| !paused).await;
    }
    let mut response = Response::new(axum::body::Body::from(body));
    let status = once.or_else(|| locked(&shared.statuses).get(function).copied());
    *response.status_mut() = status.unwrap_or(StatusCode::OK);
    if let Some(value) = content_type {
        response.headers_mut().insert(http::header::CONTENT_TYPE, value);
    }
    response
}
