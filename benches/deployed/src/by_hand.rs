//! The chain and the parallel calls by hand, with axum and the HTTP client that flows use.
//!
//! They have what a careful user would write: a limit on every body, a timeout for every exchange, a check of every
//! status, the content type, and an id that is passed to the functions and back to the caller. They have no retries, no
//! log and no failure handler. Flows have these, and the comparison shows what they cost.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::serve::ListenerExt as _;
use bytes::Bytes;
use faasflow_http::{HttpClient, read_body};
use http::header::CONTENT_TYPE;
use http::{HeaderName, HeaderValue, StatusCode, Uri};
use tokio::net::TcpListener;
use uuid::Uuid;

pub mod parallel;

/// The largest body that is read.
pub const MAX_BODY: u64 = 64 << 20;
/// How long a request may take to arrive.
pub const READ_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a call may take.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(60);
/// The header with the id of a request.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The content type of a body that has none.
pub const OCTETS: HeaderValue = HeaderValue::from_static("application/octet-stream");

#[derive(Clone)]
struct Chain {
    client: HttpClient,
    /// The URL of each call, in order.
    calls: Vec<Uri>,
}

/// Why a chain failed.
enum ChainError {
    Unreachable,
    TooSlow,
    Answered(StatusCode),
    Body,
}

impl ChainError {
    fn response(&self) -> Response {
        match self {
            ChainError::Unreachable => (StatusCode::BAD_GATEWAY, "the function cannot be reached").into_response(),
            ChainError::TooSlow => (StatusCode::GATEWAY_TIMEOUT, "the function took too long").into_response(),
            ChainError::Answered(status) => {
                (StatusCode::BAD_GATEWAY, format!("the function answered {status}")).into_response()
            }
            ChainError::Body => {
                (StatusCode::BAD_GATEWAY, "the function's answer was cut off or is too large").into_response()
            }
        }
    }
}

/// Serves a chain of calls of these URLs.
///
/// # Errors
///
/// If the address cannot be bound.
pub async fn serve(address: SocketAddr, calls: Vec<Uri>) -> std::io::Result<()> {
    let chain = Chain { client: HttpClient::new(Duration::from_secs(5)), calls };
    serve_router(address, Router::new().fallback(run).with_state(chain)).await
}

async fn serve_router(address: SocketAddr, router: Router) -> std::io::Result<()> {
    let app = router.route("/_/health", get(|| async { "OK\n" }));
    let listener = TcpListener::bind(address).await?.tap_io(|stream| {
        // A small answer must not wait until the previous one is acknowledged.
        let _ = stream.set_nodelay(true);
    });
    axum::serve(listener, app).await
}

async fn run(State(chain): State<Chain>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let id = parts.headers.get(REQUEST_ID).cloned().unwrap_or_else(new_id);
    let Ok(mut payload) = read_body(body, MAX_BODY, READ_TIMEOUT).await else {
        return (StatusCode::BAD_REQUEST, "the body was cut off or is too large").into_response();
    };
    let mut content_type = parts.headers.get(CONTENT_TYPE).cloned().unwrap_or(OCTETS);
    for url in &chain.calls {
        let calling = call(&chain.client, url, &id, content_type, payload);
        (content_type, payload) = match tokio::time::timeout(CALL_TIMEOUT, calling).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(broken)) => return broken.response(),
            Err(_) => return ChainError::TooSlow.response(),
        };
    }
    let mut response = Response::new(Body::from(payload));
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response.headers_mut().insert(REQUEST_ID, id);
    response
}

async fn call(
    client: &HttpClient,
    url: &Uri,
    id: &HeaderValue,
    content_type: HeaderValue,
    payload: Bytes,
) -> Result<(HeaderValue, Bytes), ChainError> {
    let mut request = Request::new(Body::from(payload));
    *request.method_mut() = http::Method::POST;
    *request.uri_mut() = url.clone();
    request.headers_mut().insert(CONTENT_TYPE, content_type);
    request.headers_mut().insert(REQUEST_ID, id.clone());
    let response = client.send(request).await.map_err(|_| ChainError::Unreachable)?;
    let (mut parts, body) = response.into_parts();
    // Read the body even if it is not used, so that the connection can be reused.
    let body = read_body(body, MAX_BODY, CALL_TIMEOUT).await.map_err(|_| ChainError::Body)?;
    if !parts.status.is_success() {
        return Err(ChainError::Answered(parts.status));
    }
    Ok((parts.headers.remove(CONTENT_TYPE).unwrap_or(OCTETS), body))
}

/// A new request id.
#[must_use]
pub fn new_id() -> HeaderValue {
    HeaderValue::from_str(&Uuid::now_v7().to_string()).expect("a UUID can be a header")
}
