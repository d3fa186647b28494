//! Metrics: counts and times events.

use faasflow_core::MemberOutcome;
use http::StatusCode;

use super::event::{Event, Origin};
use super::observer::Observer;
use crate::conclusion::{Conclusion, Delivery};
use crate::metrics::{ForwardResult, Metrics};

impl Observer for Metrics {
    #[inline(always)]
    fn observe(&self, event: &Event<'_>) {
        match event {
            Event::Begun { delivery: Delivery::Fresh, .. } => self.started(),
            Event::Begun { delivery: Delivery::Envelope, waited } => self.queued(*waited),
            Event::Attempted { to, answer } => match (answer, to.step) {
                (Ok(response), Some(step)) if response.status() == StatusCode::OK => self.answered_well(step),
                _ => self.attempt(to.kind, to.function, answer),
            },
            Event::Retrying { to, .. } | Event::WaitingOut { to, .. } => self.retried(to.kind, to.function),
            Event::StepDone { at, .. } | Event::StepInterrupted { at, .. } => self.step(at.index.number(), at.took),
            Event::StepFailed { at, failure, .. } => {
                self.step(at.index.number(), at.took);
                self.failed(failure.kind());
            }
            Event::CompositeFailed { failure } => self.failed(failure.kind()),
            Event::MemberEnded { member, outcome, took, .. } => self.member(member.body, *outcome, Some(*took)),
            Event::MemberRecorded { body, outcome } => self.member(*body, *outcome, None),
            Event::MemberNotBegun { member } => self.member(member.body, MemberOutcome::NotBegun, None),
            Event::HandlerFailed { kind } | Event::FinallyFailed { kind } => self.failed(kind),
            Event::Failed { failure, origin: Origin::Envelope } => self.failed(failure.kind()),
            Event::PayloadStored { bytes, .. } => self.payload_stored(*bytes),
            Event::Sealed { bytes } => self.envelope(*bytes),
            Event::ForwardRetried { .. } => self.forward(ForwardResult::Retried),
            Event::ForwardFailed => self.forward(ForwardResult::Failed),
            Event::Forwarded { .. } => self.forward(ForwardResult::Accepted),
            Event::Refused { status, .. } => self.refused(*status),
            Event::Concluded { phase, conclusion, took, since_start, .. } => {
                match conclusion {
                    Conclusion::Ended(outcome, ..) => self.ended(*outcome, *since_start),
                    Conclusion::Refused(status, ..) => return self.refused(*status),
                    Conclusion::Forwarded | Conclusion::Transient(_) => {}
                }
                self.phase(*phase, *took);
            }
            Event::Closed { delivery, status } => self.delivered(*delivery, *status),
            Event::PayloadGone { .. }
            | Event::NotNeeded { .. }
            | Event::PhaseBegun { .. }
            | Event::Joined { .. }
            | Event::Chosen { .. }
            | Event::NotLabelled { .. }
            | Event::NoSearchKey { .. }
            | Event::BranchFailed { .. }
            | Event::StepBegun { .. }
            | Event::Sending { .. }
            | Event::CallBegun
            | Event::NoTimeToRetry { .. }
            | Event::Answered { .. }
            | Event::StepResolved { .. }
            | Event::Failed { .. }
            | Event::HandlerAsked
            | Event::HandlerResolved { .. }
            | Event::Interrupted { .. }
            | Event::Reported { .. }
            | Event::FinallyBegun
            | Event::FinallyRan { .. }
            | Event::StateNotRemoved { .. }
            | Event::Paused { .. }
            | Event::Parked { .. }
            | Event::Ended { .. } => {}
        }
    }
}
