//! The function that everything calls. It echoes its input, on bare hyper, so that it costs as little as possible.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::watch;

/// Closes the gate. Requests are held from then on.
pub(crate) const HOLD: &str = "/hold";
/// Opens the gate.
pub(crate) const RELEASE: &str = "/release";
/// Answers with the number of requests that are held.
pub(crate) const HELD: &str = "/held";

/// Accepts what it is sent and gives an empty answer, as a queue does.
pub(crate) const TAKE: &str = "/take";
/// Accepts traces, as a server for OTLP over HTTP does.
const TRACES: &str = "/v1/traces";
/// Answers with the number of bytes of traces that have arrived.
pub(crate) const TRACED: &str = "/traced";

struct State {
    closed: watch::Sender<bool>,
    held_requests: AtomicUsize,
    traced: AtomicUsize,
}

/// Serves until the process ends.
pub(crate) async fn serve(address: SocketAddr) -> std::io::Result<()> {
    // Many clients may connect at once.
    let socket = tokio::net::TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    let listener: TcpListener = socket.listen(4096)?;
    let state = Arc::new(State {
        closed: watch::Sender::new(false),
        held_requests: AtomicUsize::new(0),
        traced: AtomicUsize::new(0),
    });
    loop {
        let (stream, _) = listener.accept().await?;
        let _ = stream.set_nodelay(true);
        let state = state.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| answer(state.clone(), request));
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn answer(state: Arc<State>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (mut parts, body) = request.into_parts();
    match parts.uri.path() {
        HOLD => {
            state.closed.send_replace(true);
            return Ok(Response::default());
        }
        RELEASE => {
            state.closed.send_replace(false);
            return Ok(Response::default());
        }
        HELD => return Ok(Response::new(Full::from(state.held_requests.load(Ordering::SeqCst).to_string()))),
        TRACED => return Ok(Response::new(Full::from(state.traced.load(Ordering::SeqCst).to_string()))),
        _ => {}
    }
    let Ok(body) = body.collect().await else {
        let mut refused = Response::default();
        *refused.status_mut() = StatusCode::BAD_REQUEST;
        return Ok(refused);
    };
    if *state.closed.borrow() {
        state.held_requests.fetch_add(1, Ordering::SeqCst);
        let _ = state.closed.subscribe().wait_for(|closed| !closed).await;
        state.held_requests.fetch_sub(1, Ordering::SeqCst);
    }
    match parts.uri.path() {
        TAKE => return Ok(Response::default()),
        TRACES => {
            state.traced.fetch_add(body.to_bytes().len(), Ordering::SeqCst);
            let mut taken = Response::default();
            taken.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
            return Ok(taken);
        }
        _ => {}
    }
    let mut response = Response::new(Full::new(body.to_bytes()));
    if let Some(content_type) = parts.headers.remove(CONTENT_TYPE) {
        response.headers_mut().insert(CONTENT_TYPE, content_type);
    }
    Ok(response)
}
