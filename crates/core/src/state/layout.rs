//! The keys under which a state manager stores the data of a request. No other module makes such keys.
//!
//! ```text
//! key                          value
//! state/KEY                    a value of the flow's own code: one byte for its kind, then its bytes
//! payload/PHASE-SHA256         a payload on its way to a phase
//! ```
//!
//! All keys are in the scope of the request, and are removed with it when it ends.

use crate::graph::Place;

/// The key of the value that the flow's own code calls `key`.
pub(crate) fn value(key: &str) -> String {
    format!("state/{key}")
}

/// The key of a payload for the phase at `place`. It contains the hash: if a phase is delivered twice and makes another
/// payload the second time, the payload that the first envelope refers to does not change.
pub(crate) fn payload(place: &Place, sha256: &[u8; 32]) -> String {
    format!("payload/{place}-{}", hex::encode(sha256))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Envelopes that are already in queues contain these keys.
    #[test]
    fn keys_are_the_same_in_every_version() {
        assert_eq!(value("a/b"), "state/a/b");
        assert_eq!(payload(&Place::from(12), &[0xab; 32]), format!("payload/12-{}", "ab".repeat(32)));
    }
}
