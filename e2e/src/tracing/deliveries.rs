//! A proxy between the local gateway and a flow function. It records the deliveries of envelopes, and can repeat them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use bytes::Bytes;
use faasflow_core::envelope::CONTENT_TYPE;
use faasflow_core::headers::HOP_BY_HOP;
use faasflow_http::{HttpClient, ServerOptions, read_body, serve};
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use super::stand::PATIENCE;

/// The time limit for a body.
const BODY: Duration = Duration::from_secs(60);

/// An envelope that the flow function got, and the status of its answer.
#[derive(Clone)]
pub(super) struct Delivery {
    headers: HeaderMap,
    body: Bytes,
    pub(super) status: StatusCode,
}

/// The proxy.
pub(super) struct Deliveries {
    url: String,
    shared: Arc<Shared>,
    _serving: AbortOnDropHandle<()>,
}

struct Shared {
    client: HttpClient,
    /// The URL of the flow function.
    flow: String,
    delivered: watch::Sender<Vec<Delivery>>,
    is_twice: AtomicBool,
}

impl Deliveries {
    /// Starts a proxy in front of the flow function at this local port.
    pub(super) async fn start(flow_port: u16) -> Result<Deliveries, String> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(|error| error.to_string())?;
        let address = listener.local_addr().map_err(|error| error.to_string())?;
        let shared = Arc::new(Shared {
            client: HttpClient::new(Duration::from_secs(5)),
            flow: format!("http://127.0.0.1:{flow_port}"),
            delivered: watch::Sender::default(),
            is_twice: AtomicBool::new(false),
        });
        let router = Router::new().fallback(deliver).with_state(shared.clone());
        let serving = tokio::spawn(async move {
            let _ = serve(listener, router, ServerOptions::default(), std::future::pending()).await;
        });
        Ok(Deliveries { url: format!("http://{address}"), shared, _serving: AbortOnDropHandle::new(serving) })
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Whether to deliver each envelope twice at the same time.
    pub(super) fn twice(&self, is_twice: bool) {
        self.shared.is_twice.store(is_twice, Ordering::SeqCst);
    }

    /// Waits until a request has had this many deliveries that were answered with this status. Returns them.
    pub(super) async fn until(&self, id: &str, status: u16, count: usize) -> Result<Vec<Delivery>, String> {
        let of_request = |all: &Vec<Delivery>| -> Vec<Delivery> {
            let has_id = |delivery: &&Delivery| delivery.body.windows(id.len()).any(|part| part == id.as_bytes());
            all.iter().filter(has_id).filter(|delivery| delivery.status == status).cloned().collect()
        };
        let mut watching = self.shared.delivered.subscribe();
        let enough = |all: &Vec<Delivery>| of_request(all).len() >= count;
        let waited = tokio::time::timeout(PATIENCE, watching.wait_for(enough)).await.map(drop);
        let found = of_request(&self.shared.delivered.borrow());
        waited.map_err(|_| {
            format!("{} deliveries were answered with {status} within {PATIENCE:?}, not {count}", found.len())
        })?;
        Ok(found)
    }

    /// Delivers an envelope again. Returns the status of the answer.
    pub(super) async fn again(&self, delivery: &Delivery) -> StatusCode {
        let answer = self.shared.send(Method::POST, "/", delivery.headers.clone(), delivery.body.clone()).await;
        answer.status()
    }
}

impl Shared {
    /// Sends a request to the flow function. The answer is 503 if there is none.
    async fn send(&self, method: Method, target: &str, mut headers: HeaderMap, body: Bytes) -> Response<Body> {
        headers.remove(header::HOST);
        headers.remove(header::CONTENT_LENGTH);
        HOP_BY_HOP.iter().for_each(|name| drop(headers.remove(name)));
        let mut request = Request::new(Body::from(body));
        *request.method_mut() = method;
        *request.uri_mut() = format!("{}{target}", self.flow).parse().expect("the target was a target before");
        *request.headers_mut() = headers;
        let exchange = async {
            let (mut parts, body) = self.client.send(request).await.ok()?.into_parts();
            let body = read_body(body, 1 << 30, BODY).await.ok()?;
            HOP_BY_HOP.iter().for_each(|name| drop(parts.headers.remove(name)));
            Some(Response::from_parts(parts, Body::from(body)))
        };
        exchange.await.unwrap_or_else(|| {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
            response
        })
    }
}

async fn deliver(State(shared): State<Arc<Shared>>, request: axum::extract::Request) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let body = read_body(body, 1 << 30, BODY).await.unwrap_or_default();
    let target = parts.uri.path_and_query().map_or("/", |target| target.as_str()).to_owned();
    let send = || shared.send(parts.method.clone(), &target, parts.headers.clone(), body.clone());
    let content_type = parts.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    if !content_type.is_some_and(|value| value.starts_with(CONTENT_TYPE)) {
        return send().await;
    }
    let answers = if shared.is_twice.load(Ordering::SeqCst) {
        let (first, second) = tokio::join!(send(), send());
        vec![first, second]
    } else {
        vec![send().await]
    };
    let delivery = |status| Delivery { headers: parts.headers.clone(), body: body.clone(), status };
    let delivered: Vec<Delivery> = answers.iter().map(|answer| delivery(answer.status())).collect();
    shared.delivered.send_modify(|all| all.extend(delivered));
    // The queue delivers again if one of the two asks for it.
    let refused = answers.iter().position(|answer| !answer.status().is_success());
    answers.into_iter().nth(refused.unwrap_or_default()).expect("there is at least one answer")
}
