//! Where a log line comes from: the request and the place that a function worked on when it wrote the line.
//!
//! A call of a flow's step names its place in its idempotency key. A process that is started for one call writes for that call only.
//! A process that serves many calls does not say which of them a line is about, so its line belongs to a call if no other call of the
//! function is in progress.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use faasflow_core::{RequestId, headers};
use http::HeaderMap;
use serde::Deserialize;

use crate::request_id;

/// The request of a call, and the place of a flow that made the call, if a flow did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) request: RequestId,
    pub(crate) place: Option<String>,
}

impl Origin {
    /// The origin of a call with these headers.
    pub(crate) fn from_headers(headers: &HeaderMap) -> Option<Origin> {
        let request = request_id::from_headers(headers)?;
        let place = place(&request, headers);
        Some(Origin { request, place })
    }

    pub(super) fn is_at(&self, request: &RequestId, place: &str) -> bool {
        self.request == *request && self.place.as_deref() == Some(place)
    }
}

/// The place in the idempotency key of a call; `None` if a flow did not make the call.
fn place(request: &RequestId, headers: &HeaderMap) -> Option<String> {
    let key = headers.get(headers::IDEMPOTENCY_KEY)?.to_str().ok()?;
    let (place, step) = key.strip_prefix(request.as_str())?.strip_prefix('-')?.rsplit_once('-')?;
    let is_path = |text: &str, others: &str| {
        text.starts_with(|c: char| c.is_ascii_digit()) && text.chars().all(|c| c.is_ascii_digit() || others.contains(c))
    };
    (is_path(place, "./@") && is_path(step, ".")).then(|| place.to_owned())
}

/// The calls of a function that are in progress.
#[derive(Clone, Debug, Default)]
pub(crate) struct CallsInProgress(Arc<Mutex<Calls>>);

#[derive(Debug, Default)]
struct Calls {
    next: u64,
    open: Vec<(u64, Option<Arc<Origin>>)>,
}

/// A call in progress. It ends when this is dropped.
#[derive(Debug)]
pub(crate) struct CallInProgress {
    calls: CallsInProgress,
    number: u64,
}

impl CallsInProgress {
    fn lock(&self) -> MutexGuard<'_, Calls> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a call with these headers.
    pub(crate) fn begin(&self, headers: &HeaderMap) -> CallInProgress {
        let origin = Origin::from_headers(headers).map(Arc::new);
        let mut calls = self.lock();
        let number = calls.next;
        calls.next += 1;
        calls.open.push((number, origin));
        CallInProgress { calls: self.clone(), number }
    }

    /// The origin of the only call in progress. Of several, any could have written a line.
    pub(super) fn only(&self) -> Option<Arc<Origin>> {
        match self.lock().open.as_slice() {
            [(_, origin)] => origin.clone(),
            _ => None,
        }
    }
}

impl Drop for CallInProgress {
    fn drop(&mut self) {
        let mut calls = self.calls.lock();
        if let Some(at) = calls.open.iter().position(|(number, _)| *number == self.number) {
            calls.open.swap_remove(at);
        }
    }
}

/// What a line in the JSON format of flows says about its place.
#[derive(Deserialize)]
struct Fields {
    place: Option<String>,
    phase: Option<u64>,
}

/// The place that a line of a flow names: its `place`, or its `phase` in a flow without branches. The fields come after the message,
/// which may contain anything.
pub(super) fn named_place(text: &str) -> Option<String> {
    if text.starts_with('{') {
        let fields: Fields = serde_json::from_str(text).ok()?;
        return fields.place.or_else(|| fields.phase.map(|phase| phase.to_string()));
    }
    let (_, fields) = text.rsplit_once(" phase=")?;
    let mut words = fields.split(' ');
    let phase = words.next().unwrap_or_default();
    let place = words.next().and_then(|word| word.strip_prefix("place="));
    Some(place.unwrap_or(phase).to_owned())
}

#[cfg(test)]
mod tests {
    use faasflow_core::graph::{ItemPath, Place};
    use http::HeaderValue;

    use super::*;

    fn headers(request: &str, key: &str) -> HeaderMap {
        let value = |text: &str| HeaderValue::from_str(text).unwrap();
        HeaderMap::from_iter([(headers::REQUEST_ID, value(request)), (headers::IDEMPOTENCY_KEY, value(key))])
    }

    #[test]
    fn the_place_is_in_the_idempotency_key() {
        let places = [Place::from(2), Place::from(2).member(6, &Place::from(3)), Place::from(4).in_generation(1)];
        for request in ["order-17", "a", "a-1-2"] {
            for place in &places {
                for items in [ItemPath::default(), ItemPath::default().item(6).item(0)] {
                    let key = format!("{}{}{}", place.idempotency_prefix(request), items.as_str(), 12);
                    let origin = Origin::from_headers(&headers(request, &key)).unwrap();
                    assert_eq!(origin.place, Some(place.to_string()), "{key}");
                }
            }
        }
        for key in ["order-17-end", "order-17", "order-17-", "order-17-2-", "order-17-2-x", "order-17-x-2", "other-2-1"]
        {
            assert_eq!(Origin::from_headers(&headers("order-17", key)).unwrap().place, None, "{key}");
        }
    }

    #[test]
    fn a_line_of_a_flow_names_its_place() {
        for (text, place) in [
            ("[Request `a`] Executing phase 1 phase=1", Some("1")),
            ("[Request `a`] a phase=9 place=9 in a message phase=2 place=1.16/2@1 branch=item-17", Some("1.16/2@1")),
            (r#"{"message":"phase=9 place=9","request_id":"a","phase":2}"#, Some("2")),
            (r#"{"message":"x","request_id":"a","phase":2,"place":"1.0/2"}"#, Some("1.0/2")),
            (r#"{"message":"x"}"#, None),
            ("[Request `a`] Created", None),
        ] {
            assert_eq!(named_place(text).as_deref(), place, "{text}");
        }
    }

    #[test]
    fn only_one_call_can_have_written_a_line() {
        let calls = CallsInProgress::default();
        assert_eq!(calls.only(), None);
        let first = calls.begin(&headers("a", "a-2-1"));
        assert!(calls.only().unwrap().is_at(&RequestId::parse("a").unwrap(), "2"));
        // One that no flow has made may write as well.
        let other = calls.begin(&HeaderMap::new());
        assert_eq!(calls.only(), None);
        drop(first);
        assert_eq!(calls.only(), None);
        drop(other);
        assert_eq!(calls.only(), None);
        assert!(calls.lock().open.is_empty());
    }
}
