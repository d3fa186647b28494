use std::fmt;

/// What the keys begin with that outlive their request.
pub(super) const OVER: &str = "over@";
pub(super) const FINISHED: &str = "finished@";
/// Both of them, for backends that select keys by their beginning.
pub const OUTLIVING: [&str; 2] = [OVER, FINISHED];

/// A key in the request's scope of a state manager, under which the machine keeps something.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(String);

impl Key {
    pub(super) fn new(text: String) -> Key {
        Key(text)
    }

    /// The key as the state manager gets it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it stays when the request has ended, so that envelopes which arrive late find it.
    #[must_use]
    pub fn outlives_request(&self) -> bool {
        outlives_request(&self.0)
    }
}

/// Whether the value of this key stays when its request has ended. State managers ask this in
/// [`end_request`](super::StateManager::end_request).
///
/// Keys of values that a flow's own code sets never outlive the request.
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
