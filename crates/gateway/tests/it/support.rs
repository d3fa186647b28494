//! A gateway in a temporary folder, functions to put behind it, and a client.

pub(crate) mod engine;
pub(crate) mod raw;
pub(crate) mod server;

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU16, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use faasflow_gateway::{EngineChoice, Event, GatewayError, GatewayOptions, RunningGateway, Stack};
use faasflow_http::{HttpClient, ServerOptions, read_body, serve};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::mpsc::unbounded_channel;
use tokio_util::task::AbortOnDropHandle;

/// How long anything may take: far more than it does, and less than forever.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// A gateway, and the folder it lives in.
pub(crate) struct Fixture {
    pub(crate) gateway: RunningGateway,
    pub(crate) folder: tempfile::TempDir,
    pub(crate) events: Arc<Mutex<Vec<Event>>>,
    pub(crate) client: HttpClient,
}

/// A folder with a stack of these functions, written as in `functions:` of a stack file.
pub(crate) fn folder(functions: &str) -> tempfile::TempDir {
    let folder = tempfile::Builder::new().prefix("gateway").tempdir().unwrap();
    write_stack(&folder, functions);
    folder
}

pub(crate) fn write_stack(folder: &tempfile::TempDir, functions: &str) {
    let indented: String = functions.lines().map(|line| format!("  {line}\n")).collect();
    std::fs::write(folder.path().join("stack.yml"), format!("functions:\n{indented}")).unwrap();
}

/// A function behind this address, as in a stack file.
pub(crate) fn url(name: &str, address: SocketAddr) -> String {
    format!("{name}:\n  annotations:\n    faasflow.url: http://{address}\n")
}

pub(crate) fn options(folder: &tempfile::TempDir) -> GatewayOptions {
    let mut options = GatewayOptions::new(Stack::read(folder.path()).unwrap());
    options.listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    options.queue.initial_delay = Duration::from_millis(5);
    options.queue.max_attempts = 3;
    // Whatever engine this machine has.
    options.engine = EngineChoice::None;
    options
}

pub(crate) async fn start(functions: &str) -> Fixture {
    start_with(functions, |_| {}).await
}

pub(crate) async fn start_with(functions: &str, change: impl FnOnce(&mut GatewayOptions)) -> Fixture {
    start_in(folder(functions), change).await.unwrap()
}

pub(crate) async fn start_in(
    folder: tempfile::TempDir,
    change: impl FnOnce(&mut GatewayOptions),
) -> Result<Fixture, GatewayError> {
    let mut options = options(&folder);
    change(&mut options);
    let (sender, mut receiver) = unbounded_channel();
    let gateway = options.start(sender).await?;
    let events = Arc::new(Mutex::new(Vec::new()));
    tokio::spawn({
        let events = events.clone();
        async move {
            while let Some(event) = receiver.recv().await {
                events.lock().unwrap().push(event);
            }
        }
    });
    Ok(Fixture {
        gateway,
        folder,
        events,
        client: HttpClient::with_most_headers(Duration::from_secs(5), faasflow_http::MOST_HEADERS),
    })
}

/// What was answered, read to its end.
#[derive(Debug)]
pub(crate) struct Got {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Got {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

impl Fixture {
    pub(crate) fn request(&self, method: Method, path: &str, headers: &[(&str, &str)], body: Body) -> Request<Body> {
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.gateway.url()));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(body).unwrap()
    }

    pub(crate) async fn open(&self, request: Request<Body>) -> Response<hyper::body::Incoming> {
        tokio::time::timeout(PATIENCE, self.client.send(request)).await.expect("an answer comes").unwrap()
    }

    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Got {
        let response = self.open(self.request(method, path, headers, body.into())).await;
        let (parts, body) = response.into_parts();
        let body = read_body(body, 1 << 30, PATIENCE).await.unwrap();
        Got { status: parts.status, headers: parts.headers, body }
    }

    pub(crate) async fn post(&self, path: &str, body: impl Into<Body>) -> Got {
        self.send(Method::POST, path, &[], body).await
    }

    pub(crate) async fn get(&self, path: &str) -> Got {
        self.send(Method::GET, path, &[], Body::empty()).await
    }
}

/// Waits until something is there.
pub(crate) async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(tokio::time::Instant::now() < deadline, "{what}: not within {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A request as a function got it.
#[derive(Clone, Debug)]
pub(crate) struct ReceivedRequest {
    pub(crate) method: Method,
    pub(crate) target: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl ReceivedRequest {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

/// An HTTP server that notes what it gets, and answers as its paths are told: 200 and `answer` where they are not.
#[derive(Clone, Default)]
pub(crate) struct Recorder {
    seen: Arc<Mutex<Vec<ReceivedRequest>>>,
    /// The status that is answered for a path; taken one after the other, the last one stays.
    statuses: Arc<Mutex<HashMap<String, Vec<u16>>>>,
}

pub(crate) struct TestServer {
    pub(crate) address: SocketAddr,
    _serving: AbortOnDropHandle<()>,
}

impl Recorder {
    pub(crate) async fn listen(&self) -> TestServer {
        let recorder = self.clone();
        listen(axum::Router::new().fallback(move |request: Request<Body>| {
            let recorder = recorder.clone();
            async move { recorder.answer(request).await }
        }))
        .await
    }

    async fn answer(&self, request: Request<Body>) -> Response<Body> {
        let (parts, body) = request.into_parts();
        let Ok(body) = read_body(body, 1 << 30, PATIENCE).await else { return Response::new(Body::empty()) };
        let path = parts.uri.path().to_owned();
        let target = parts.uri.path_and_query().map(ToString::to_string).unwrap_or_default();
        self.seen.lock().unwrap().push(ReceivedRequest { method: parts.method, target, headers: parts.headers, body });
        let status = match self.statuses.lock().unwrap().get_mut(&path) {
            Some(statuses) if statuses.len() > 1 => statuses.remove(0),
            Some(statuses) => statuses[0],
            None => 200,
        };
        let response = Response::builder().status(status).header("x-own", "1").header("content-type", "text/x-own");
        let response = response.header("x-openfaas-internal", "proxy");
        response.body(Body::from("answer")).unwrap()
    }

    pub(crate) fn answers(&self, path: &str, statuses: &[u16]) {
        self.statuses.lock().unwrap().insert(path.to_owned(), statuses.to_vec());
    }

    pub(crate) fn seen(&self) -> Vec<ReceivedRequest> {
        self.seen.lock().unwrap().clone()
    }

    /// Waits for a number of requests.
    pub(crate) async fn until(&self, count: usize) -> Vec<ReceivedRequest> {
        until("requests", async || Some(self.seen()).filter(|seen| seen.len() >= count)).await
    }
}

pub(crate) async fn listen(app: axum::Router) -> TestServer {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = tokio::spawn(async move {
        let _ = serve(listener, app, ServerOptions::default(), std::future::pending()).await;
    });
    TestServer { address, _serving: AbortOnDropHandle::new(serving) }
}

/// A port that is free. It is none of those that Linux gives to connections and to servers that take any, so that nobody else
/// gets it before the test uses it.
pub(crate) fn free_port() -> u16 {
    static TRIED: AtomicU16 = AtomicU16::new(0);
    let first = u16::try_from(std::process::id() % 10_000).unwrap();
    loop {
        let port = 20_000 + (first + TRIED.fetch_add(1, SeqCst)) % 12_000;
        if std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}

/// An address at which nobody listens. Its socket stays open, so that nobody else gets the port.
pub(crate) fn nowhere() -> SocketAddr {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let address = socket.local_addr().unwrap();
    std::mem::forget(socket);
    address
}
