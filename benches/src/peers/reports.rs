//! Receives the results of flows that are sent to a URL.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use faasflow_core::headers;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::Failure;

/// How long a flow may take. A lost result must not stop the run for ever.
const LIMIT: Duration = Duration::from_secs(120);

/// The waiting clients, by the path of their URL.
type Waiting = Arc<Mutex<HashMap<String, oneshot::Sender<Result<Bytes, String>>>>>;

/// The server that receives results.
pub(super) struct Reports {
    address: SocketAddr,
    waiting: Waiting,
    _receiving: JoinSet<()>,
}

/// A result that has not arrived yet.
pub(super) struct PendingResult {
    pub(super) url: String,
    report: oneshot::Receiver<Result<Bytes, String>>,
}

impl Reports {
    pub(super) async fn start() -> Result<Reports, Failure> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let (address, waiting) = (listener.local_addr()?, Waiting::default());
        let mut receiving = JoinSet::new();
        receiving.spawn(receive(listener, waiting.clone()));
        Ok(Reports { address, waiting, _receiving: receiving })
    }

    /// Creates a URL and waits for what is sent to it.
    pub(super) fn expect(&self) -> PendingResult {
        let path = format!("/{}", Uuid::now_v7());
        let url = format!("http://{}{path}", self.address);
        let (tell, report) = oneshot::channel();
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).insert(path, tell);
        PendingResult { url, report }
    }
}

impl PendingResult {
    pub(super) async fn come(self) -> Result<Bytes, Failure> {
        match tokio::time::timeout(LIMIT, self.report).await {
            Ok(report) => Ok(report??),
            Err(_) => Err(format!("the result for {} did not arrive within {LIMIT:?}", self.url).into()),
        }
    }
}

async fn receive(listener: TcpListener, waiting: Waiting) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let _ = stream.set_nodelay(true);
        let waiting = waiting.clone();
        connections.spawn(async move {
            let service = service_fn(move |request| take(waiting.clone(), request));
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

/// Faasflow sends the outcome in a header, goflow in the query.
async fn take(waiting: Waiting, request: Request<Incoming>) -> Result<Response<Empty<Bytes>>, Infallible> {
    let (parts, body) = request.into_parts();
    let outcome = parts.headers.get(headers::OUTCOME).and_then(|outcome| outcome.to_str().ok());
    let outcome = outcome.or_else(|| parts.uri.query()?.strip_prefix("state=")).unwrap_or("nothing");
    let result = match body.collect().await {
        Ok(body) if outcome == "success" => Ok(body.to_bytes()),
        Ok(body) => Err(format!("a flow ended with {outcome}: {}", String::from_utf8_lossy(&body.to_bytes()))),
        Err(error) => Err(format!("the result of a flow was cut off: {error}")),
    };
    let waits = waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(parts.uri.path());
    let mut response = Response::default();
    match waits {
        Some(tell) => drop(tell.send(result)),
        None => *response.status_mut() = StatusCode::NOT_FOUND,
    }
    Ok(response)
}
