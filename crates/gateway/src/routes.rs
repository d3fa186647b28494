//! What the gateway answers: functions, the queue, and the OpenFaaS API.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use axum::routing::{any, get};
use faasflow_containers::Bridge;
use faasflow_core::handler::BoxFuture;
use faasflow_core::{RequestId, chain, headers, parse_callback_url, without_credentials};
use faasflow_runtime::http::{Budget, Peer, ReadBodyError, hear_out, read_body, read_body_into};
use http::header::{ALLOW, HeaderMap, HeaderName, HeaderValue};
use http::{Method, StatusCode, request};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::answer::{internal, plain};
use crate::callback;
use crate::deploy::Deployments;
use crate::disk;
use crate::forwarding::forward;
use crate::functions::command::Cause;
use crate::functions::container::Containers;
use crate::functions::logs::Journal;
use crate::functions::{Function, Functions, NoAnswer};
use crate::held::Held;
use crate::metrics::Metrics;
use crate::proxy::{self, Proxy, START_TIME, Sender};
use crate::queue::{Accepted, Answer, Deliver, Delivery, NewCall, Queue, QueueError, Target, Unreachable};
use crate::request_id;
use crate::room::{self, is_step};
use crate::system;
use crate::system::guard::Credentials;

const SERVED_BY: HeaderName = HeaderName::from_static("x-served-by");
const CALLBACK_URL: HeaderName = HeaderName::from_static("x-callback-url");

/// What every route has at hand.
#[derive(Clone)]
pub(crate) struct App(Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) functions: Functions,
    pub(crate) proxy: Proxy,
    pub(crate) queue: Queue,
    /// What may be in flight.
    pub(crate) budget: Budget,
    pub(crate) metrics: Metrics,
    pub(crate) journal: Journal,
    pub(crate) deployments: Arc<Deployments>,
    pub(crate) containers: Containers,
    pub(crate) secrets: PathBuf,
    /// Who may use the routes under `/system`; `None` asks nobody.
    pub(crate) credentials: Option<Credentials>,
    pub(crate) max_async_body: usize,
    /// Whether only this machine reaches it.
    pub(crate) local: bool,
    /// Whether another gateway is in front.
    pub(crate) behind: bool,
    /// The commit that the program was built from.
    pub(crate) commit: String,
    /// How long a body for the queue may take to arrive.
    pub(crate) read_timeout: Duration,
    /// The synchronous requests under way.
    pub(crate) under_way: TaskTracker,
    /// Cancelled when the functions have ended at the stop, and write nothing more.
    pub(crate) silent: CancellationToken,
}

impl std::ops::Deref for App {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

fn invocations() -> Router<App> {
    Router::new()
        .route("/function/{*target}", any(synchronous))
        .route("/async-function/{*target}", any(asynchronous))
        .route("/healthz", get(|| async { "OK" }))
}

impl App {
    pub(crate) fn new(inner: Inner) -> App {
        App(Arc::new(inner))
    }

    pub(crate) fn router(&self) -> Router {
        self.finish(invocations().merge(system::routes(self)))
    }

    /// What functions in containers reach. It is for them alone, and without the API, by which a function could have
    /// programs run outside of its container.
    pub(crate) fn router_for_containers(&self, bridge: Bridge) -> Router {
        let for_containers = move |request: Request, next: Next| async move {
            match request.extensions().get::<Peer>() {
                Some(Peer(peer)) if bridge.contains(peer.ip()) => next.run(request).await,
                _ => plain(StatusCode::FORBIDDEN, "this address is for containers of this machine".to_owned()),
            }
        };
        self.finish(invocations()).layer(from_fn(for_containers))
    }

    fn finish(&self, router: Router<App>) -> Router {
        router
            .fallback(|request: Request| async move {
                plain(
                    StatusCode::NOT_FOUND,
                    format!(
                        "nothing is served at {}: functions are at /function/NAME and /async-function/NAME",
                        request.uri().path()
                    ),
                )
            })
            .with_state(self.clone())
    }

