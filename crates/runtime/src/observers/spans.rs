//! Traces: a span for each delivery and each step. Other events become events of these spans.

use faasflow_core::{Resolution, chain};

use super::event::{Event, PayloadLocation, Report, finally_failed, handler_failed};
use super::observer::Observer;
use crate::trace::{StepSpan, Trace, cut};

impl Observer for Trace {
    #[inline(always)]
    fn observe(&self, event: &Event<'_>) {
        match event {
            Event::Joined { spans } => self.link(spans),
            Event::Failed { failure, .. } => self.failed(failure),
            Event::HandlerFailed { kind } => self.exception(kind.as_str(), || handler_failed(kind)),
            Event::HandlerResolved { resolution } => {
                self.event("failure handler", |event| {
                    event.attribute("faasflow.resolution", resolution_name(*resolution));
                });
            }
            Event::Interrupted { doing, outage } => {
                self.exception("outage", || format!("{doing}: {}", outage.detail));
            }
            Event::ForwardRetried { error, .. } => self.event("forward failed", |event| {
                event.attribute("exception.message", &cut(chain(*error)));
            }),
            Event::Forwarded { next, bytes, payload } => self.event("forwarded", |event| {
                event.attribute("faasflow.phase", next.phase());
                event.attribute("faasflow.envelope.bytes", *bytes);
                event.attribute("faasflow.payload.stored", *payload == PayloadLocation::StateManager);
            }),
            Event::Reported { report, .. } => self.event("report", |event| match report {
                Report::Accepted(status) => event.attribute("faasflow.report", &format!("it answered {status}")),
                Report::Postponed(what) | Report::GivenUp(what) => event.attribute("faasflow.report", *what),
            }),
            Event::FinallyRan { succeeded } => {
                self.event("finally", |event| event.attribute("faasflow.succeeded", *succeeded));
            }
            Event::NotNeeded { acted: false, .. } => self.event("not needed", |_| {}),
            Event::FinallyFailed { kind } => self.exception(kind.as_str(), || finally_failed(kind)),
            Event::Concluded { conclusion, status, .. } => self.finish(conclusion, *status),
            _ => {}
        }
    }
}

/// Records an event in the span of a step.
#[inline(always)]
pub(super) fn observe_step(span: &mut Option<StepSpan<'_>>, event: &Event<'_>) {
    match event {
        Event::Sending { method, target, to, bytes } => {
            if let Some(span) = span {
                span.sends(method, target, to.kind, *bytes);
            }
        }
        Event::Attempted { answer, .. } => {
            if let Some(span) = span {
                span.attempted(answer);
            }
        }
        Event::Answered { answer } => {
            if let Some(span) = span {
                span.answered(*answer);
            }
        }
        Event::StepDone { at, output } => {
            if let Some(span) = span.take() {
                span.finish(at.step, at.index, at.bytes_in, Some(output), None);
            }
        }
        Event::StepInterrupted { at, outage } => {
            if let Some(mut span) = span.take() {
                span.away(outage);
                span.finish(at.step, at.index, at.bytes_in, None, None);
            }
        }
        Event::StepResolved { at, failure, output } => {
            if let Some(span) = span.take() {
                span.finish(at.step, at.index, at.bytes_in, *output, Some(failure));
            }
        }
        _ => {}
    }
}

/// The decision of a failure handler, in one word.
fn resolution_name(resolution: Option<&Resolution>) -> &'static str {
    match resolution {
        Some(Resolution::Recovered(_)) => "recovered",
        Some(Resolution::Replied(_)) => "replied",
        _ => "none",
    }
}
