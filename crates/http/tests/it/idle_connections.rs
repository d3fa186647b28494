//! Servers that close a connection just as it is reused.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::Body;
use faasflow_http::{HttpClient, HttpError, read_body};
use http::{Method, Request, Response};
use hyper::body::Incoming;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::AbortOnDropHandle;

/// The longest time that anything may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// Reads a request and returns its body. `None` if the connection has ended.
async fn read_request(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).unwrap().to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).map_or(0, |n| n.parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    Some(body)
}

async fn answer(stream: &mut TcpStream, body: &[u8]) {
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
    stream.write_all(&[head.as_bytes(), body].concat()).await.unwrap();
}

struct Server {
    address: SocketAddr,
    requests: Arc<AtomicUsize>,
    _serving: AbortOnDropHandle<()>,
}

/// A server that passes each connection to `serve`.
async fn server<F: Future<Output = ()> + Send + 'static>(
    serve: impl Fn(TcpStream, Arc<AtomicUsize>) -> F + Send + 'static,
) -> Server {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let requests = Arc::new(AtomicUsize::new(0));
    let serving = tokio::spawn({
        let requests = requests.clone();
        async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(stream, requests.clone()));
            }
        }
    });
    Server { address, requests, _serving: AbortOnDropHandle::new(serving) }
}

/// Answers one request of each connection, reads another, and closes the connection without an answer. This is what a
/// client sees if its request crosses the end of an idle connection.
async fn closes_on_the_second(mut stream: TcpStream, requests: Arc<AtomicUsize>) {
    let Some(body) = read_request(&mut stream).await else { return };
    requests.fetch_add(1, Ordering::SeqCst);
    answer(&mut stream, &body).await;
    let _ = read_request(&mut stream).await;
}

fn request(to: SocketAddr, method: Method, key: Option<&str>, body: Vec<u8>) -> Request<Body> {
    let mut request = Request::builder().method(method).uri(format!("http://{to}/"));
    if let Some(key) = key {
        request = request.header("idempotency-key", key);
    }
    request.body(Body::from(body)).unwrap()
}

/// Sends a request. Returns the body of the answer, or the error.
async fn send(
    client: &HttpClient,
    to: SocketAddr,
    method: Method,
    key: Option<&str>,
    body: Vec<u8>,
) -> Result<Vec<u8>, String> {
    answered(client.send(request(to, method, key, body))).await
}

/// The same for a request that is built when it is sent.
async fn send_built(
    client: &HttpClient,
    to: SocketAddr,
    method: Method,
    key: Option<&str>,
    body: Vec<u8>,
) -> Result<Vec<u8>, String> {
    answered(client.send_built(|| request(to, method.clone(), key, body.clone()))).await
}

async fn answered(sending: impl Future<Output = Result<Response<Incoming>, HttpError>>) -> Result<Vec<u8>, String> {
    let answer = tokio::time::timeout(PATIENCE, sending).await.unwrap().map_err(|error| error.to_string())?;
    Ok(read_body(answer.into_body(), 1 << 30, PATIENCE).await.unwrap().to_vec())
}

#[tokio::test(flavor = "multi_thread")]
async fn r5_a_request_that_meets_a_closing_connection_is_sent_again() {
    let server = server(closes_on_the_second).await;
    let client = HttpClient::new(PATIENCE);
    let rounds = 20;
    for round in 0..rounds {
        let (method, key, body) = match round % 4 {
            0 => (Method::GET, None, Vec::new()),
            1 => (Method::POST, Some("k"), b"body".to_vec()),
            2 => (Method::DELETE, None, Vec::new()),
            _ => (Method::PUT, None, b"body".to_vec()),
        };
        assert_eq!(send(&client, server.address, method.clone(), key, body.clone()).await, Ok(body.clone()), "{round}");
        assert_eq!(send_built(&client, server.address, method, key, body.clone()).await, Ok(body), "{round}");
    }
    assert_eq!(server.requests.load(Ordering::SeqCst), 2 * rounds);
}

#[tokio::test(flavor = "multi_thread")]
async fn r5_an_unsafe_request_is_not_sent_again() {
    for method in [Method::POST, Method::PATCH] {
        let server = server(closes_on_the_second).await;
        let client = HttpClient::new(PATIENCE);
        let body = || b"body".to_vec();
        let error =
            on_a_kept_connection(&client, &server, || send(&client, server.address, method.clone(), None, body()));
        assert_eq!(error.await, "the connection was lost");
        let error = on_a_kept_connection(&client, &server, || {
            send_built(&client, server.address, method.clone(), None, body())
        });
        assert_eq!(error.await, "the connection was lost");
    }
}

