use faasflow_core::failure::FailureKind;
use faasflow_core::machine::Outage;

/// Why a request has no answer.
#[derive(Debug)]
pub(crate) enum Unanswered {
    /// For a permanent reason.
    Failed(FailureKind),
    /// Because of an outage that did not end in time.
    Outage(Outage),
}

impl From<FailureKind> for Unanswered {
    fn from(kind: FailureKind) -> Unanswered {
        Unanswered::Failed(kind)
    }
}
