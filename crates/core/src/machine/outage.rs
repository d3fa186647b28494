use std::time::Duration;

use crate::code::{self, Code};

/// Something that passes by itself, and that a phase cannot go on without.
///
/// An outage is not a failure: no handler is asked, the request has not ended, and nothing is reported. The delivery is
/// answered with 503, and the queue delivers it again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outage {
    /// The code of the error.
    pub code: Code,
    /// What is away, in words that are fit for the caller.
    pub reason: String,
    /// The whole of it, for the log.
    pub detail: String,
    /// How long whoever is away asked to be left alone.
    pub retry_after: Option<Duration>,
    /// Who noticed it. This decides how long to wait before the delivery is given back to the queue.
    pub noticed_by: NoticedBy,
}

impl Outage {
    /// An outage of something that says nothing about itself.
    #[must_use]
    pub fn new(code: Code, reason: impl Into<String>, detail: impl Into<String>) -> Outage {
        Outage { code, reason: reason.into(), detail: detail.into(), retry_after: None, noticed_by: NoticedBy::Flow }
    }

    /// The state manager cannot be reached; the text is its own.
    #[must_use]
    pub fn state_unreachable(detail: impl Into<String>) -> Outage {
        Outage::new(code::STATE_UNREACHABLE, "the state manager cannot be reached", detail)
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
