//! The log lines of a function, or of a request from all functions.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use faasflow_admin::{self as admin, LOG_DROPPED, LOG_LEFT_OUT};
use faasflow_core::graph::Place;
use faasflow_core::{RequestId, code};
use futures_util::stream::{self, StreamExt as _};
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderValue};
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use super::absent::absent;
use super::extract::Parameters;
use super::namespace::Namespace;
use crate::answer::refusal;
use crate::functions::follow::Follower;
use crate::functions::logs::{Journal, LogFilter, LogLine, Past};
use crate::functions::{Function, Functions};
use crate::namespace::NAMESPACE;
use crate::rfc3339;

/// The sources of log lines.
pub(crate) struct LogSources {
    pub(crate) functions: Functions,
    pub(crate) journal: Journal,
    /// Cancelled when the gateway stops and all functions have ended, so that no more lines come.
    pub(crate) silent: CancellationToken,
}

/// The parameters, as text, so that the gateway itself words the errors.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct LogQuery {
    name: String,
    request: String,
    place: Option<String>,
    tail: String,
    since: String,
    follow: String,
}

impl LogQuery {
    fn read(&self) -> Result<LogFilter, String> {
        let request = match self.request.as_str() {
            "" if self.name.is_empty() => {
                return Err(
                    "name the function, /system/logs?name=NAME, or the request, /system/logs?request=ID".to_owned()
                );
            }
            "" => None,
            text => Some(
                RequestId::parse(text)
                    .ok_or_else(|| format!("`request` is not the id of a request: an id has {}", RequestId::FORM))?,
            ),
        };
        let place = match self.place.as_deref() {
            None => None,
            Some(_) if request.is_none() => {
                return Err(
                    "`place` is a place of a request: name the request as well, /system/logs?request=ID&place=1"
                        .to_owned(),
                );
            }
            Some(text) => match Place::parse(text) {
                Some(place) => Some(place.to_string()),
                None => {
                    return Err("`place` is not a place, such as `2` or `1.0/3`: the status of the request lists them"
                        .to_owned());
                }
            },
        };
        let tail = match self.tail.as_str() {
            "" => 0,
            text => {
                text.parse::<i64>().map_err(|_| format!("`tail` is `{text}`: write a number of lines, such as 100"))?
            }
        };
        let since_ms = match self.since.as_str() {
            "" => 0,
            text => rfc3339::parse(text).ok_or_else(|| {
                format!(
                    "`since` is `{text}`: write a time such as 2026-08-01T12:00:00Z, or 2026-08-01T12:00:00%2B02:00"
                )
            })?,
        };
        // 0 means all lines, as on OpenFaaS.
        let tail = usize::try_from(tail).ok().filter(|&tail| tail > 0).unwrap_or(usize::MAX);
        Ok(LogFilter { request, place, since_ms, tail })
    }

    fn follows(&self) -> bool {
        ["1", "t", "T", "true", "True", "TRUE"].contains(&self.follow.as_str())
    }
}

/// The lines so far, the follower for later ones, and the functions whose earlier lines were dropped.
struct LogSelection {
    past: Vec<Arc<LogLine>>,
    follower: Follower,
    dropped: Vec<String>,
    /// How many earlier lines of a place are not among them.
    left_out: usize,
}

