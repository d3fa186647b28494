//! Sends a request to its function and returns the answer, both as streams.

mod lent;

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use faasflow_core::headers::{self, GATEWAY_ERROR};
use faasflow_core::{chain, code};
use faasflow_http::{HttpClient, drain, end_after, read_body};
use http::header::{self, HeaderMap, HeaderName};
use http::uri::PathAndQuery;
use http::{Request, StatusCode, Uri, request};
use tokio_util::task::task_tracker::TaskTrackerToken;

use crate::answer::INTERNAL;
use crate::forwarding::{MOST_PASSES, PassCounter, forward};
use crate::functions::command::{Commands, Invocation};
use crate::functions::limit::QUEUE_WAITS;
use crate::functions::{Function, NoAnswer, Route, Unavailable};
use crate::guarded_body::GuardedBody;
use crate::stack::{Kind, URL_ANNOTATION};
use crate::wanted::AnswerPart;
use lent::lend;

/// How long a request waits for a function that is being started.
const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) const START_TIME: HeaderName = HeaderName::from_static("x-start-time");
/// A header that becomes the variable `HTTP_PROXY` of a command, which some programs use for their own requests (httpoxy,
/// CVE-2016-5385).
const PROXY: HeaderName = HeaderName::from_static("proxy");

#[derive(Clone, Debug)]
pub(crate) struct Proxy {
    pub(crate) client: HttpClient,
    pub(crate) commands: Commands,
    pub(crate) passes: PassCounter,
    /// How long a function may take to begin its answer.
    pub(crate) timeout: Duration,
}

/// The sender of a request.
#[derive(Debug)]
pub(crate) enum Sender {
    /// A caller, which gets an answer at once if the function is busy. The token is held until the answer is complete.
    Caller(TaskTrackerToken),
    /// The queue, which waits a little.
    Queue { wanted: AnswerPart },
}

impl Proxy {
    /// Sends a request to a function. `path` is the rest of the path after the function's name: empty, or beginning with `/`.
    ///
    /// The body of a caller is read to its end before an error is returned, and before an early answer ends. Otherwise the caller
    /// would only see that its connection was reset.
    pub(crate) async fn invoke(
        &self,
        function: &Arc<Function>,
        path: &str,
        parts: request::Parts,
        body: Body,
        sender: Sender,
    ) -> Result<Response, NoAnswer> {
        if matches!(sender, Sender::Queue { .. }) {
            return self.send(function, path, parts, body, sender).await;
        }
        let (body, mut lent) = lend(&parts.headers, body);
        match self.send(function, path, parts, body, sender).await {
            // A successful answer that comes early is usually produced while the body is read. It keeps its length, so that the
            // client knows how much room it needs.
            Ok(answer) if lent.is_over() || answer.status().is_success() => Ok(answer),
            Ok(answer) => Ok(end_after(answer, lent.drain())),
            Err(none) => {
                lent.drain().await;
                Err(none)
            }
        }
    }

    async fn send(
        &self,
        function: &Arc<Function>,
        path: &str,
        mut parts: request::Parts,
        body: Body,
        sender: Sender,
    ) -> Result<Response, NoAnswer> {
        if let Some(why) = unsupported_upgrade(&parts.headers) {
            return Err(NoAnswer::Request(StatusCode::NOT_IMPLEMENTED, code::UNSUPPORTED_UPGRADE, why));
        }
        let (function, route) = function.route(PATIENCE).await;
        let (admission, patience, wanted) = match sender {
            Sender::Caller(token) => (Some(token), Duration::ZERO, AnswerPart::Whole),
            Sender::Queue { wanted } => (None, QUEUE_WAITS, wanted),
        };
        let place = match function.limits.request(patience).await {
            Ok(place) => place,
            Err(busy) => {
                drain(&parts.headers, body).await;
                return Err(NoAnswer::Busy(busy));
            }
        };
        parts.headers.remove(PROXY);
        let (base, token) = match route {
            Route::Http(base, token) => (base, token),
            Route::Command(words) => {
                prepare_for_command(&mut parts);
                let (parts, has_room) = (&parts, admission.is_none());
                let function = function.clone();
                let invocation = Invocation { function, words, parts, path, body, has_room, wanted };
                let response = self.commands.invoke(invocation, self.timeout, (admission.clone(), place)).await?;
                return Ok(response.map(|body| GuardedBody::body(body, admission)));
            }
            Route::Pending(why) => return Err(NoAnswer::Pending(why)),
            Route::Idle => return Err(NoAnswer::Pending(Unavailable::ScaledToZero)),
            Route::Broken(why) => return Err(NoAnswer::Broken(why)),
            Route::Gone => return Err(NoAnswer::Removed),
        };
        if matches!(function.spec.kind, Kind::Url(_)) && self.passes.count(&mut parts.headers).is_err() {
            drain(&parts.headers, body).await;
            let text = format!(
                "the URL of the function `{}` leads back to this gateway: the request came through here \
                 {MOST_PASSES} times. Set the annotation `{URL_ANNOTATION}` to the server that answers for the function",
                function.spec.name
            );
            return Err(NoAnswer::Request(StatusCode::LOOP_DETECTED, code::REQUEST_LOOP, text));
        }
        forward(&mut parts);
        parts.uri = target(&base, path, parts.uri.query()).map_err(|error| {
            let text = format!("the path cannot be used: {error}");
            NoAnswer::Request(StatusCode::BAD_REQUEST, code::BAD_HEAD, text)
        })?;
        parts.version = http::Version::HTTP_11;
        parts.headers.remove(header::HOST);
        remove_hop_by_hop(&mut parts.headers);
        let call = function.logs.calls.begin(&parts.headers);
        let sending = self.client.send(Request::from_parts(parts, body));
        // of-watchdog, which is in front of the program in an image, has the same limit.
        let timeout = match function.spec.kind {
            Kind::Url(_) => self.timeout,
            _ => function.limits.exec_timeout.unwrap_or(self.timeout).min(self.timeout),
        };
        let response = match tokio::time::timeout(timeout, sending).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => {
                return Err(match (NoAnswer::from(error), &function.spec.kind) {
                    (NoAnswer::Unreachable(why), Kind::Image(_)) => {
                        function.refused(&base);
                        NoAnswer::Ended(why)
                    }
                    (none, _) => none,
                });
            }
            Err(_) => return Err(NoAnswer::Timeout(timeout)),
        };
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            let text = "it switched to another protocol without being asked".to_owned();
            return Err(NoAnswer::Unusable(text));
        }
        let (mut parts, body) = response.into_parts();
        // The version belongs to the connection to the function, not to the one to the caller.
        parts.version = http::Version::HTTP_11;
        remove_hop_by_hop(&mut parts.headers);
        // These mark answers of the gateway itself. Flows log one and act on the other, so functions must not send them.
        parts.headers.remove(INTERNAL);
        parts.headers.remove(GATEWAY_ERROR);
        // The request ends when its answer does.
        Ok(Response::from_parts(parts, GuardedBody::body(body, (admission, token, place, call))))
    }

    /// Sends a GET to the process of a function, for example for its metrics, and reads the whole answer.
    ///
    /// # Errors
    ///
    /// If there is no complete answer within `patience`, or it has more than `largest` bytes. The text says why.
    pub(crate) async fn ask(&self, url: &str, largest: u64, patience: Duration) -> Result<Response, String> {
        let request = Request::get(url).body(Body::empty()).map_err(|error| error.to_string())?;
        let exchange = async {
            let (parts, body) = self.client.send(request).await.map_err(|error| chain(&error))?.into_parts();
            let body = read_body(body, largest, patience).await.map_err(|error| chain(&error))?;
            Ok(Response::from_parts(parts, Body::from(body)))
        };
        let late = |_| format!("it took longer than {patience:?}");
        tokio::time::timeout(patience, exchange).await.map_err(late)?
    }
}

