//! The log lines of events.

use std::fmt;
use std::time::Duration;

use faasflow_core::code::{self, Code};
use faasflow_core::{MemberOutcome, Outcome, chain};
use tracing::Level;

use super::event::{Event, Origin, Report, StepHandler, finally_failed, handler_failed};
use super::member::MemberName;
use crate::conclusion::Delivery;
use crate::config::show;

/// Calls `write` with the log line of an event, if it has one. If the event is about an error, the line has the error's
/// code.
#[inline(always)]
pub(crate) fn log_line(event: &Event<'_>, write: impl Fn(Level, Option<Code>, fmt::Arguments<'_>)) {
    let debug = |text: fmt::Arguments<'_>| write(Level::DEBUG, None, text);
    let info = |text: fmt::Arguments<'_>| write(Level::INFO, None, text);
    let warn = |code: Code, text: fmt::Arguments<'_>| write(Level::WARN, Some(code), text);
    let error = |code: Code, text: fmt::Arguments<'_>| write(Level::ERROR, Some(code), text);
    match event {
        Event::Begun { delivery: Delivery::Fresh, .. } => info(format_args!("Created")),
        Event::Begun { delivery: Delivery::Envelope, .. } => info(format_args!("Received")),
        Event::PayloadGone { reason } => error(code::PAYLOAD_GONE, format_args!("Not executed: {reason}")),
        Event::NotNeeded { place } => {
            info(format_args!("Phase {place} is not needed: it was done before, or its join was decided without it"));
        }
        Event::PhaseBegun { place } => info(format_args!("Executing phase {place}")),
        Event::StepBegun { step } => info(format_args!("Executing {}", step.name())),
        Event::Retrying { to, answer, wait, attempt, of } => {
            let again = |why: fmt::Arguments<'_>| {
                let wait = show(millis(*wait));
                info(format_args!("Trying {} again in {wait} ({why}), attempt {attempt} of {of}", to.name));
            };
            match answer {
                Ok(response) => again(format_args!("it answered {}", response.status())),
                Err(kind) => again(format_args!("{kind}")),
            }
        }
        Event::NoTimeToRetry { to } => {
            write(Level::WARN, None, format_args!("There is no time left to try {} again", to.name));
        }
        Event::WaitingOut { outage, wait, .. } => {
            let wait = show(millis(*wait));
            warn(outage.code, format_args!("{}; trying again in {wait}: {}", outage.reason, outage.detail));
        }
        Event::StepDone { at, output } => {
            let (name, took, bytes) = (at.step.name(), at.took, output.len());
            debug(format_args!("Executed {name} in {took:.1?}: {bytes} bytes"));
        }
        Event::StepFailed { failure, handler: StepHandler::Asked, .. } => {
            warn(failure.code(), format_args!("{failure}; asking its own failure handler"));
        }
        Event::StepResolved { at, output: Some(_), .. } => {
            info(format_args!("The failure handler of {} recovered", at.step.name()));
        }
        Event::Chosen { branch } => info(format_args!("Chose branch `{branch}`")),
        Event::BranchFailed { failure } => {
            warn(failure.code(), format_args!("{failure}; asking the failure handler around it"));
        }
        Event::MemberEnded { member, outcome: MemberOutcome::Done, took, .. } => match member.name {
            MemberName::Branch(_) => info(format_args!("Executed {member} in {took:.1?}")),
            MemberName::Item(_) => debug(format_args!("Executed {member} in {took:.1?}")),
        },
        Event::MemberEnded { member, failure: Some(failure), took, .. } => {
            warn(failure.code(), format_args!("Failed in {member} after {took:.1?}: {failure}"));
        }
        Event::MemberEnded { member, took, .. } => {
            debug(format_args!("Cancelled {member} after {took:.1?}"));
        }
        Event::HandlerFailed { kind } => error(kind.code(), format_args!("{}", handler_failed(kind))),
        Event::Failed { failure, origin: Origin::Reply } => {
            error(failure.code(), format_args!("{failure}; its failure handler replied"));
        }
        Event::Failed { failure, .. } => match failure.kind().help() {
            Some(help) => error(failure.code(), format_args!("{failure}: {help}")),
            None => error(failure.code(), format_args!("{failure}")),
        },
        Event::HandlerAsked => info(format_args!("Executing the failure handler")),
        Event::Interrupted { doing, outage } => {
            error(outage.code, format_args!("{doing}: {}: {}", outage.reason, outage.detail));
        }
        Event::PayloadStored { bytes, manager } => {
            debug(format_args!("Stored the payload of {bytes} bytes in `{manager}`"));
        }
        Event::ForwardRetried { next, error } => {
            warn(error.code(), format_args!("Cannot forward to phase {next} yet: {}", chain(*error)));
        }
        Event::Forwarded { next, .. } => info(format_args!("Forwarded to phase {next}")),
        Event::Reported { outcome, report: Report::Accepted(_) } => info(format_args!("Reported the {outcome}")),
        Event::Reported { outcome, report: Report::GivenUp(why) } => {
            error(code::NOT_REPORTED, format_args!("Cannot report the {outcome}, giving up: {why}"));
        }
        Event::FinallyBegun => info(format_args!("Executing finally")),
        Event::FinallyFailed { kind } => error(kind.code(), format_args!("{}", finally_failed(kind))),
        Event::StateNotRemoved { kind } => {
            error(kind.code(), format_args!("Cannot remove the state of the request: {kind}"));
        }
        Event::Ended { outcome: Outcome::Success } => info(format_args!("Completed successfully")),
        Event::Ended { outcome: Outcome::Recovered } => info(format_args!("Completed: recovered")),
        Event::Ended { outcome: Outcome::Failure } => info(format_args!("Completed: failure")),
        Event::Refused { status, code, detail } => warn(*code, format_args!("Refused with {status}: {detail}")),
        Event::Sending { .. }
        | Event::Attempted { .. }
        | Event::CompositeFailed { .. }
        | Event::MemberNotBegun { .. }
        | Event::Answered { .. }
        | Event::StepInterrupted { .. }
        | Event::StepFailed { handler: StepHandler::None, .. }
        | Event::StepResolved { output: None, .. }
        | Event::HandlerResolved { .. }
        | Event::Sealed { .. }
        | Event::ForwardFailed
        | Event::Reported { report: Report::Postponed(_), .. }
        | Event::FinallyRan { .. }
        | Event::Concluded { .. }
        | Event::Closed { .. } => {}
    }
}

fn millis(duration: Duration) -> Duration {
    Duration::from_millis(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}