/// Sends a request on a connection that has served another one. Returns its error. The client keeps a connection a moment
/// after the answer, so the request may get a new connection, which answers it. Then all is done again.
async fn on_a_kept_connection<F>(client: &HttpClient, server: &Server, send_it: impl Fn() -> F) -> String
where
    F: Future<Output = Result<Vec<u8>, String>>,
{
    for _ in 0..100 {
        send(client, server.address, Method::GET, None, Vec::new()).await.unwrap();
        let before = server.requests.load(Ordering::SeqCst);
        if let Err(error) = send_it().await {
            assert_eq!(server.requests.load(Ordering::SeqCst), before, "it was sent again");
            return error;
        }
    }
    panic!("it was answered each time, so it was sent again or no connection was kept")
}

#[tokio::test(flavor = "multi_thread")]
async fn r5_a_server_that_never_answers_is_asked_only_once() {
    let server = server(async |mut stream, requests| {
        let _ = read_request(&mut stream).await;
        requests.fetch_add(1, Ordering::SeqCst);
    })
    .await;
    let client = HttpClient::new(PATIENCE);
    send(&client, server.address, Method::GET, None, Vec::new()).await.unwrap_err();
    assert_eq!(server.requests.load(Ordering::SeqCst), 1);
}

/// The defect, as it was found: 19 of 40 requests failed.
#[tokio::test(flavor = "multi_thread")]
async fn r5_idle_connections_may_be_closed_at_any_moment() {
    let server = server(async |mut stream, _| {
        while let Ok(Some(body)) = tokio::time::timeout(Duration::from_millis(50), read_request(&mut stream)).await {
            answer(&mut stream, &body).await;
        }
    })
    .await;
    let client = HttpClient::new(PATIENCE);
    for number in 0..40 {
        tokio::time::sleep(Duration::from_millis(45 + number % 13)).await;
        let got = send(&client, server.address, Method::GET, None, Vec::new()).await;
        assert_eq!(got, Ok(Vec::new()), "{number}");
    }
}

/// Six kept connections to a server that executes a request and dies each time. The request was executed five times.
#[tokio::test(flavor = "multi_thread")]
async fn r5_a_request_is_executed_twice_at_most() {
    const KEPT: usize = 6;
    let all = Arc::new(tokio::sync::Barrier::new(KEPT));
    let accepted = Arc::new(AtomicUsize::new(0));
    let server = server(move |mut stream, executions| {
        let (all, accepted) = (all.clone(), accepted.clone());
        async move {
            if accepted.fetch_add(1, Ordering::SeqCst) < KEPT {
                let body = read_request(&mut stream).await.unwrap();
                all.wait().await;
                answer(&mut stream, &body).await;
            }
            if read_request(&mut stream).await.is_some() {
                executions.fetch_add(1, Ordering::SeqCst);
            }
        }
    })
    .await;
    let client = HttpClient::new(PATIENCE);
    let keep = (0..KEPT).map(|_| send(&client, server.address, Method::GET, None, Vec::new()));
    futures_util::future::join_all(keep).await.into_iter().for_each(|got| assert!(got.is_ok(), "{got:?}"));
    let error = send(&client, server.address, Method::POST, Some("k"), b"body".to_vec()).await.unwrap_err();
    assert_eq!((error.as_str(), server.requests.load(Ordering::SeqCst)), ("the connection was lost", 2));
}

/// A function that refuses a large body closes the connection before it has read it. Some of its answers were lost.
#[tokio::test(flavor = "multi_thread")]
async fn r2_an_answer_is_read_even_if_the_server_did_not_read_the_body() {
    let server = server(async |mut stream, requests| {
        let mut some = [0; 1000];
        stream.read_exact(&mut some).await.unwrap();
        requests.fetch_add(1, Ordering::SeqCst);
        stream.write_all(b"HTTP/1.1 413 Payload Too Large\r\ncontent-length: 9\r\n\r\ntoo large").await.unwrap();
    })
    .await;
    let client = HttpClient::new(PATIENCE);
    for round in 0..20 {
        let body = vec![7; 5_000_000];
        let got = send(&client, server.address, Method::POST, None, body).await;
        assert_eq!(got, Ok(b"too large".to_vec()), "{round}");
    }
    assert_eq!(server.requests.load(Ordering::SeqCst), 20);
}
