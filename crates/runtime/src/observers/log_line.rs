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
        Event::NotNeeded { place, acted: true } => {
            info(format_args!("Phase {place} has ended, and what follows it is decided already"));
        }
        Event::NotNeeded { place, acted: false } => {
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
            let (name, took, bytes) = (at.step.name(), Took(at.took), output.len());
            debug(format_args!("Executed {name} in {took}: {bytes} bytes"));
        }
        Event::StepFailed { failure, handler: StepHandler::Asked, .. } => {
            warn(failure.code(), format_args!("{failure}; asking its own failure handler"));
        }
        Event::StepResolved { at, output: Some(_), .. } => {
            info(format_args!("The failure handler of {} recovered", at.step.name()));
        }
        Event::Chosen { branch } => info(format_args!("Chose branch `{branch}`")),
        Event::NotLabelled { items, kind } => {
            let items = faasflow_core::counted(*items as u64, "item");
            warn(kind.code(), format_args!("{items} without a label, because the function for labels failed: {kind}"));
        }
        Event::NoSearchKey { kind } => {
            warn(kind.code(), format_args!("The request has no such search key: {kind}"));
        }
        Event::BranchFailed { failure } => {
            warn(failure.code(), format_args!("{failure}; asking the failure handler around it"));
        }
        Event::MemberEnded { member, outcome: MemberOutcome::Done, took, .. } => match member.name {
            MemberName::Branch(_) => info(format_args!("Executed {member} in {}", Took(*took))),
            MemberName::Item(_) => debug(format_args!("Executed {member} in {}", Took(*took))),
        },
        Event::MemberEnded { member, failure: Some(failure), took, .. } => {
            warn(failure.code(), format_args!("Failed in {member} after {}: {failure}", Took(*took)));
        }
        Event::MemberEnded { member, took, .. } => {
            debug(format_args!("Cancelled {member} after {}", Took(*took)));
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
        // Each delivery meets it again. The log has it once already: see `refusals.rs`.
        Event::Interrupted { doing, outage } if outage.is_refusal() => {
            debug(format_args!("{doing}: {}: {}", outage.reason, outage.detail));
        }
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
        Event::Ended { outcome: Outcome::Stopped } => info(format_args!("Stopped")),
        Event::Paused { place } => info(format_args!("Phase {place} waits until the paused request is resumed")),
        Event::Parked { detail } => {
            warn(code::OTHER_DEFINITION, format_args!("Parked: {detail}; resume, restart or stop the request"));
        }
        Event::Refused { status, code, detail } => warn(*code, format_args!("Refused with {status}: {detail}")),
        Event::Sending { .. }
        | Event::CallBegun
        | Event::Attempted { .. }
        | Event::Joined { .. }
        | Event::CompositeFailed { .. }
        | Event::MemberRecorded { .. }
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

/// Displays a duration with one decimal, as `{:.1?}` does, but in a fraction of the time.
struct Took(Duration);

impl fmt::Display for Took {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = u64::from(self.0.subsec_nanos());
        let (whole, rest, one, unit) = match (self.0.as_secs(), nanos) {
            (0, ..1000) => (nanos, 0, 1, "ns"),
            (0, ..1_000_000) => (nanos / 1000, nanos % 1000, 1000, "µs"),
            (0, _) => (nanos / 1_000_000, nanos % 1_000_000, 1_000_000, "ms"),
            (seconds, _) => (seconds, nanos, 1_000_000_000, "s"),
        };
        // The decimal is rounded to the nearest digit, and to the even one of two.
        let (tenths, left) = (rest * 10 / one, rest * 10 % one);
        let tenths = tenths + u64::from(2 * left > one || (2 * left == one && tenths % 2 == 1));
        let (whole, tenths) = if tenths == 10 { (whole.saturating_add(1), 0) } else { (whole, tenths) };
        // The longest number has twenty digits, a point and one more.
        let mut text = [b'.'; 22];
        text[21] = b'0' + tenths as u8;
        let (mut begin, mut rest) = (20, whole);
        loop {
            begin -= 1;
            text[begin] = b'0' + (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        f.write_str(str::from_utf8(&text[begin..]).unwrap_or_default())?;
        f.write_str(unit)
    }
}

fn millis(duration: Duration) -> Duration {
    Duration::from_millis(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_shown_as_their_debug_format_shows_them() {
        let nanos = [0, 1, 15, 949, 950, 951, 1049, 1050, 1051, 1150, 99_950, 999_949, 999_950, 999_951, 123_456_789];
        for nanos in nanos.into_iter().flat_map(|nanos| [1, 10, 1000, 1_000_000, 1_000_000_007].map(|by| nanos * by)) {
            let took = Duration::from_nanos(nanos);
            assert_eq!(Took(took).to_string(), format!("{took:.1?}"), "{nanos}");
        }
        let longest = Duration::from_secs(u64::MAX);
        assert_eq!(Took(longest).to_string(), format!("{longest:.1?}"));
    }
}
