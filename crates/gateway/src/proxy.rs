//! Takes a request to its function and the answer back, both as streams.

mod lent;

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use faasflow_core::headers::{self, GATEWAY_ERROR};
use faasflow_core::{chain, code};
use faasflow_http::{HttpClient, end_after, hear_out, read_body};
use http::header::{self, HeaderMap, HeaderName};
use http::uri::PathAndQuery;
use http::{Request, StatusCode, Uri, request};
use tokio_util::task::task_tracker::TaskTrackerToken;

use crate::answer::INTERNAL;
use crate::forwarding::{MOST_PASSES, count_pass, forward};
use crate::functions::command::{Commands, Invocation};
use crate::functions::limit::QUEUE_WAITS;
use crate::functions::{Function, NoAnswer, Taken};
use crate::held::Held;
use crate::stack::{Kind, URL_ANNOTATION};
use lent::lend;

/// How long a request waits for a function that is being started.
const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) const START_TIME: HeaderName = HeaderName::from_static("x-start-time");
/// What some programs take for the proxy of their own requests, once it is a variable (httpoxy, CVE-2016-5385).
const PROXY: HeaderName = HeaderName::from_static("proxy");

#[derive(Clone, Debug)]
pub(crate) struct Proxy {
    pub(crate) client: HttpClient,
    pub(crate) commands: Commands,
    /// How long a function may take until it begins to answer.
    pub(crate) timeout: Duration,
}

/// Who sends a request.
#[derive(Debug)]
pub(crate) enum Sender {
    /// A caller, who is told at once if the function is busy. The token is held until the answer is through.
    Caller(TaskTrackerToken),
    /// The queue, which waits a little.
    Queue { wanted: Wanted },
}

/// How much of an answer is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// All of it, by a caller or a callback.
    Whole,
    /// Its beginning, for a dead letter.
    Beginning,
}

impl Proxy {
    /// Sends a request to a function. `path` is what stood behind the function's name, empty or beginning with `/`.
    ///
    /// A caller is heard out before it is told that there is no answer, and before an answer ends that came early: it
    /// would see its connection reset otherwise, and nothing else.
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
            // A success that comes early is most often one that is made as the body is read. It keeps its length, by which
            // whoever gets it knows how much room it needs.
            Ok(answer) if lent.is_over() || answer.status().is_success() => Ok(answer),
            Ok(answer) => Ok(end_after(answer, lent.hear_out())),
            Err(none) => {
                lent.hear_out().await;
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
        let (function, taken) = function.take(PATIENCE).await;
        let (held, patience, wanted) = match sender {
            Sender::Caller(token) => (Some(token), Duration::ZERO, Wanted::Whole),
            Sender::Queue { wanted } => (None, QUEUE_WAITS, wanted),
        };
        let place = match function.limits.request(patience).await {
            Ok(place) => place,
            Err(busy) => {
                hear_out(&parts.headers, body).await;
                return Err(NoAnswer::Busy(busy));
            }
        };
        parts.headers.remove(PROXY);
        let (base, token) = match taken {
            Taken::Http(base, token) => (base, token),
            Taken::Command(words) => {
                prepare_for_command(&mut parts);
                let (parts, has_room) = (&parts, held.is_none());
                let function = function.clone();
                let invocation = Invocation { function, words, parts, path, body, has_room, wanted };
                let response = self.commands.invoke(invocation, self.timeout, (held.clone(), place)).await?;
                return Ok(response.map(|body| Held::body(body, held)));
            }
            Taken::Pending(why) => return Err(NoAnswer::Pending(why)),
            Taken::Idle => return Err(NoAnswer::Pending("it was scaled to none again".to_owned())),
            Taken::Broken(why) => return Err(NoAnswer::Broken(why)),
            Taken::Gone => return Err(NoAnswer::Removed),
        };
        if matches!(function.spec.kind, Kind::Url(_)) && count_pass(&mut parts.headers).is_err() {
            hear_out(&parts.headers, body).await;
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
        let sending = self.client.send(Request::from_parts(parts, body));
        // As of-watchdog has it, which stands before the program in an image.
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
            let text = "it switched to another protocol, which it was not asked for".to_owned();
            return Err(NoAnswer::Unusable(text));
        }
        let (mut parts, body) = response.into_parts();
        // The version is one connection's, and that to the caller is another than that to the function.
        parts.version = http::Version::HTTP_11;
        remove_hop_by_hop(&mut parts.headers);
        // They mark the gateway's own words. Flows log the one and act on the other; a function cannot say either.
        parts.headers.remove(INTERNAL);
        parts.headers.remove(GATEWAY_ERROR);
        // The request is over when its answer is.
        Ok(Response::from_parts(parts, Held::body(body, (held, token, place))))
    }

    /// Asks a function's process for something of its own, such as its metrics, and reads the answer whole.
    ///
    /// # Errors
    ///
    /// If there is no answer within `patience`, or it is larger; the text says why.
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
    // What the URL of the function asks for comes first.
    let queries: Vec<&str> = [base.query(), query].into_iter().flatten().collect();
    let path_and_query: PathAndQuery = match queries.is_empty() {
        false => format!("{prefix}{path}?{}", queries.join("&")).parse()?,
        true => format!("{prefix}{path}").parse()?,
    };
    let mut parts = base.clone().into_parts();
    parts.path_and_query = Some(path_and_query);
    Ok(Uri::from_parts(parts)?)
}

/// What a command sees of a request has been through this gateway as well. That the body came in chunks stays: both
/// watchdogs of OpenFaaS tell it.
fn prepare_for_command(parts: &mut request::Parts) {
    let chunked = parts.headers.remove(header::TRANSFER_ENCODING);
    remove_hop_by_hop(&mut parts.headers);
    if let Some(chunked) = chunked {
        parts.headers.insert(header::TRANSFER_ENCODING, chunked);
    }
    forward(parts);
}

/// Why a request cannot be taken that asks for another protocol instead of HTTP, if its sender would wait for it in vain. An
/// upgrade to HTTP/2 may be left unanswered: the client goes on with HTTP/1.1.
pub(crate) fn unsupported_upgrade(headers: &HeaderMap) -> Option<String> {
    let names =
        |name| headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).flat_map(|list| list.split(','));
    if !names(header::CONNECTION).any(|name| name.trim().eq_ignore_ascii_case("upgrade")) {
        return None;
    }
    let mut protocols = names(header::UPGRADE).map(str::trim);
    let protocol = protocols.find(|protocol| !protocol.is_empty() && !protocol.eq_ignore_ascii_case("h2c"))?;
    Some(format!(
        "an upgrade to `{protocol}` is not supported: requests and answers go through this gateway, and no connections"
    ))
}

/// Removes what belongs to one connection (RFC 9110, 7.6.1). `Content-Length` stays, unlike at OpenFaaS's gateway,
/// which always sends chunks: it frames the same body, and tells the function what to expect. Beside `Transfer-Encoding` it
/// says nothing of the body (RFC 9112, 6.3), and goes as well.
fn remove_hop_by_hop(headers: &mut HeaderMap) {
    // Most often there is none: a look at the names is cheaper than a search for each.
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
