use std::fmt;

/// An order that violates a guarantee.
#[derive(Clone, Debug)]
pub struct Violation {
    pub(super) what: String,
    pub(super) events: Vec<String>,
    pub(super) seed: String,
}

impl Violation {
    /// The description of the violation.
    #[must_use]
    pub fn what(&self) -> &str {
        &self.what
    }

    /// The events, in order.
    #[must_use]
    pub fn events(&self) -> &[String] {
        &self.events
    }

    /// The seed for [`Explore::replay`](super::Explore::replay).
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
