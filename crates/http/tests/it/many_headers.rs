//! Heads with too many headers.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use faasflow_http::{HttpClient, MOST_ANSWER_HEADERS, MOST_HEADERS, ServerOptions, read_body, serve};
use http::{HeaderName, HeaderValue, Request, StatusCode};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::AbortOnDropHandle;

const PATIENCE: Duration = Duration::from_secs(120);

/// A server whose application adds headers to each request, as the gateway does, and counts them.
async fn server() -> (SocketAddr, Arc<AtomicUsize>, AbortOnDropHandle<()>) {
    let requests = Arc::new(AtomicUsize::new(0));
    let counted = requests.clone();
    let app = Router::new().fallback(async move |mut request: Request<Body>| {
        counted.fetch_add(1, Ordering::SeqCst);
        for number in 0..10 {
            let name = HeaderName::try_from(format!("x-added-{number}")).unwrap();
            request.headers_mut().insert(name, HeaderValue::from_static("x"));
        }
    });
    let (address, serving) = listen(app).await;
    (address, requests, serving)
}

async fn listen(app: Router) -> (SocketAddr, AbortOnDropHandle<()>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = tokio::spawn(async move {
        serve(listener, app, ServerOptions::default(), std::future::pending()).await.unwrap();
    });
    (address, AbortOnDropHandle::new(serving))
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

#[tokio::test(flavor = "multi_thread")]
async fn r2_an_answer_with_too_many_headers_is_refused_with_the_limit() {
    let app = Router::new().fallback(async |request: Request<Body>| {
        let count: usize = request.uri().path()[1..].parse().unwrap();
        let mut answer = Response::new(Body::empty());
        // The server adds `Content-Length` and `Date`.
        for number in 2..count {
            let name = HeaderName::try_from(format!("x-many-{number}")).unwrap();
            answer.headers_mut().insert(name, HeaderValue::from_static("x"));
        }
        answer
    });
    let (address, _serving) = listen(app).await;
    for (client, limit) in [
        (HttpClient::new(PATIENCE), MOST_ANSWER_HEADERS),
        (HttpClient::with_most_headers(PATIENCE, MOST_HEADERS), MOST_HEADERS),
    ] {
        let send = async |count: usize| {
            let request = Request::get(format!("http://{address}/{count}")).body(Body::empty()).unwrap();
            tokio::time::timeout(PATIENCE, client.send(request)).await.unwrap()
        };
        assert_eq!(send(limit).await.unwrap().headers().len(), limit);
        let error = send(limit + 1).await.unwrap_err();
        assert!(error.is_unusable_answer());
        assert_eq!(
            error.to_string(),
            format!("the head of the answer has more than 1 MiB, or more than {limit} headers")
        );
    }
}

/// A request with this many headers in all, to an application that answers with the number.
fn head(count: usize) -> String {
    let body = if count.is_multiple_of(2) { "body" } else { "" };
    let head = format!("POST /{count} HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n", body.len());
    format!("{head}{}\r\n{body}", "a: b\r\n".repeat(count - 2))
}

/// Reads the next answer. Returns its status and body.
async fn next(stream: &mut (impl AsyncRead + Unpin)) -> (u16, String) {
    let mut head = Vec::new();
    let reading = async {
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        let head = String::from_utf8(head).unwrap();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap().parse().unwrap();
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.unwrap();
        (head[9..12].parse().unwrap(), String::from_utf8(body).unwrap())
    };
    tokio::time::timeout(PATIENCE, reading).await.expect("an answer should come")
}

#[tokio::test(flavor = "multi_thread")]
async fn r2_any_request_of_a_connection_may_have_many_headers() {
    let app = Router::new().fallback(async |request: Request<Body>| request.headers().len().to_string());
    let (address, _serving) = listen(app).await;
    for counts in [vec![100], vec![101], vec![2000], vec![2, 3, 150, 4, 2000, 7, 101], vec![151, 2]] {
        let requests: Vec<String> = counts.iter().map(|&count| head(count)).collect();
        let expected = |count: usize| (200, count.to_string());
        // One after the other.
        let mut stream = TcpStream::connect(address).await.unwrap();
        for (request, &count) in requests.iter().zip(&counts) {
            stream.write_all(request.as_bytes()).await.unwrap();
            assert_eq!(next(&mut stream).await, expected(count), "{counts:?}");
        }
        // All at once, and in pieces.
        for size in [usize::MAX, 200] {
            let stream = TcpStream::connect(address).await.unwrap();
            stream.set_nodelay(true).unwrap();
            let (mut reading, mut writing) = stream.into_split();
            let all = requests.concat();
            let sending = tokio::spawn(async move {
                for piece in all.as_bytes().chunks(size) {
                    writing.write_all(piece).await.unwrap();
                    tokio::task::yield_now().await;
                }
                writing
            });
            for &count in &counts {
                assert_eq!(next(&mut reading).await, expected(count), "{counts:?} in pieces of {size}");
            }
            sending.await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn r2_a_request_with_too_many_headers_is_refused_wherever_it_stands() {
    let app = Router::new().fallback(async |request: Request<Body>| request.headers().len().to_string());
    let (address, _serving) = listen(app).await;
    for before in [vec![], vec![2], vec![150], vec![2, 150, 3]] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        for count in before {
            stream.write_all(head(count).as_bytes()).await.unwrap();
            assert_eq!(next(&mut stream).await, (200, count.to_string()));
        }
        stream.write_all(head(2001).as_bytes()).await.unwrap();
        let (status, text) = next(&mut stream).await;
        assert_eq!(status, 431);
        assert_eq!(text, "the head of the request has more than 1048576 bytes, or more than 2000 headers\n");
        assert_eq!(stream.read(&mut [0]).await.unwrap_or(0), 0, "the connection should be closed");
    }
}

/// The application's own answer looks like one of hyper's that is replaced.
#[tokio::test(flavor = "multi_thread")]
async fn r2_a_431_of_the_application_arrives() {
    let app = Router::new().fallback(async |request: Request<Body>| match request.uri().path() {
        "/2" => StatusCode::OK,
        _ => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
    });
    let (address, _serving) = listen(app).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    for count in [2, 3, 2, 4, 2, 150, 151] {
        stream.write_all(head(count).as_bytes()).await.unwrap();
        let expected = if count == 2 { 200 } else { 431 };
        assert_eq!(next(&mut stream).await, (expected, String::new()), "{count}");
    }
    // A head that the application never sees is still refused with the reason.
    stream.write_all(head(2001).as_bytes()).await.unwrap();
    let (status, text) = next(&mut stream).await;
    assert!(status == 431 && text.ends_with("more than 2000 headers\n"), "{status} {text}");
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
    assert_eq!(next(&mut stream).await, (431, String::new()));
    assert_eq!(stream.read(&mut [0]).await.unwrap_or(0), 0, "the connection should be closed");
}
