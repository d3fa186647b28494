//! Some of what has happened since the last event.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use faasflow_admin::{ChangedRequest, EndedCall, GatewayEvent, RequestStatus};

/// How many calls an event has.
const MOST_ENDED: usize = 20;
/// How many requests an event has.
const MOST_CHANGED: usize = 50;

#[derive(Debug, Default)]
pub(super) struct Samples {
    kept: Mutex<Kept>,
    /// Whether there is no room for another call that did not fail. It is read without the lock, because there may be many.
    is_full: AtomicBool,
    left_out: AtomicU64,
}

#[derive(Debug, Default)]
struct Kept {
    ended: Vec<(bool, EndedCall)>,
    /// By flow and id.
    changed: BTreeMap<(String, String), Option<RequestStatus>>,
}

impl Samples {
    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn leave_out(&self) {
        self.left_out.fetch_add(1, Ordering::Relaxed);
    }

    /// Adds a call that has ended. One that failed takes the place of one that did not.
    pub(super) fn ended(&self, is_failure: bool, call: impl FnOnce() -> EndedCall) {
        if !is_failure && self.is_full.load(Ordering::Relaxed) {
            return self.leave_out();
        }
        let mut kept = self.lock();
        if kept.ended.len() < MOST_ENDED {
            kept.ended.push((is_failure, call()));
            self.is_full.store(kept.ended.len() == MOST_ENDED, Ordering::Relaxed);
            return;
        }
        self.leave_out();
        if is_failure && let Some(other) = kept.ended.iter_mut().find(|(is_failure, _)| !is_failure) {
            *other = (true, call());
        }
    }

    /// Adds a request that has changed. `None` says that it moved on. Of several changes of one request, the latest status counts.
    pub(super) fn changed(&self, flow: &str, id: &str, status: Option<RequestStatus>) {
        let mut kept = self.lock();
        let is_full = kept.changed.len() >= MOST_CHANGED;
        let key = (flow.to_owned(), id.to_owned());
        match kept.changed.get_mut(&key) {
            Some(known) => *known = status.or(*known),
            None if is_full => self.leave_out(),
            None => drop(kept.changed.insert(key, status)),
        }
    }

    /// Moves everything to an event.
    pub(super) fn take(&self, event: &mut GatewayEvent) {
        let mut kept = self.lock();
        let Kept { ended, changed } = std::mem::take(&mut *kept);
        self.is_full.store(false, Ordering::Relaxed);
        event.left_out = self.left_out.swap(0, Ordering::Relaxed);
        drop(kept);
        event.ended = ended.into_iter().map(|(_, call)| call).collect();
        event.changed = changed.into_iter().map(|((flow, id), status)| changed_request(flow, id, status)).collect();
    }
}

fn changed_request(flow: String, id: String, status: Option<RequestStatus>) -> ChangedRequest {
    let mut changed = ChangedRequest::default();
    (changed.flow, changed.id, changed.status) = (flow, id, status);
    changed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(status: u16) -> EndedCall {
        let mut call = EndedCall::default();
        call.status = status;
        call
    }

    fn taken(samples: &Samples) -> GatewayEvent {
        let mut event = GatewayEvent::default();
        samples.take(&mut event);
        event
    }

    #[test]
    fn failures_are_kept_before_others_and_what_is_left_out_is_counted() {
        let samples = Samples::default();
        (0..1000).for_each(|_| samples.ended(false, || call(200)));
        samples.ended(true, || call(500));
        let event = taken(&samples);
        assert_eq!((event.ended.len(), event.left_out), (MOST_ENDED, 1001 - MOST_ENDED as u64));
        assert_eq!(event.ended.iter().filter(|call| call.status == 500).count(), 1);
        assert!(taken(&samples).is_empty());
        (0..100).for_each(|_| samples.ended(true, || call(500)));
        samples.ended(false, || call(200));
        let event = taken(&samples);
        assert!(event.ended.iter().all(|call| call.status == 500));
        assert_eq!((event.ended.len(), event.left_out), (MOST_ENDED, 101 - MOST_ENDED as u64));
    }

    #[test]
    fn the_latest_status_of_a_request_is_kept() {
        let samples = Samples::default();
        for status in [None, Some(RequestStatus::Running), Some(RequestStatus::Paused), None] {
            samples.changed("orders", "a", status);
        }
        samples.changed("orders", "b", None);
        for number in 0..MOST_CHANGED {
            samples.changed("parcels", &number.to_string(), None);
        }
        samples.changed("orders", "b", Some(RequestStatus::Failure));
        let event = taken(&samples);
        let statuses: Vec<_> =
            event.changed.iter().take(2).map(|changed| (changed.id.as_str(), changed.status)).collect();
        assert_eq!(statuses, [("a", Some(RequestStatus::Paused)), ("b", Some(RequestStatus::Failure))]);
        assert_eq!((event.changed.len(), event.left_out), (MOST_CHANGED, 2));
    }
}
