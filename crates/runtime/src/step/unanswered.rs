use faasflow_core::failure::FailureKind;
use faasflow_core::machine::Outage;

/// Why a request has no answer.
#[derive(Debug)]
pub(crate) enum Unanswered {
    /// For good.
    Failed(FailureKind),
    /// For a reason that has not passed in time.
    Outage(Outage),
}

impl From<FailureKind> for Unanswered {
    fn from(kind: FailureKind) -> Unanswered {
        Unanswered::Failed(kind)
    }
}
