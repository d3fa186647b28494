//! Limits what the gateway handles at once.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use faasflow_core::{code, headers};
use faasflow_http::{Budget, MOST_HEADERS, NoRoom, ReadBodyError, Share, drain_up_to, read_body_into};
use futures_util::StreamExt as _;
use http::StatusCode;
use http::header::{HeaderMap, HeaderValue};

use crate::answer::{busy, internal, no_room};
pub(crate) use crate::queue::READ_COPIES;
use crate::wanted::AnswerPart;

/// How many copies of a body exist while the queue writes it: the body, the record, and the pages of the file.
pub(crate) const WRITTEN_COPIES: u64 = 3;
/// How long a delivery or an answer waits for room.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);
/// How much of a refused body is read, so that the client gets the answer, which says when to try again.
const DRAINED: u64 = 64 << 20;
/// The largest answer of a queued call that is kept for its callback, in bytes.
const ANSWER: u64 = 64 << 20;
/// How much of an answer is kept if there is no callback, in bytes. A dead letter shows it.
pub(crate) const EXCERPT: usize = 64 << 10;

/// Refuses a request after reading its body, so that the client gets the answer.
pub(crate) async fn refuse(request: &HeaderMap, body: Body, why: NoRoom) -> Response {
    drain_up_to(request, body, DRAINED).await;
    no_room(why)
}

/// The most headers of a caller's request. Flows accept [`MOST_HEADERS`], and every server on the way adds some. With this limit, a
/// request that is accepted here is not too large for a function.
const CALLERS_HEADERS: usize = MOST_HEADERS - 100;

/// Refuses a caller's request that has too many headers. Calls of flows are not limited: their headers were counted with the request.
pub(crate) fn refuse_headers(request: &HeaderMap) -> Option<Response> {
    if request.len() <= CALLERS_HEADERS || is_step(request) {
        return None;
    }
    let text = format!("the head of the request has more than {CALLERS_HEADERS} headers");
    Some(internal(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, code::HEAD_TOO_LARGE, text))
}

/// Counts a call among the `calls` of a function until the returned guard is dropped. A function may have seven eighths of all calls
/// in flight, so that a slow function leaves room for the others.
///
/// # Errors
///
/// If the function has that many calls in flight. The text says so.
pub(crate) fn share(budget: &Budget, name: &str, calls: &Arc<()>) -> Result<Arc<()>, String> {
    let most = budget.limits().requests;
    let most = most - most / 8;
    let counted = calls.clone();
    // The function itself has one reference.
    if Arc::strong_count(calls) - 1 <= most {
        return Ok(counted);
    }
    let most = faasflow_core::counted(most as u64, "request");
    Err(format!("`{name}` already handles {most}, as many as one function may: try again later"))
}

/// Refuses a request to a function that has used up its share, after reading the body.
pub(crate) async fn refuse_share(request: &HeaderMap, body: Body, why: String) -> Response {
    drain_up_to(request, body, DRAINED).await;
    busy(why)
}

/// Whether a request is a call that a flow makes for a request which already has a place. Such a call needs no place. If it did, flows
/// could take all places, and would then wait for each other forever.
pub(crate) fn is_step(request: &HeaderMap) -> bool {
    let text = |name| request.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    match (text(headers::REQUEST_ID), text(headers::IDEMPOTENCY_KEY)) {
        (Some(id), Some(key)) => !id.is_empty() && key.strip_prefix(id).is_some_and(|rest| rest.starts_with('-')),
        _ => false,
    }
}

/// Reads the answer to a queued call: all of it for a callback, otherwise its beginning.
pub(crate) async fn read_answer(
    body: Body,
    wanted: AnswerPart,
    within: Duration,
    share: &mut Share,
) -> Result<Bytes, ReadBodyError> {
    if wanted == AnswerPart::Whole {
        return read_body_into(body, ANSWER, within, share).await;
    }
    // The rest is read too, because a function whose answer is cut off may take that for a failure.
    let mut references = Vec::new();
    let mut rest = body.into_data_stream();
    let reading = async {
        let mut left = ANSWER;
        while let Some(part) = rest.next().await {
            let part = part.map_err(|source| ReadBodyError::Broken(source.into()))?;
            let room = EXCERPT - references.len();
            references.extend_from_slice(&part[..room.min(part.len())]);
            match left.checked_sub(part.len() as u64) {
                Some(less) => left = less,
                None => break,
            }
        }
        Ok(())
    };
    match tokio::time::timeout(within, reading).await {
        Ok(Ok(())) => Ok(references.into()),
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