fn target(base: &Uri, path: &str, query: Option<&str>) -> Result<Uri, http::Error> {
    let prefix = base.path().trim_end_matches('/');
    if prefix.is_empty() && path.is_empty() && query.is_none() && base.query().is_none() {
        return Ok(base.clone());
    }
    let path = if path.is_empty() { "/" } else { path };
    // The query in the URL of the function comes first.
    let queries: Vec<&str> = [base.query(), query].into_iter().flatten().collect();
    let path_and_query: PathAndQuery = match queries.is_empty() {
        false => format!("{prefix}{path}?{}", queries.join("&")).parse()?,
        true => format!("{prefix}{path}").parse()?,
    };
    let mut parts = base.clone().into_parts();
    parts.path_and_query = Some(path_and_query);
    Ok(Uri::from_parts(parts)?)
}

/// Changes the headers for a command as for a request that is sent on, except `Transfer-Encoding`, which both watchdogs of OpenFaaS
/// pass to the command.
fn prepare_for_command(parts: &mut request::Parts) {
    let chunked = parts.headers.remove(header::TRANSFER_ENCODING);
    remove_hop_by_hop(&mut parts.headers);
    if let Some(chunked) = chunked {
        parts.headers.insert(header::TRANSFER_ENCODING, chunked);
    }
    forward(parts);
}

/// Why a request to upgrade to another protocol is refused. A request to upgrade to HTTP/2 is not: if the server ignores it, the
/// client goes on with HTTP/1.1.
pub(crate) fn unsupported_upgrade(headers: &HeaderMap) -> Option<String> {
    let names =
        |name| headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).flat_map(|list| list.split(','));
    if !names(header::CONNECTION).any(|name| name.trim().eq_ignore_ascii_case("upgrade")) {
        return None;
    }
    let mut protocols = names(header::UPGRADE).map(str::trim);
    let protocol = protocols.find(|protocol| !protocol.is_empty() && !protocol.eq_ignore_ascii_case("h2c"))?;
    Some(format!(
        "an upgrade to `{protocol}` is not supported: this gateway forwards requests and answers, not connections"
    ))
}

/// Removes headers that belong to one connection (RFC 9110, 7.6.1). `Content-Length` stays, because it is right for the forwarded
/// body too and tells the function what to expect. OpenFaaS's gateway always sends chunks instead. Next to `Transfer-Encoding` it has
/// no meaning (RFC 9112, 6.3) and is removed.
fn remove_hop_by_hop(headers: &mut HeaderMap) {
    // Usually there are none, and one pass over the names is cheaper than a lookup of each.
    if !headers.keys().any(headers::is_hop_by_hop) {
        return;
    }
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|names| names.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    if headers.contains_key(header::TRANSFER_ENCODING) {
        headers.remove(header::CONTENT_LENGTH);
    }
    for name in named {
        headers.remove(name);
    }
    for name in &headers::HOP_BY_HOP {
        headers.remove(name);
    }
}
