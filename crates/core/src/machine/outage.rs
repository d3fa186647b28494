use std::time::Duration;

use crate::chain::chain;
use crate::code::{self, Code};
use crate::state::StateError;

/// A temporary condition that keeps a phase from continuing.
///
/// An outage is not a failure: no handler is asked, the request does not end, and nothing is reported. The delivery is
/// answered with 503, and the queue delivers it again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outage {
    /// The code of the error.
    pub code: Code,
    /// What is unavailable, in words that are safe to show to the caller.
    pub reason: String,
    /// The full description, for the log.
    pub detail: String,
    /// How long the unavailable service asks to wait.
    pub retry_after: Option<Duration>,
    /// Who noticed it. This decides how long the flow waits before it returns the delivery to the queue.
    pub noticed_by: NoticedBy,
}

impl Outage {
    /// Creates an outage that the flow itself noticed, without a `Retry-After`.
    #[must_use]
    pub fn new(code: Code, reason: impl Into<String>, detail: impl Into<String>) -> Outage {
        Outage { code, reason: reason.into(), detail: detail.into(), retry_after: None, noticed_by: NoticedBy::Flow }
    }

    /// Creates the outage of a state manager that cannot be reached. `detail` is its own error.
    #[must_use]
    pub fn state_unreachable(detail: impl Into<String>) -> Outage {
        Outage::new(code::STATE_UNREACHABLE, "the state manager cannot be reached", detail)
    }

    /// Creates the outage of an error of the state manager of this name. It may be permanent, but only a person can mend it, so
    /// the request waits.
    #[must_use]
    pub fn from_state_error(manager: &str, error: &StateError) -> Outage {
        if error.is_temporary() {
            return Outage::state_unreachable(chain(error));
        }
        let reason = format!(
            "the state manager `{manager}` refuses what the flow asks of it; the log of the flow says why, and what to do"
        );
        Outage::new(error.code(), reason, chain(error))
    }

    /// Whether the state manager can be reached, but refuses what it is asked.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        [code::STATE_REFUSED, code::STATE_UNSUPPORTED].contains(&self.code)
    }
}

/// Who noticed an [`Outage`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoticedBy {
    /// The flow function itself.
    Flow,
    /// The local gateway, which restarts functions and whose queue delivers again. A short wait is enough.
    LocalGateway,
}