    fn find(&self, name: &str) -> Result<Arc<Function>, Box<Response>> {
        let valid = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
        if !valid {
            let text = format!("`{name}` is no function's name: letters, digits, `-`, `_` and `.` only");
            return Err(Box::new(plain(StatusCode::BAD_REQUEST, text)));
        }
        self.functions.find(name).ok_or_else(|| {
            let known = self.functions.names().join(", ");
            let known = if known.is_empty() { "none is deployed".to_owned() } else { format!("deployed are: {known}") };
            Box::new(internal(StatusCode::NOT_FOUND, format!("there is no function `{name}` here; {known}")))
        })
    }
}

/// Answers an invocation, under the id that its request came with where what answers says none: only flows do.
async fn synchronous(State(app): State<App>, request: Request) -> Response {
    let id = request_id::given(request.headers());
    let mut response = invoke(app, request, id.as_ref()).await;
    request_id::put(id.as_ref(), response.headers_mut());
    response
}

async fn invoke(app: App, request: Request, given: Option<&RequestId>) -> Response {
    let (mut parts, body) = request.into_parts();
    if let Some(refusal) = room::refuse_headers(&parts.headers) {
        hear_out(&parts.headers, body).await;
        return refusal;
    }
    let uri = parts.uri.clone();
    let (name, path) = split(uri.path().strip_prefix("/function/").unwrap_or_default());
    let function = match app.find(name) {
        Ok(function) => function,
        Err(response) => return *response,
    };
    let place = match is_step(&parts.headers) {
        true => None,
        false => match (room::share(&app.budget, &function.spec.name, &function.calls), app.budget.admit()) {
            (Err(busy), _) => return room::refuse_share(&parts.headers, body, busy).await,
            (_, Err(full)) => return room::refuse(&parts.headers, body, full).await,
            (Ok(share), Ok(place)) => Some((share, place)),
        },
    };
    let token = app.under_way.token();
    let (call_id, made) = identify(&mut parts.headers);
    // Behind another gateway, that is the one whose start counts; its stamps go on as they are.
    if !app.behind {
        stamp(&mut parts.headers);
    }
    let started = app.metrics.start(&function.spec.name);
    let answer = app.proxy.invoke(&function, path, parts, body, Sender::Caller(token.clone())).await;
    let mut response = answer.unwrap_or_else(|none| {
        let of_call = || request_id::parse(&call_id);
        let id = given.cloned().or_else(of_call);
        function.logs.push(id.as_ref(), format!("gateway: no answer: {}", none.reason()));
        none.response(name).map(|body| Held::body(body, token))
    });
    started.end(response.status());
    // It is over when its answer is through.
    if let Some(place) = place {
        response = response.map(|body| Held::body(body, place));
    }
    if made {
        response.headers_mut().insert(headers::CALL_ID, call_id);
    }
    stamp(response.headers_mut());
    response
}

/// The same for an invocation that is put into the queue.
async fn asynchronous(State(app): State<App>, request: Request) -> Response {
    let id = request_id::given(request.headers());
    let mut response = queue(app, request).await;
    request_id::put(id.as_ref(), response.headers_mut());
    response
}

async fn queue(app: App, request: Request) -> Response {
    let (mut parts, body) = request.into_parts();
    if let Some(refusal) = room::refuse_headers(&parts.headers) {
        hear_out(&parts.headers, body).await;
        return refusal;
    }
    if let Some(why) = proxy::unsupported_upgrade(&parts.headers) {
        return plain(StatusCode::NOT_IMPLEMENTED, why);
    }
    if parts.method != Method::POST {
        let text = "an asynchronous invocation is a POST".to_owned();
        let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, text);
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
        return response;
    }
    let target = parts.uri.path().strip_prefix("/async-function/").unwrap_or_default().to_owned();
    let (name, path) = split(&target);
    if let Err(response) = app.find(name) {
        return *response;
    }
    if let Some(id) = parts.headers.get(headers::CALL_ID)
        && id.to_str().is_err()
    {
        let text = "`X-Call-Id` has bytes that are not visible ASCII, by which calls cannot be told apart".to_owned();
        return plain(StatusCode::BAD_REQUEST, text);
    }
    let place = match app.budget.admit() {
        Ok(place) => place,
        Err(full) => return room::refuse(&parts.headers, body, full).await,
    };
    let accepted = accept(&app, name, path, &mut parts, body).await;
    drop(place);
    match accepted {
        Ok((call_id, accepted)) => {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::ACCEPTED;
            response.headers_mut().insert(headers::CALL_ID, call_id);
            if accepted == Accepted::Duplicate {
                // Most often a repetition, which is what the window is for. But a caller that gives two calls one
                // id by mistake would never learn that the second one goes nowhere.
                response.headers_mut().insert(headers::DUPLICATE, HeaderValue::from_static("true"));
            }
            stamp(response.headers_mut());
            response
        }
        Err(response) => *response,
    }
}

