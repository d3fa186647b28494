//! How one delivery ended.

use faasflow_core::code::Code;
use faasflow_core::definition::Secrets;
use faasflow_core::machine::Outage;
use faasflow_core::{Outcome, Payload};
use http::StatusCode;

/// How a delivery reached the flow function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// A caller sent a fresh request.
    Fresh,
    /// A queue delivered the envelope of a later phase. It must not deliver the envelope again once this phase is done.
    Envelope,
}

/// How one delivery ended.
#[derive(Debug)]
pub(crate) enum Conclusion {
    /// The phase is done and the next one is queued.
    Forwarded,
    /// The request has ended. If it failed, this has the code of its failure.
    Ended(Outcome, Payload, Option<Code>),
    /// The request cannot continue now, for a temporary reason.
    Transient(Outage),
    /// The delivery could not be verified or understood.
    Refused(StatusCode, Code, String),
}

impl Conclusion {
    /// The status of the answer.
    pub(crate) fn status(&self, delivery: Delivery) -> StatusCode {
        match (self, delivery) {
            (Conclusion::Forwarded, Delivery::Envelope) => StatusCode::OK,
            (Conclusion::Forwarded, Delivery::Fresh) => StatusCode::ACCEPTED,
            (Conclusion::Ended(Outcome::Failure, ..), Delivery::Fresh) => StatusCode::INTERNAL_SERVER_ERROR,
            (Conclusion::Ended(Outcome::Stopped, ..), Delivery::Fresh) => StatusCode::CONFLICT,
            (Conclusion::Ended(..), _) => StatusCode::OK,
            (Conclusion::Transient(_), _) => StatusCode::SERVICE_UNAVAILABLE,
            (Conclusion::Refused(status, ..), _) => *status,
        }
    }

    /// The same for an answer that is shown to people.
    pub(crate) fn masked(self, secrets: &Secrets) -> Conclusion {
        let Conclusion::Ended(outcome, payload, code) = self else { return self };
        Conclusion::Ended(outcome, secrets.shown(&payload), code)
    }

    /// The code of the error that the answer reports, if any.
    pub(crate) fn code(&self) -> Option<Code> {
        match self {
            Conclusion::Forwarded => None,
            Conclusion::Ended(_, _, code) => *code,
            Conclusion::Transient(outage) => Some(outage.code),
            Conclusion::Refused(_, code, _) => Some(*code),
        }
    }
}
