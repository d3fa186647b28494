//! The keys under which a state manager keeps what belongs to a request. No key is made anywhere else.
//!
//! ```text
//! key                          value
//! state/KEY                    a value of the flow's own code: one byte for its kind, then its bytes
//! payload/PHASE-SHA256         a payload on its way to a phase
//! ```
//!
//! All of them lie in the scope of the request, and are removed with it at its end.

use crate::graph::Place;

/// The key of a value that the flow's own code calls `key`.
pub(crate) fn value(key: &str) -> String {
    format!("state/{key}")
}

/// The key of a payload for the phase at `place`. It holds the hash, so that a phase which is delivered twice, and makes
/// another payload the second time, does not change what the first envelope refers to.
pub(crate) fn payload(place: &Place, sha256: &[u8; 32]) -> String {
    format!("payload/{place}-{}", hex::encode(sha256))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Requests are on their way with these keys in their envelopes.
    #[test]
    fn keys_are_the_same_in_every_version() {
        assert_eq!(value("a/b"), "state/a/b");
        assert_eq!(payload(&Place::from(12), &[0xab; 32]), format!("payload/12-{}", "ab".repeat(32)));
    }
}
