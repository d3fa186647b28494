use std::fmt;

use serde::{Deserialize, Serialize};

/// The prefixes of the keys that outlive their request.
pub(super) const OVER: &str = "over@";
pub(super) const FINISHED: &str = "finished@";
/// Both prefixes, for backends that select keys by prefix.
pub const OUTLIVING: [&str; 2] = [OVER, FINISHED];

/// A key of the machine in the request's scope of a state manager.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Key(String);

impl Key {
    pub(super) fn new(text: String) -> Key {
        Key(text)
    }

    /// The key as it is passed to the state manager.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether its value is the result of a branch or an item, a [`MemberRecord`](crate::machine::forked::MemberRecord).
    #[must_use]
    pub fn is_member(&self) -> bool {
        self.0.starts_with("member/")
    }

    /// Whether its value stays when the request has ended, for envelopes that arrive late.
    #[must_use]
    pub fn outlives_request(&self) -> bool {
        outlives_request(&self.0)
    }
}

/// Whether the value of this key stays when its request has ended. State managers need this for
/// [`end_request`](super::StateManager::end_request).
///
/// Values that the flow's own code sets never outlive the request.
#[must_use]
pub fn outlives_request(key: &str) -> bool {
    OUTLIVING.iter().any(|beginning| key.starts_with(beginning))
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
