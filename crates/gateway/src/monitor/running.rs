//! Which flow a call belongs to.
//!
//! A call does not name its flow. It has the id of its request, and the gateway knows in which flow an invocation with this id is in
//! progress.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use faasflow_core::{RequestId, headers};
use http::HeaderMap;

/// The invocations of flows that are in progress, by the id of their request.
#[derive(Debug, Default)]
pub(super) struct Running(Mutex<HashMap<RequestId, Vec<Arc<str>>>>);

impl Running {
    fn lock(&self) -> MutexGuard<'_, HashMap<RequestId, Vec<Arc<str>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn begin(&self, id: RequestId, flow: Arc<str>) {
        self.lock().entry(id).or_default().push(flow);
    }

    pub(super) fn end(&self, id: &RequestId, flow: &str) {
        let mut running = self.lock();
        let Some(flows) = running.get_mut(id) else { return };
        if let Some(at) = flows.iter().position(|one| **one == *flow) {
            flows.swap_remove(at);
        }
        if flows.is_empty() {
            running.remove(id);
        }
    }

    /// The flow that a request with this id is in; `None` if there is no such request, or if flows with this id call each other, so
    /// that it could be any of them.
    pub(super) fn flow(&self, id: &RequestId) -> Option<Arc<str>> {
        let running = self.lock();
        let (first, rest) = running.get(id)?.split_first()?;
        rest.iter().all(|other| other == first).then(|| first.clone())
    }
}

/// The number of the step in the idempotency key of a call; `None` if the call is not that of a step.
pub(super) fn step(id: &RequestId, headers: &HeaderMap) -> Option<usize> {
    let key = headers.get(headers::IDEMPOTENCY_KEY)?.to_str().ok()?;
    let place_and_step = key.strip_prefix(id.as_str())?.strip_prefix('-')?;
    let (_, items_and_step) = place_and_step.rsplit_once('-')?;
    items_and_step.rsplit('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use faasflow_core::graph::{ItemPath, Place};
    use http::HeaderValue;

    use super::*;

    fn id(text: &str) -> RequestId {
        RequestId::parse(text).unwrap()
    }

    #[test]
    fn the_step_is_in_the_idempotency_key() {
        let read = |request: &str, key: &str| {
            let key = (headers::IDEMPOTENCY_KEY, HeaderValue::from_str(key).unwrap());
            step(&id(request), &HeaderMap::from_iter([key]))
        };
        for request in ["order-17", "a", "a-1-2"] {
            let places = [Place::from(2), Place::from(2).member(6, &Place::from(3)), Place::from(4).in_generation(1)];
            for place in &places {
                for items in [ItemPath::default(), ItemPath::default().item(6).item(0)] {
                    let key = format!("{}{}{}", place.idempotency_prefix(request), items.as_str(), 12);
                    assert_eq!(read(request, &key), Some(12), "{key}");
                }
            }
        }
        for key in ["order-17-end", "order-17", "order-17-", "order-17-2-", "order-17-2-x", "other-2-1", ""] {
            assert_eq!(read("order-17", key), None, "{key}");
        }
        assert_eq!(step(&id("order-17"), &HeaderMap::new()), None);
    }

    #[test]
    fn a_call_belongs_to_the_only_flow_with_its_id() {
        let running = Running::default();
        assert_eq!(running.flow(&id("r")), None);
        running.begin(id("r"), "a".into());
        running.begin(id("r"), "a".into());
        assert_eq!(running.flow(&id("r")).as_deref(), Some("a"));
        running.begin(id("r"), "b".into());
        assert_eq!(running.flow(&id("r")), None);
        running.end(&id("r"), "b");
        running.end(&id("r"), "a");
        assert_eq!(running.flow(&id("r")).as_deref(), Some("a"));
        running.end(&id("r"), "a");
        assert!(running.lock().is_empty());
    }
}
