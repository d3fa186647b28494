use std::fmt;

/// An order that violates what is promised.
#[derive(Clone, Debug)]
pub struct Violation {
    pub(super) what: String,
    pub(super) events: Vec<String>,
    pub(super) seed: String,
}

impl Violation {
    /// What is violated.
    #[must_use]
    pub fn what(&self) -> &str {
        &self.what
    }

    /// What happened, in order.
    #[must_use]
    pub fn events(&self) -> &[String] {
        &self.events
    }

    /// The text that [`Explore::replay`](super::Explore::replay) runs again.
    #[must_use]
    pub fn seed(&self) -> &str {
        &self.seed
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.what)?;
        for (number, event) in (1..).zip(&self.events) {
            writeln!(f, "{number:4}  {event}")?;
        }
        write!(f, "replay it with `.replay(\"{}\")`", self.seed)
    }
}

impl std::error::Error for Violation {}