pub(super) async fn logs(
    State(sources): State<Arc<LogSources>>,
    Parameters(query): Parameters<LogQuery>,
    Parameters(namespace): Parameters<Namespace>,
) -> Response {
    let asked = match query.read() {
        Ok(asked) => asked,
        Err(why) => return refusal(StatusCode::BAD_REQUEST, code::BAD_API_PARAMETER, why),
    };
    if let Some(refusal) = namespace.refuse_others() {
        return refusal;
    }
    let all = query.name.is_empty();
    let selection = if all {
        collect(&sources.journal, &sources.functions.all(), &asked)
    } else {
        let Some(function) = sources.functions.find(&query.name) else { return absent(&query.name) };
        collect(&sources.journal, &[function], &asked)
    };
    let dropped = HeaderValue::from_str(&selection.dropped.join(",")).unwrap_or(HeaderValue::from_static(""));
    let left_out = asked.place.is_some().then_some(selection.left_out);
    let past = stream::iter(selection.past.into_iter().map(|line| Ok::<_, Infallible>(ndjson(&line))));
    let body = if query.follows() {
        let live = Live { follower: selection.follower, sources, asked, all, until: u64::MAX };
        let live = stream::unfold(live, Live::next).flat_map(stream::iter);
        Body::from_stream(past.chain(live.map(|line| Ok(ndjson(&line)))))
    } else {
        Body::from_stream(past)
    };
    let mut response = ([(CONTENT_TYPE, "application/x-ndjson")], body).into_response();
    response.headers_mut().insert(LOG_DROPPED, dropped);
    if let Some(left_out) = left_out {
        response.headers_mut().insert(LOG_LEFT_OUT, HeaderValue::from(left_out));
    }
    response
}

/// Collects the lines of these functions, in the order in which they came.
fn collect(journal: &Journal, functions: &[Arc<Function>], asked: &LogFilter) -> LogSelection {
    let mut selection =
        LogSelection { past: Vec::new(), follower: Follower::new(journal), dropped: Vec::new(), left_out: 0 };
    let mut dropped = Vec::new();
    for function in functions {
        let Past { lines, left_out, read, kept_from } = function.logs.past(asked);
        selection.past.extend(lines);
        selection.left_out += left_out;
        selection.follower.add(&function.logs, read);
        dropped.extend(kept_from.map(|from| (function.spec.name.clone(), from)));
    }
    selection.past.sort_by_key(|line| line.number);
    // Lines that were dropped before the first known line of the request are assumed to belong to others.
    let first = selection.past.first().map(|line| line.number).filter(|_| asked.request.is_some());
    dropped.retain(|&(_, from)| first.is_none_or(|first| from > first));
    selection.dropped = dropped.into_iter().map(|(name, _)| name).collect();
    let before = selection.past.len().saturating_sub(asked.tail);
    selection.past.drain(..before);
    selection.left_out += before;
    selection
}

/// The stream of new lines, up to the last ones that the functions write when the gateway stops.
struct Live {
    follower: Follower,
    sources: Arc<LogSources>,
    asked: LogFilter,
    /// Whether functions that are deployed later are followed too.
    all: bool,
    /// The last line when all functions had ended. The stream ends after it.
    until: u64,
}

impl Live {
    async fn next(mut self) -> Option<(Vec<Arc<LogLine>>, Live)> {
        loop {
            let silent = self.sources.silent.is_cancelled();
            if silent && self.until == u64::MAX {
                self.until = self.sources.journal.last();
            }
            self.follower.mark_seen();
            if self.all {
                for function in self.sources.functions.all() {
                    self.follower.add(&function.logs, 0);
                }
            }
            match self.follower.read(&self.asked, self.until) {
                // Lets other tasks run, however many lines are skipped.
                Some(lines) if lines.is_empty() => tokio::task::yield_now().await,
                Some(lines) => return Some((lines, self)),
                None if silent || !(self.all || self.follower.has_sources()) => return None,
                None => tokio::select! {
                    () = self.follower.written() => {}
                    () = self.sources.silent.cancelled() => {}
                },
            }
        }
    }
}

/// A line in the format of OpenFaaS's log providers, with the id of its request.
fn ndjson(line: &LogLine) -> Bytes {
    let mut entry = admin::LogLine::default();
    entry.instance = line.function.clone();
    entry.name = line.function.clone();
    entry.namespace = NAMESPACE.to_owned();
    entry.request_id = line.request().map(|request| request.as_str().to_owned());
    entry.text = line.text.clone();
    entry.timestamp = rfc3339::format(line.timestamp_ms);
    let mut line = serde_json::to_vec(&entry).expect("texts can be written");
    line.push(b'\n');
    Bytes::from(line)
}
