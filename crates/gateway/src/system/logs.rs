//! The lines that functions wrote: those of a function, or those of a request from all of them.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Query, State};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use faasflow_core::RequestId;
use futures_util::future::ready;
use futures_util::stream::{self, StreamExt as _};
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio_util::sync::CancellationToken;

use super::{Namespace, functions};
use crate::functions::NAMESPACE;
use crate::functions::logs::{Asked, LogLine, Past};
use crate::proxy::plain;
use crate::rfc3339;
use crate::routes::App;

/// On the lines that were asked for: the functions of which earlier ones are not kept any more, with commas between.
pub const LOG_DROPPED: HeaderName = HeaderName::from_static("x-faasflow-log-dropped");

/// As text, so that what cannot be read is answered in our words.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct LogQuery {
    name: String,
    request: String,
    tail: String,
    since: String,
    follow: String,
}

impl LogQuery {
    fn read(&self) -> Result<Asked, String> {
        let request = match self.request.as_str() {
            "" if self.name.is_empty() => {
                return Err(
                    "name the function, /system/logs?name=NAME, or the request, /system/logs?request=ID".to_owned()
                );
            }
            "" => None,
            text => Some(RequestId::parse(text).ok_or_else(|| {
                "`request` is no id of a request: those have 1 to 128 letters, digits, `-`, `_`, `.` and `:`".to_owned()
            })?),
        };
        let tail = match self.tail.as_str() {
            "" => 0,
            text => text.parse::<i64>().map_err(|_| format!("`tail` is `{text}`: write how many lines"))?,
        };
        let since_ms = match self.since.as_str() {
            "" => 0,
            text => rfc3339::read(text).ok_or_else(|| {
                format!(
                    "`since` is `{text}`: write a time such as 2026-08-01T12:00:00Z, or 2026-08-01T12:00:00%2B02:00"
                )
            })?,
        };
        // 0 is all, as at OpenFaaS.
        let tail = usize::try_from(tail).ok().filter(|&tail| tail > 0).unwrap_or(usize::MAX);
        Ok(Asked { request, since_ms, tail })
    }

    fn follows(&self) -> bool {
        ["1", "t", "T", "true", "True", "TRUE"].contains(&self.follow.as_str())
    }
}

/// What is told: the lines until now, what tells those after them, and whose log is not whole.
struct Told {
    past: Vec<Arc<LogLine>>,
    live: Receiver<Arc<LogLine>>,
    /// The last line of each function that was looked at.
    seen: HashMap<String, u64>,
    dropped: Vec<String>,
}

pub(super) async fn logs(
    State(app): State<App>,
    Query(query): Query<LogQuery>,
    Query(namespace): Query<Namespace>,
) -> Response {
    let asked = match query.read() {
        Ok(asked) => asked,
        Err(why) => return plain(StatusCode::BAD_REQUEST, why),
    };
    if let Err(why) = namespace.check() {
        return plain(StatusCode::NOT_FOUND, why);
    }
    let told = if query.name.is_empty() {
        of_all(&app, &asked)
    } else {
        let Some(function) = app.functions.find(&query.name) else { return functions::absent(&query.name) };
        let (Past { lines, dropped, .. }, live) = function.logs.follow(&asked);
        let dropped = if dropped { vec![function.spec.name.clone()] } else { Vec::new() };
        Told { past: lines, live, seen: HashMap::new(), dropped }
    };
    let dropped = HeaderValue::from_str(&told.dropped.join(",")).unwrap_or(HeaderValue::from_static(""));
    let past = stream::iter(told.past.into_iter().map(|line| Ok::<_, Infallible>(ndjson(&line))));
    let body = if query.follows() {
        let seen = told.seen;
        // A gateway that stops does not wait for those who only listen.
        let live = Live { lines: told.live, stop: app.stopping.clone(), left: None };
        let live = stream::unfold(live, Live::next).filter(move |line| {
            let unseen = seen.get(&line.function).is_none_or(|&last| line.number > last);
            ready(unseen && asked.takes(line))
        });
        Body::from_stream(past.chain(live.map(|line| Ok(ndjson(&line)))))
    } else {
        Body::from_stream(past)
    };
    let mut response = ([(CONTENT_TYPE, "application/x-ndjson")], body).into_response();
    response.headers_mut().insert(LOG_DROPPED, dropped);
    response
}

/// The lines of all functions, in the order in which they came.
fn of_all(app: &App, asked: &Asked) -> Told {
    // Before the look, so that no line falls between. What comes meanwhile is seen twice, and told once.
    let live = app.journal.subscribe();
    let mut told = Told { past: Vec::new(), live, seen: HashMap::new(), dropped: Vec::new() };
    for function in app.functions.all() {
        let Past { lines, last, dropped } = function.logs.past(asked);
        told.past.extend(lines);
        told.seen.insert(function.spec.name.clone(), last);
        if dropped {
            told.dropped.push(function.spec.name.clone());
        }
    }
    told.past.sort_by_key(|line| line.number);
    told.past.drain(..told.past.len().saturating_sub(asked.tail));
    told
}

/// Lines as they come, until the gateway stops.
struct Live {
    lines: Receiver<Arc<LogLine>>,
    stop: CancellationToken,
    /// Those that had come when it stopped, which are still told.
    left: Option<usize>,
}

impl Live {
    async fn next(mut self) -> Option<(Arc<LogLine>, Live)> {
        loop {
            let received = match self.left {
                Some(0) => return None,
                Some(left) => {
                    self.left = Some(left - 1);
                    match self.lines.try_recv() {
                        Err(TryRecvError::Lagged(count)) => Err(RecvError::Lagged(count)),
                        line => Ok(line.ok()?),
                    }
                }
                None => tokio::select! {
                    received = self.lines.recv() => received,
                    () = self.stop.cancelled() => {
                        self.left = Some(self.lines.len());
                        continue;
                    }
                },
            };
            match received {
                Ok(line) => return Some((line, self)),
                // Who reads too slowly misses some.
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return None,
            }
        }
    }
}

/// A line as OpenFaaS's log providers write one; the last field is ours.
fn ndjson(line: &LogLine) -> Bytes {
    let mut record = json!({
        "name": line.function,
        "namespace": NAMESPACE,
        "instance": line.function,
        "timestamp": rfc3339::written(line.timestamp_ms),
        "text": line.text,
    });
    if let Some(request) = &line.request {
        record["request_id"] = json!(request.as_str());
    }
    Bytes::from(format!("{record}\n"))
}
