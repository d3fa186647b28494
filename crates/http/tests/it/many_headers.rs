//! Heads with too many headers.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use faasflow_http::{HttpClient, ServerOptions, read_body, serve};
use http::{HeaderName, HeaderValue, Request};
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

const PATIENCE: Duration = Duration::from_secs(60);

/// A server whose application adds headers to each request, as the gateway does, and counts them.
async fn server() -> (SocketAddr, Arc<AtomicUsize>, AbortOnDropHandle<()>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let requests = Arc::new(AtomicUsize::new(0));
    let counted = requests.clone();
    let app = Router::new().fallback(async move |mut request: Request<Body>| {
        counted.fetch_add(1, Ordering::SeqCst);
        for number in 0..10 {
            let name = HeaderName::try_from(format!("x-added-{number}")).unwrap();
            request.headers_mut().insert(name, HeaderValue::from_static("x"));
        }
    });
    let serving = tokio::spawn(async move {
        serve(listener, app, ServerOptions::default(), std::future::pending()).await.unwrap();
    });
    (address, requests, AbortOnDropHandle::new(serving))
}

/// With 24,572 to 24,576 headers, the application panicked when it added one.
#[tokio::test(flavor = "multi_thread")]
async fn r2_headers_beyond_the_limit_are_refused_in_http2_too() {
    let (address, requests, _serving) = server().await;
    let client = HttpClient::http2(PATIENCE, None).unwrap();
    for (count, status) in [(2000, 200), (2001, 431), (24_572, 431), (24_574, 431), (24_576, 431), (2000, 200)] {
        let mut request = Request::new(Body::empty());
        *request.uri_mut() = format!("http://{address}/").parse().unwrap();
        for _ in 0..count {
            request.headers_mut().append("a", HeaderValue::from_static(""));
        }
        let answer = tokio::time::timeout(PATIENCE, client.send(request)).await.unwrap().unwrap();
        assert_eq!(answer.status(), status, "{count}");
        let body = read_body(answer.into_body(), 1000, PATIENCE).await.unwrap();
        assert_eq!(!body.is_empty(), status == 431, "{count}");
    }
    assert_eq!(requests.load(Ordering::SeqCst), 2);
}
