//! Clients that make a server hold data which they do not read, or requests which they do not finish.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use bytes::Bytes;
use faasflow_http::{HttpClient, ServerOptions, read_body, serve};
use http::Request;
use http_body_util::BodyExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::AbortOnDropHandle;

const PATIENCE: Duration = Duration::from_secs(120);

async fn listen(app: Router, options: ServerOptions) -> (SocketAddr, AbortOnDropHandle<()>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = tokio::spawn(async move {
        serve(listener, app, options, std::future::pending()).await.unwrap();
    });
    (address, AbortOnDropHandle::new(serving))
}

async fn connect(to: SocketAddr, bytes: impl AsRef<[u8]>) -> TcpStream {
    let mut stream = TcpStream::connect(to).await.unwrap();
    // The server may refuse the connection before everything is sent.
    let _ = stream.write_all(bytes.as_ref()).await;
    stream
}

async fn to_the_end(mut stream: TcpStream) -> String {
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer))
        .await
        .expect("the server should close the connection");
    String::from_utf8_lossy(&answer).into_owned()
}

const HEALTH: &str = "GET /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";

fn busy(answer: &str) {
    assert!(answer.starts_with("HTTP/1.1 503 Service Unavailable\r\n"), "{answer:?}");
    assert!(answer.contains("retry-after: ") && answer.contains("x-faasflow-busy: true"), "{answer:?}");
    assert!(answer.contains("\r\nconnection: close\r\n") && answer.ends_with("; try again later\n"), "{answer:?}");
}

fn frame(kind: u8, flags: u8, stream: u32, content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), content].concat()
}

/// The beginning of an HTTP/2 connection, with one setting: the initial window of a stream in bytes.
fn preface(window: u32) -> Vec<u8> {
    let setting = [&[0, 4][..], &window.to_be_bytes()].concat();
    [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &frame(4, 0, 0, &setting)].concat()
}

/// The head of `GET / http x`, in terms of HPACK's static table.
const GET: &[u8] = b"\x82\x86\x84\x41\x01x";

/// Opens connections that hold all the memory for heads. Returns them, and the answer to a request that finds no room.
///
/// The server frees the memory of earlier connections only after a moment. Until then it refuses one of those that are to
/// hold it, so all of them are opened again while a request still finds room.
async fn fill(address: SocketAddr, open: &[Vec<u8>], request: &str) -> (Vec<TcpStream>, String) {
    for _ in 0..60 {
        let mut holding = Vec::new();
        for bytes in open {
            holding.push(connect(address, bytes).await);
        }
        let probe = to_the_end(connect(address, request).await);
        if let Ok(answer) = tokio::time::timeout(Duration::from_millis(500), probe).await {
            return (holding, answer);
        }
    }
    panic!("the server always has room for one more head");
}

#[tokio::test(flavor = "multi_thread")]
async fn r7_the_memory_of_heads_is_limited() {
    let app = Router::new().route("/health", get(async || "OK")).route("/slow", get(std::future::pending::<()>));
    let options = ServerOptions { max_heads: 2 << 20, ..ServerOptions::default() };
    let (address, _serving) = listen(app, options).await;
    let large = "a".repeat(1_000_000);
    // Unfinished heads, one of them over HTTP/2, and one request in flight. Two of them find room.
    let unfinished = format!("GET /slow HTTP/1.1\r\nhost: x\r\nx-a: {large}");
    let parts = large.as_bytes().chunks(16_000);
    let blocks = parts.enumerate().map(|(n, part)| frame(if n == 0 { 1 } else { 9 }, 0, 1, part));
    let http2: Vec<u8> = preface(65_535).into_iter().chain(blocks.flatten()).collect();
    for open in [vec![format!("{unfinished}\r\n\r\n").into_bytes(), http2.clone()], vec![unfinished.clone().into(); 2]]
    {
        let (holding, answer) = fill(address, &open, &format!("{unfinished}\r\n\r\n")).await;
        busy(&answer);
        assert!(to_the_end(connect(address, HEALTH).await).await.ends_with("OK"));
        // It ends without an answer, because other requests may be in flight on it.
        let refused = to_the_end(connect(address, &http2).await).await;
        assert!(!refused.contains("503"), "{refused:?}");
        drop(holding);
    }
    let large = format!("GET /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx-a: {large}\r\n\r\n");
    loop {
        let answer = to_the_end(connect(address, &large).await).await;
        if answer.ends_with("OK") {
            break;
        }
        busy(&answer);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn r7_connections_beyond_the_limit_are_asked_to_try_again_later() {
    let app = Router::new().route("/health", get(async || "OK"));
    let options = ServerOptions { max_connections: 16, ..ServerOptions::default() };
    let (address, _serving) = listen(app, options).await;
    let mut open: Vec<TcpStream> = Vec::new();
    for _ in 0..16 {
        open.push(connect(address, "GET / HTTP/1.1\r\n").await);
    }
    let answers = (0..100).map(async |_| to_the_end(connect(address, HEALTH).await).await);
    for answer in futures_util::future::join_all(answers).await {
        busy(&answer);
    }
    open.truncate(8);
    loop {
        let answer = to_the_end(connect(address, HEALTH).await).await;
        if answer.ends_with("OK") {
            break;
        }
        busy(&answer);
    }
    // If there are many connections, each ends with its answer.
    while open.len() < 13 {
        open.push(connect(address, "GET / HTTP/1.1\r\n").await);
    }
    let answer = to_the_end(connect(address, "GET /health HTTP/1.1\r\nhost: x\r\n\r\n").await).await;
    assert!(answer.contains("connection: close") && answer.ends_with("OK"), "{answer}");
}

struct HeldBody(Vec<u8>, #[expect(dead_code, reason = "it counts until it is dropped")] Arc<()>);

impl AsRef<[u8]> for HeldBody {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// The memory of an answer must be freed even if the client allows nothing to be sent.
#[tokio::test(flavor = "multi_thread")]
async fn r7_an_answer_that_is_not_read_ends() {
    let open = Arc::new(());
    let answer = open.clone();
    // In one piece, like the output of a command.
    let app = Router::new()
        .fallback(async move || Body::from(Bytes::from_owner(HeldBody(vec![7; 1_000_000], answer.clone()))));
    let short = Duration::from_secs(2);
    let options = ServerOptions { write_stall: short, header_timeout: short, ..ServerOptions::default() };
    let (address, _serving) = listen(app, options).await;
    for window in [0, 1, 65_535] {
        let before = Arc::strong_count(&open);
        let requests = [1, 3, 5].map(|stream| frame(1, 5, stream, GET)).concat();
        let stream = connect(address, [preface(window), requests].concat()).await;
        let begun = tokio::time::Instant::now();
        let answer = to_the_end(stream).await;
        assert!(begun.elapsed() >= short && answer.len() < 300_000, "{window}: {:?}", begun.elapsed());
        while Arc::strong_count(&open) > before {
            assert!(begun.elapsed() < PATIENCE, "{window}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    // A slow client that reads something again and again gets everything.
    let client = HttpClient::http2(PATIENCE, None).unwrap();
    let request = Request::get(format!("http://{address}/")).body(Body::empty()).unwrap();
    let mut answer = client.send(request).await.unwrap().into_body();
    let mut length = 0;
    for _ in 0..5 {
        tokio::time::sleep(short / 3).await;
        length += answer.frame().await.unwrap().unwrap().into_data().unwrap().len();
    }
    length += read_body(answer, 1 << 30, PATIENCE).await.unwrap().len();
    assert_eq!(length, 1_000_000);
}