/// Puts an invocation into the queue; it is on disk when this returns its id, and whether it was there before.
async fn accept(
    app: &App,
    name: &str,
    path: &str,
    parts: &mut request::Parts,
    body: Body,
) -> Result<(HeaderValue, Accepted), Box<Response>> {
    let refuse = |status, text: String| Box::new(plain(status, text));
    let callback_url =
        match parts.headers.get(CALLBACK_URL) {
            None => None,
            Some(value) => {
                let url = value.to_str().map_err(|_| "it is not text".to_owned()).and_then(parse_callback_url);
                Some(url.map_err(|fault| {
                    refuse(StatusCode::BAD_REQUEST, format!("`X-Callback-Url` is of no use: {fault}"))
                })?)
            }
        };
    if let Some(url) = &callback_url
        && let Ok(shown) = HeaderValue::try_from(without_credentials(&url.to_string()))
    {
        // The function is told of it, and whoever looks into the queue sees its headers.
        parts.headers.insert(CALLBACK_URL, shown);
    }
    let limit = app.max_async_body;
    let mut body = body;
    // The share is held until the call is on disk.
    let mut share = app.budget.intake().copied(room::WRITTEN_COPIES);
    let read = read_body_into(&mut body, limit as u64, app.read_timeout, &mut share).await;
    match &read {
        Err(ReadBodyError::TooLarge { .. }) => hear_out(&parts.headers, body).await,
        Err(ReadBodyError::NoRoom(full)) => return Err(Box::new(room::refuse(&parts.headers, body, *full).await)),
        _ => {}
    }
    let body = read.map_err(|error| match error {
        ReadBodyError::TooLarge { .. } => refuse(StatusCode::PAYLOAD_TOO_LARGE, too_large(limit)),
        ReadBodyError::TooSlow(_) => refuse(StatusCode::REQUEST_TIMEOUT, error.to_string()),
        _ => refuse(StatusCode::BAD_REQUEST, error.to_string()),
    })?;
    let (call_id, _) = identify(&mut parts.headers);
    stamp(&mut parts.headers);
    // When it is delivered, nobody knows any more whom it came from.
    forward(parts);
    parts.headers.remove(http::header::HOST);
    let call = NewCall {
        call_id: String::from_utf8_lossy(call_id.as_bytes()).into_owned(),
        function: name.to_owned(),
        path: path.to_owned(),
        query: parts.uri.query().map(str::to_owned),
        headers: std::mem::take(&mut parts.headers),
        body,
        callback_url,
    };
    let accepted = app.queue.enqueue(call).await;
    drop(share);
    match accepted {
        Ok(accepted) => Ok((call_id, accepted)),
        Err(QueueError::TooLarge { limit, .. }) => Err(refuse(StatusCode::PAYLOAD_TOO_LARGE, too_large(limit))),
        Err(error) => {
            tracing::error!(%error, "a call was not accepted");
            Err(Box::new(disk::answer(disk::queue_status(&error), format!("Error queuing request: {error}"))))
        }
    }
}

fn too_large(limit: usize) -> String {
    format!(
        "the queue takes bodies up to {limit} bytes, as OpenFaaS's community edition does by default: send less, or \
         raise it here with `--queue-limit`"
    )
}

/// The name of a function and what stands behind it.
fn split(target: &str) -> (&str, &str) {
    match target.find('/') {
        Some(slash) if &target[slash..] == "/" => (&target[..slash], ""),
        Some(slash) => target.split_at(slash),
        None => (target, ""),
    }
}

/// Gives an invocation an id where it has none; returns its id, and whether it was made here.
fn identify(headers: &mut HeaderMap) -> (HeaderValue, bool) {
    // An empty one is as good as none.
    let given = headers.get(headers::CALL_ID).filter(|id| !id.as_bytes().trim_ascii().is_empty());
    if let Some(id) = given {
        return (id.clone(), false);
    }
    // Not `Uuid::new_v4`, which asks the operating system every time.
    let id = uuid::Builder::from_random_bytes(rand::random()).into_uuid();
    let mut text = Uuid::encode_buffer();
    let id = HeaderValue::from_str(id.hyphenated().encode_lower(&mut text)).expect("it is hexadecimal");
    headers.insert(headers::CALL_ID, id.clone());
    (id, true)
}

fn stamp(headers: &mut HeaderMap) {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    headers.insert(START_TIME, HeaderValue::from(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)));
    headers.insert(SERVED_BY, HeaderValue::from_static("faasflow"));
}

