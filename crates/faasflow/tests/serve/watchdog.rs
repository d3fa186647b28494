//! A stand-in for of-watchdog, OpenFaaS's program in front of a function, which these tests cannot install. It does what
//! matters here as of-watchdog 0.11 does in its mode `http`, and nothing else:
//!
//! - it starts the function with its own environment and forwards requests to `upstream_url`; one that cannot be forwarded
//!   is answered with an empty 500;
//! - it reads the function's log line by line, and never again after a line of 64 KiB or more;
//! - `/_/health` is its own; `/_/ready` asks the function at `ready_path`, if that is set;
//! - at SIGTERM, here [`Watchdog::stop`], it passes the signal on at once, tells that it is not healthy, forwards new
//!   requests for `healthcheck_interval`, then takes none, waits for those in flight, and exits.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use axum::{Router, routing};
use faasflow_http::{HttpClient, ServerOptions, serve};
use http::{StatusCode, Uri};
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

use crate::child::{Exchange, PATIENCE, Program, Running};

/// The variables that the template's image sets.
pub(crate) fn image_settings() -> BTreeMap<String, String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../template/faasflow/Dockerfile");
    let text = std::fs::read_to_string(path).unwrap();
    let block = text.split_once("\nENV ").expect("the image sets variables").1;
    let setting = |line: &str| {
        let (name, value) = line.trim().trim_end_matches('\\').trim_end().split_once('=')?;
        Some((name.to_owned(), value.trim_matches('"').to_owned()))
    };
    let mut settings = BTreeMap::new();
    for line in block.lines() {
        let (name, value) = setting(line).expect(line);
        settings.insert(name, value);
        if !line.ends_with('\\') {
            break;
        }
    }
    settings
}

/// A duration as the watchdog reads it.
fn duration(settings: &BTreeMap<String, String>, name: &str) -> Option<Duration> {
    faasflow_core::duration::parse(settings.get(name)?).ok()
}

/// What of-watchdog 0.11.6 reads from the environment, in its `config/config.go`.
pub(crate) const SETTINGS: [&str; 23] = [
    "buffer_http",
    "content_type",
    "exec_timeout",
    "fprocess",
    "function_process",
    "healthcheck_interval",
    "http_buffer_req_body",
    "http_upstream_url",
    "jwt_auth",
    "jwt_auth_debug",
    "jwt_auth_local",
    "log_buffer_size",
    "log_callid",
    "max_inflight",
    "mode",
    "port",
    "prefix_logs",
    "read_timeout",
    "ready_path",
    "static_path",
    "suppress_lock",
    "upstream_url",
    "write_timeout",
];

pub(crate) struct Watchdog {
    address: String,
    flow: Mutex<Running>,
    front: Front,
    healthcheck_interval: Duration,
    no_new_requests: Mutex<Option<oneshot::Sender<()>>>,
    serving: Mutex<Option<tokio::task::JoinHandle<()>>>,
    runtime: Runtime,
}

#[derive(Clone)]
struct Front {
    client: HttpClient,
    upstream: Uri,
    ready_path: Option<Uri>,
    healthy: Arc<AtomicBool>,
}

impl Watchdog {
    /// Starts a program under these settings, but for ports, which are free ones.
    pub(crate) fn start(program: Program, settings: &BTreeMap<String, String>) -> Watchdog {
        let program =
            settings.iter().fold(program.without("drain_time"), |program, (name, value)| match name.as_str() {
                "flow_port" | "flow_metrics_port" => program.with(name, "0"),
                _ => program.with(name, value),
            });
        let flow = program.line_scanner(64 * 1024).start();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let write_timeout = duration(settings, "write_timeout").unwrap_or(Duration::from_secs(30));
        let front = Front {
            client: HttpClient::new(Duration::from_secs(5)),
            upstream: format!("http://{}", flow.address).parse().unwrap(),
            ready_path: settings.get("ready_path").map(|path| path.parse().unwrap()),
            healthy: Arc::new(AtomicBool::new(true)),
        };
        let router = Router::new()
            .route("/_/health", routing::get(async |State(front): State<Front>| front.health()))
            .route("/_/ready", routing::get(Front::ready))
            .fallback(async |State(front): State<Front>, request: Request| front.forward(request).await)
            .with_state(front.clone());
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (no_new_requests, stop) = oneshot::channel();
        let options = ServerOptions { grace: write_timeout, ..ServerOptions::default() };
        let serving = runtime.spawn(async move {
            let stop = async { drop(stop.await) };
            serve(listener, router, options, stop).await.unwrap();
        });
        Watchdog {
            address,
            flow: Mutex::new(flow),
            front,
            healthcheck_interval: duration(settings, "healthcheck_interval").unwrap_or(write_timeout),
            no_new_requests: Mutex::new(Some(no_new_requests)),
            serving: Mutex::new(Some(serving)),
            runtime,
        }
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Waits until requests may be sent to it, as Kubernetes does.
    pub(crate) fn until_ready(&self) {
        let limit = Instant::now() + PATIENCE;
        while !Exchange::begin(&self.address, "GET /_/ready", b"").end().0.starts_with("HTTP/1.1 200 ") {
            assert!(Instant::now() < limit, "it does not become ready");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// What SIGTERM does; returns when the watchdog would exit.
    pub(crate) fn stop(&self) {
        self.front.healthy.store(false, Ordering::SeqCst);
        self.flow.lock().unwrap().signal("TERM");
        std::thread::sleep(self.healthcheck_interval);
        let _ = self.no_new_requests.lock().unwrap().take().expect("stopped once").send(());
        let serving = self.serving.lock().unwrap().take().expect("stopped once");
        self.runtime.block_on(serving).unwrap();
    }

    /// Waits until the flow has ended by itself, which it need not have time for in a container, and returns its log.
    pub(crate) fn flow_ended(&self) -> Vec<String> {
        let mut flow = self.flow.lock().unwrap();
        assert_eq!(flow.wait().code(), Some(0));
        flow.all_lines()
    }
}

impl Front {
    fn health(&self) -> StatusCode {
        if self.healthy.load(Ordering::SeqCst) { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
    }

    async fn ready(State(front): State<Front>) -> Response {
        match &front.ready_path {
            Some(path) if front.health() == StatusCode::OK => {
                front.forward(Request::get(path.clone()).body(Body::empty()).unwrap()).await
            }
            _ => front.health().into_response(),
        }
    }

    async fn forward(&self, mut request: Request) -> Response {
        let mut uri = self.upstream.clone().into_parts();
        uri.path_and_query = request.uri().path_and_query().cloned();
        *request.uri_mut() = Uri::from_parts(uri).unwrap();
        request.headers_mut().remove("connection");
        match self.client.send(request).await {
            Ok(answer) => answer.map(Body::new),
            Err(_) => (StatusCode::INTERNAL_SERVER_ERROR, [("x-openfaas-internal", "of-watchdog")]).into_response(),
        }
    }
}
