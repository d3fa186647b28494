//! Limits the memory of all heads: those that are being read, and those of requests in flight.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::HeaderMap;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::frames::Frames;

/// Heads up to this size are included in the cost of a connection, and not counted.
const SMALL: u64 = 16 * 1024;
/// The unit in which bytes are counted.
const UNIT: u64 = 1024;
/// What HTTP/2 adds to the size of a header's name and value (RFC 9113, 6.5.2).
const HEADER_OVERHEAD: usize = 32;

/// The memory that the heads of all connections share.
#[derive(Clone, Debug)]
pub(super) struct Heads(Arc<Semaphore>);

impl Heads {
    /// Room for this many bytes.
    pub(super) fn new(bytes: u64) -> Heads {
        let units = usize::try_from(bytes / UNIT).unwrap_or(usize::MAX);
        Heads(Arc::new(Semaphore::new(units.min(Semaphore::MAX_PERMITS))))
    }

    fn take(&self, taken_room: &mut Option<OwnedSemaphorePermit>, bytes: u64) -> bool {
        if bytes <= SMALL {
            return true;
        }
        let wanted = usize::try_from(bytes.div_ceil(UNIT)).unwrap_or(usize::MAX);
        let more = wanted.saturating_sub(taken_room.as_ref().map_or(0, OwnedSemaphorePermit::num_permits));
        if more == 0 {
            return true;
        }
        let Ok(permit) = self.0.clone().try_acquire_many_owned(u32::try_from(more).unwrap_or(u32::MAX)) else {
            return false;
        };
        match taken_room {
            Some(taken_room) => taken_room.merge(permit),
            none => *none = Some(permit),
        }
        true
    }
}

/// The head that a connection is receiving.
#[derive(Clone, Debug)]
pub(super) struct PendingHead(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    heads: Heads,
    frames: Frames,
    /// How many requests of the connection are in flight. With HTTP/1, no head is read during this time.
    in_flight: usize,
    bytes: u64,
    permit: Option<OwnedSemaphorePermit>,
}

impl PendingHead {
    pub(super) fn new(heads: Heads) -> PendingHead {
        let state = State { heads, frames: Frames::default(), in_flight: 0, bytes: 0, permit: None };
        PendingHead(Arc::new(Mutex::new(state)))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts received bytes. Returns whether there is room for them.
    pub(super) fn received(&self, bytes: &[u8]) -> bool {
        let mut state = self.state();
        let state = &mut *state;
        match state.frames.received(bytes) {
            Some(head) => {
                state.bytes = head;
                if head == 0 {
                    state.permit = None;
                }
            }
            None if state.in_flight > 0 => return true,
            None => state.bytes = state.bytes.saturating_add(bytes.len() as u64),
        }
        state.heads.take(&mut state.permit, state.bytes)
    }

    /// The head has been read. Returns the request in flight, or `None` if there is no room for it.
    pub(super) fn read(&self, headers: &HeaderMap) -> Option<InFlight> {
        let size: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + HEADER_OVERHEAD).sum();
        let mut state = self.state();
        state.bytes = 0;
        let mut permit = state.permit.take();
        if size as u64 <= SMALL {
            permit = None;
        } else if !state.heads.take(&mut permit, size as u64) {
            return None;
        }
        state.in_flight += 1;
        Some(InFlight { of: self.clone(), _permit: permit })
    }

    /// Whether the connection uses HTTP/2.
    pub(super) fn is_http2(&self) -> bool {
        matches!(self.state().frames, Frames::Http2(_))
    }

    /// How many requests are in flight.
    pub(super) fn in_flight(&self) -> usize {
        self.state().in_flight
    }
}

/// A request in flight. Its head counts until this is dropped.
#[derive(Debug)]
pub(super) struct InFlight {
    of: PendingHead,
    _permit: Option<OwnedSemaphorePermit>,
}

impl InFlight {
    /// A request whose head has no room.
    pub(super) fn uncounted(of: &PendingHead) -> InFlight {
        of.state().in_flight += 1;
        InFlight { of: of.clone(), _permit: None }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let mut state = self.of.state();
        state.in_flight -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r7_heads_count_while_they_are_read_and_in_flight() {
        let heads = Heads::new(1 << 20);
        let [first, second] = [PendingHead::new(heads.clone()), PendingHead::new(heads.clone())];
        assert!((0..9).all(|_| first.received(&[b'a'; 100_000])));
        assert!(second.received(&[b'a'; 16_000]) && !second.received(&[b'a'; 200_000]));
        let mut headers = HeaderMap::new();
        headers.insert("a", "1".parse().unwrap());
        let small = first.read(&headers).unwrap();
        assert_eq!(heads.0.available_permits(), 1024, "most of the bytes belonged to a body");
        assert!(first.received(&[b'a'; 2 << 20]), "the following bytes belong to it too");
        drop(small);
        headers.insert("b", "x".repeat(1000 << 10).parse().unwrap());
        let large = second.read(&headers).unwrap();
        assert!(first.read(&headers).is_none());
        assert!(!first.received(&[b'a'; 100_000]));
        drop(large);
        assert!(first.received(&[b'a'; 100_000]));
    }
}