/// The queue delivers through the same way that callers take.
impl Deliver for App {
    fn deliver(&self, delivery: Delivery) -> BoxFuture<'_, Result<Answer, Unreachable>> {
        Box::pin(async move {
            let begun = Instant::now();
            let call = &delivery.call;
            let beside = (call.body.len() as u64).saturating_mul(room::READ_COPIES);
            let mut share = self.budget.waiting(room::PATIENCE).beside(beside);
            let mut request = Request::new(Body::from(call.body.clone()));
            *request.method_mut() = Method::POST;
            *request.headers_mut() = call.headers.clone();
            let (status, headers, body, cause) = match &call.target {
                Target::Function { name, path, query, callback_url } => {
                    let Some(function) = self.functions.find(name) else {
                        let reason = format!("it could not be reached: there is no function `{name}` here");
                        return Err(Unreachable { reason });
                    };
                    let target = match query {
                        Some(query) => format!("/?{query}").parse(),
                        None => "/".parse(),
                    };
                    *request.uri_mut() = target.map_err(|error| Unreachable { reason: format!("{error}") })?;
                    let (parts, body) = request.into_parts();
                    let started = self.metrics.start(&function.spec.name);
                    let mut cause = None;
                    let wanted = callback_url.is_some();
                    let answer = match self.proxy.invoke(&function, path, parts, body, Sender::Queue { wanted }).await {
                        Ok(answer) => answer,
                        // It was not executed, and is to come later.
                        Err(none @ (NoAnswer::Busy(_) | NoAnswer::NoFiles(_))) => none.response(name),
                        // It would come to the same again.
                        Err(none @ (NoAnswer::Request(..) | NoAnswer::Unusable(_))) => {
                            cause = Some(none.reason());
                            none.response(name)
                        }
                        Err(none) => {
                            started.end(none.response(name).status());
                            return Err(Unreachable { reason: none.reason() });
                        }
                    };
                    let (mut parts, body) = answer.into_parts();
                    let body = match room::read_answer(Body::new(body), wanted, self.proxy.timeout, &mut share).await {
                        // It leaves the budget here. A callback waits in the queue, which limits the bodies that it keeps,
                        // and takes room again when it is delivered.
                        Ok(body) => body,
                        Err(error @ ReadBodyError::NoRoom(full)) if full.is_temporary() => {
                            started.end(StatusCode::BAD_GATEWAY);
                            return Err(Unreachable { reason: chain(&error) });
                        }
                        Err(error @ ReadBodyError::Broken(_)) if !error.is_unusable() => {
                            started.end(StatusCode::BAD_GATEWAY);
                            return Err(Unreachable { reason: NoAnswer::Died(chain(&error)).reason() });
                        }
                        // It was executed and has answered: the answer is of no use, and would be again.
                        Err(error) => {
                            let none = NoAnswer::Unusable(chain(&error));
                            cause = Some(none.reason());
                            let (head, body) = none.response(name).into_parts();
                            parts = head;
                            read_body(body, 64 * 1024, self.proxy.timeout).await.unwrap_or_default()
                        }
                    };
                    started.end(parts.status);
                    let cause = cause.or_else(|| parts.extensions.get().map(|Cause(cause)| cause.clone()));
                    (parts.status, parts.headers, body, cause)
                }
                Target::Callback { url, .. } => {
                    let exchange = async {
                        let answer = match callback::send(&self.proxy.client, url, call).await {
                            Ok(answer) => answer,
                            Err(none @ (NoAnswer::Unusable(_) | NoAnswer::NoFiles(_))) => {
                                let (parts, body) = none.response(url.host().unwrap_or_default()).into_parts();
                                let body = read_body(body, 64 * 1024, self.proxy.timeout).await.unwrap_or_default();
                                return Ok((parts.status, parts.headers, body, Some(none.reason())));
                            }
                            Err(none) => return Err(Unreachable { reason: none.reason() }),
                        };
                        let (mut parts, body) = answer.into_parts();
                        // It is the gateway's own, and says what to do with a call.
                        parts.headers.remove(headers::GATEWAY_ERROR);
                        let body = read_body(body, 64 * 1024, self.proxy.timeout).await.unwrap_or_default();
                        let cause = parts
                            .status
                            .is_redirection()
                            .then(|| "it redirects to what cannot be asked, or has redirected ten times".to_owned());
                        Ok((parts.status, parts.headers, body, cause))
                    };
                    let timeout = self.proxy.timeout;
                    let late = |_| Unreachable { reason: NoAnswer::Timeout(timeout).reason() };
                    tokio::time::timeout(timeout, exchange).await.map_err(late)??
                }
            };
            Ok(Answer { status, headers, body, duration: begun.elapsed(), cause })
        })
    }

    fn at_once(&self, function: &str) -> usize {
        self.functions.find(function).and_then(|function| function.limits.requests()).unwrap_or(usize::MAX)
    }
}
