//! What the gateway takes on at once, and how it refuses the rest.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use faasflow_core::{code, headers};
use faasflow_http::{Budget, MOST_HEADERS, NoRoom, ReadBodyError, Share, hear_out_up_to, read_body_into};
use futures_util::StreamExt as _;
use http::StatusCode;
use http::header::{HeaderMap, HeaderValue};

use crate::answer::{busy, internal, no_room};
use crate::proxy::Wanted;
pub(crate) use crate::queue::READ_COPIES;

/// How often the queue holds a body while it is written: as it came, as the record, and as pages of the file.
pub(crate) const WRITTEN_COPIES: u64 = 3;
/// How long a delivery or an answer waits for room.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);
/// How much of a refused body is heard, so that its client learns when to come again.
const HEARD: u64 = 64 << 20;
/// The largest answer of a queued call that is kept for its callback.
const ANSWER: u64 = 64 << 20;
/// How much of an answer is kept where there is no callback: what a dead letter shows.
pub(crate) const EXCERPT: usize = 64 << 10;

/// Refuses a request, and hears its client out.
pub(crate) async fn refuse(request: &HeaderMap, body: Body, why: NoRoom) -> Response {
    hear_out_up_to(request, body, HEARD).await;
    no_room(why)
}

/// The most headers of a caller's request. Flows and clients take [`MOST_HEADERS`], and each on the way to them adds some of
/// its own. So what is accepted here is not too large for a function behind.
const CALLERS_HEADERS: usize = MOST_HEADERS - 100;

/// Refuses a caller's request that has too many headers. A step's are the flow's own, and were counted when it came.
pub(crate) fn refuse_headers(request: &HeaderMap) -> Option<Response> {
    if request.len() <= CALLERS_HEADERS || is_step(request) {
        return None;
    }
    let text = format!("the head of the request has more than {CALLERS_HEADERS} headers");
    Some(internal(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, code::HEAD_TOO_LARGE, text))
}

/// Counts a call of a function among its `calls`, until what this returns is dropped. One function may have seven eighths of all calls in flight,
/// so that one that is slow, and whose callers all wait, leaves room for the others.
///
/// # Errors
///
/// Why not, if it has as many.
pub(crate) fn share(budget: &Budget, name: &str, calls: &Arc<()>) -> Result<Arc<()>, String> {
    let most = budget.limits().requests;
    let most = most - most / 8;
    let counted = calls.clone();
    // The function has one itself.
    if Arc::strong_count(calls) - 1 <= most {
        return Ok(counted);
    }
    Err(format!("{most} requests to `{name}` are in flight, as many as one function may have: try again later"))
}

/// Refuses a request to a function that has its share, and hears its client out.
pub(crate) async fn refuse_share(request: &HeaderMap, body: Body, why: String) -> Response {
    hear_out_up_to(request, body, HEARD).await;
    busy(why)
}

/// Whether a request is a call of a flow, as part of a request that has its place already. It needs none of its own:
/// if flows could take all places, none would be left for what they call, and all of them would wait.
pub(crate) fn is_step(request: &HeaderMap) -> bool {
    let text = |name| request.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    match (text(headers::REQUEST_ID), text(headers::IDEMPOTENCY_KEY)) {
        (Some(id), Some(key)) => !id.is_empty() && key.strip_prefix(id).is_some_and(|rest| rest.starts_with('-')),
        _ => false,
    }
}

/// Reads the answer to a queued call: whole, if it is wanted for a callback, else its beginning.
pub(crate) async fn read_answer(
    body: Body,
    wanted: Wanted,
    within: Duration,
    share: &mut Share,
) -> Result<Bytes, ReadBodyError> {
    if wanted == Wanted::Whole {
        return read_body_into(body, ANSWER, within, share).await;
    }
    // Nobody asks for the rest; but a function that is cut off may take it for a failure.
    let mut kept = Vec::new();
    let mut rest = body.into_data_stream();
    let reading = async {
        let mut left = ANSWER;
        while let Some(part) = rest.next().await {
            let part = part.map_err(|source| ReadBodyError::Broken(source.into()))?;
            let room = EXCERPT - kept.len();
            kept.extend_from_slice(&part[..room.min(part.len())]);
            match left.checked_sub(part.len() as u64) {
                Some(less) => left = less,
                None => break,
            }
        }
        Ok(())
    };
    match tokio::time::timeout(within, reading).await {
        Ok(Ok(())) => Ok(kept.into()),
        Ok(Err(error)) => Err(error),
        Err(_) => Err(ReadBodyError::TooSlow(within)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r7_calls_of_flows_are_part_of_a_request() {
        let of = |id: Option<&'static str>, key: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            id.map(|id| headers.insert(headers::REQUEST_ID, HeaderValue::from_static(id)));
            key.map(|key| headers.insert(headers::IDEMPOTENCY_KEY, HeaderValue::from_static(key)));
            is_step(&headers)
        };
        assert!(of(Some("r-1"), Some("r-1-2-3")));
        for (id, key) in
            [(None, None), (Some("r"), None), (None, Some("r-1-1")), (Some("r"), Some("s-1-1")), (Some(""), Some("-1"))]
        {
            assert!(!of(id, key), "{id:?} {key:?}");
        }
    }
}
