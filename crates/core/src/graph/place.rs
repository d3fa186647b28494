use std::fmt;

use sha2::{Digest as _, Sha256};

/// Where a request is in the plan of its flow: the segment to execute next.
///
/// A [`Plan`](super::Plan) hands out the places of its flow, and an envelope carries one. A place that was read from an
/// envelope may not exist in the plan; [`Plan::segment`](super::Plan::segment) then returns `None`. Everything that
/// names a phase to the outside derives from its place: the number in log lines and spans, idempotency keys and call
/// ids.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Place {
    /// Counted from 1, as envelopes of version 1 write it.
    segment: u32,
}

impl Place {
    /// Creates the place from its number in an envelope of version 1.
    pub(crate) fn numbered(segment: u32) -> Place {
        Place { segment }
    }

    /// Its number in an envelope of version 1.
    pub(crate) fn number(&self) -> u32 {
        self.segment
    }

    /// The place of the segment at `index` in the plan's list.
    pub(super) fn at(index: usize) -> Place {
        Place { segment: u32::try_from(index + 1).unwrap_or(u32::MAX) }
    }

    /// The index of its segment in the plan's list; `None` if no list can have such a place.
    pub(super) fn index(&self) -> Option<usize> {
        usize::try_from(self.segment).ok()?.checked_sub(1)
    }

    /// The number of the phase, from 1.
    #[must_use]
    pub fn phase(&self) -> usize {
        self.segment as usize
    }

    /// The prefix of the idempotency keys of the steps at this place. The number of the step follows it.
    ///
    /// ```
    /// use faasflow_core::graph::Place;
    ///
    /// assert_eq!(Place::from(2).idempotency_prefix("order-17"), "order-17-2-");
    /// ```
    #[must_use]
    pub fn idempotency_prefix(&self, request_id: &str) -> String {
        [request_id, "-", &self.segment.to_string(), "-"].concat()
    }

    /// The call id with which a request is forwarded to this place: 128 bits of a hash. It is the same for every
    /// attempt, so that a queue can drop duplicates. `flow` and `request` are those of the request's scope, see
    /// [`RequestInfo::scope`](crate::RequestInfo::scope).
    #[must_use]
    pub fn call_id(&self, flow: &str, request: &str) -> [u8; 16] {
        let digest = Sha256::new()
            .chain_update(flow.as_bytes())
            .chain_update([0])
            .chain_update(request.as_bytes())
            .chain_update([0])
            .chain_update(u64::from(self.segment).to_be_bytes())
            .finalize();
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&digest[..16]);
        bytes
    }
}

/// The place of the phase with this number, from 1, for tests of handlers. The flow may not have such a phase.
impl From<usize> for Place {
    fn from(phase: usize) -> Place {
        Place { segment: u32::try_from(phase).unwrap_or(u32::MAX) }
    }
}

impl From<&Place> for Place {
    fn from(place: &Place) -> Place {
        place.clone()
    }
}

/// The number of the phase.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.segment, f)
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "phase {}", self.segment)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Queues contain calls with these ids, so the id of a place must never change.
    #[test]
    fn the_call_id_of_a_place_is_the_same_in_every_version() {
        let id = |phase: usize| hex::encode(Place::from(phase).call_id("photos", "request-1"));
        assert_eq!(id(2), "c7d09e110fdf882003cd590e55dfb9b9");
        assert_ne!(id(2), id(3));
    }
}
