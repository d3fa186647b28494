//! Events of a request.

use std::fmt;
use std::time::Duration;

use faasflow_core::code::Code;
use faasflow_core::failure::FailureKind;
use faasflow_core::graph::{BodyIndex, Place, StepIndex};
use faasflow_core::machine::Outage;
use faasflow_core::{CallResponse, Failure, MemberOutcome, Method, Outcome, Payload, Resolution, Step};
use http::{StatusCode, Uri};

use crate::conclusion::{Conclusion, Delivery};
use crate::forward::ForwardError;

use super::member::Member;

/// Something that has happened to a request. It borrows its data, so that emitting an event costs nothing if no observer
/// uses it.
#[derive(Debug)]
pub(crate) enum Event<'a> {
    /// A delivery was verified. `waited` is the time that an envelope spent in the queue.
    Begun { delivery: Delivery, waited: Duration },
    /// The payload is no longer in the state manager.
    PayloadGone { reason: &'a str },
    /// The phase was done by an earlier delivery, or its result is not needed.
    /// `acted` is whether this delivery executed it.
    NotNeeded { place: &'a Place, acted: bool },
    /// The steps at a place will be executed next.
    PhaseBegun { place: &'a Place },
    /// Branches or items were joined. These are the ids of the spans in which they ended, as far as they are known. Those of
    /// failures come first.
    Joined { spans: &'a [String] },
    /// A step will be executed next.
    StepBegun { step: &'a Step },
    /// A step sends a request.
    Sending { method: &'a Method, target: &'a Uri, to: Peer<'a>, bytes: usize },
    /// An attempt to send the request begins.
    CallBegun,
    /// The result of one attempt to send a request.
    Attempted { to: Peer<'a>, answer: &'a Result<CallResponse, FailureKind> },
    /// The retry policy asks for another attempt. `attempt` is its number, counted from 1.
    Retrying { to: Peer<'a>, answer: &'a Result<CallResponse, FailureKind>, wait: Duration, attempt: u32, of: u32 },
    /// The retry policy asks for another attempt, but there is no time left for it.
    NoTimeToRetry { to: Peer<'a> },
    /// An attempt met an outage and will be repeated.
    WaitingOut { to: Peer<'a>, outage: &'a Outage, wait: Duration },
    /// The answer that the step continues with, if there is one.
    Answered { answer: Option<&'a CallResponse> },
    /// A step succeeded.
    StepDone { at: StepRun<'a>, output: &'a Payload },
    /// A step met an outage that did not end in time.
    StepInterrupted { at: StepRun<'a>, outage: &'a Outage },
    /// A step failed. If it has a failure handler of its own, that handler is asked next.
    StepFailed { at: StepRun<'a>, failure: &'a Failure, handler: StepHandler },
    /// The result of the step's own failure handler: an output, or `None`.
    StepResolved { at: StepRun<'a>, failure: &'a Failure, output: Option<&'a Payload> },
    /// A choice was made.
    Chosen { branch: &'a str },
    /// Items of a for-each have no labels, because the function that makes them failed for this number of items. The failure is that
    /// of the first one.
    NotLabelled { items: usize, kind: &'a FailureKind },
    /// A search key that the flow gives its requests cannot be made or added.
    NoSearchKey { kind: &'a FailureKind },
    /// A choice, a split or a join failed, or too many branches or items did.
    CompositeFailed { failure: &'a Failure },
    /// A flow inside the flow failed. Its own failure handler is asked next.
    BranchFailed { failure: &'a Failure },
    /// A branch or an item has ended. `took` is the time since it began.
    MemberEnded { member: &'a Member, outcome: MemberOutcome, took: Duration, failure: Option<&'a Failure> },
    /// The end of a branch or an item with phases of its own was recorded.
    MemberRecorded { body: BodyIndex, outcome: MemberOutcome },
    /// A branch or an item will not begin.
    MemberNotBegun { member: &'a Member },
    /// A failure handler itself failed.
    HandlerFailed { kind: &'a FailureKind },
    /// The request has failed, but the flow's failure handler may still recover it.
    Failed { failure: &'a Failure, origin: Origin },
    /// The flow's failure handler will be asked next.
    HandlerAsked,
    /// The decision of the flow's failure handler. `None` if the handler failed.
    HandlerResolved { resolution: Option<&'a Resolution> },
    /// The delivery must be repeated later.
    Interrupted { doing: Activity<'a>, outage: &'a Outage },
    /// A payload was stored in the state manager of this name.
    PayloadStored { bytes: usize, manager: &'a str },
    /// The envelope of the next phase was made.
    Sealed { bytes: usize },
    /// The envelope of the next phase was not accepted, and will be sent again.
    ForwardRetried { next: &'a Place, error: &'a ForwardError },
    /// The envelope of the next phase was not accepted, and this was the last attempt.
    ForwardFailed,
    /// The next phase is queued.
    Forwarded { next: &'a Place, bytes: usize, payload: PayloadLocation },
    /// The result of reporting the end of a request to its callback URL.
    Reported { outcome: Outcome, report: Report<'a> },
    /// The finaliser will run next.
    FinallyBegun,
    /// The finaliser has run.
    FinallyRan { succeeded: bool },
    /// The finaliser failed. The outcome of the request stays the same.
    FinallyFailed { kind: &'a FailureKind },
    /// The state of the request could not be removed.
    StateNotRemoved { kind: &'a FailureKind },
    /// The request has ended.
    Ended { outcome: Outcome },
    /// The phase does not begin, because the request is paused.
    Paused { place: &'a Place },
    /// The request waits, because it cannot go on with the definition that is deployed.
    Parked { detail: &'a str },
    /// The delivery was refused, and nothing was executed. The detail is for the log.
    Refused { status: StatusCode, code: Code, detail: &'a str },
    /// The delivery is over. `phase` is the number of the phase in the deployed definition, and `since_start` the time since
    /// the request started.
    Concluded { phase: usize, conclusion: &'a Conclusion, status: StatusCode, took: Duration, since_start: Duration },
    /// The delivery was answered.
    Closed { delivery: Delivery, status: StatusCode },
}

/// The purpose of a request that the flow sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CallKind {
    /// A call of a function.
    Call,
    /// A callback of the definition.
    Callback,
    /// The report that the caller of the flow asked for.
    Report,
}

/// The receiver of a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer<'a> {
    pub(crate) kind: CallKind,
    /// The receiver, as log lines name it.
    pub(crate) name: &'a str,
    /// The function's name or the callback's host. Empty for a report, because its URL comes with the request.
    pub(crate) function: &'a str,
    /// The step that sends the request, if it is a step.
    pub(crate) step: Option<StepIndex>,
}

/// A completed execution of a step.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StepRun<'a> {
    pub(crate) step: &'a Step,
    pub(crate) index: StepIndex,
    pub(crate) took: Duration,
    /// The size of its input.
    pub(crate) bytes_in: usize,
}

/// Whether the step has a failure handler of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StepHandler {
    Asked,
    None,
}

/// Where a request failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// In a step. The failure of the step was already emitted.
    Step,
    /// In a step whose own failure handler replied for the whole request.
    Reply,
    /// While its payload was fetched, or while it was forwarded.
    Envelope,
}

/// Where the payload of the next phase is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PayloadLocation {
    Envelope,
    StateManager,
}

/// The result of reporting the end of a request.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Report<'a> {
    /// The report was accepted, with this status.
    Accepted(StatusCode),
    /// The report may be accepted later.
    Postponed(&'a str),
    /// The report will never be accepted. The text says what happened.
    GivenUp(&'a str),
}

/// What a delivery was doing when it met an outage. Displayed as the beginning of a log line.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Activity<'a> {
    Fetching,
    Executing(&'a Place),
    Forwarding(&'a Place),
    Handling,
    Reporting(Outcome),
    Finalising,
}

impl fmt::Display for Activity<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Activity::Fetching => f.write_str("Not executed"),
            Activity::Executing(place) => write!(f, "Phase {place} cannot continue"),
            Activity::Forwarding(next) => write!(f, "Cannot forward to phase {next}"),
            Activity::Handling => f.write_str("The failure handler cannot continue"),
            Activity::Reporting(outcome) => write!(f, "Cannot report the {outcome}"),
            Activity::Finalising => f.write_str("`finally` cannot continue"),
        }
    }
}

/// Says that a handler failed and why, for log lines and spans.
pub(super) fn handler_failed(kind: &FailureKind) -> String {
    format!("The failure handler itself failed: {kind}")
}

/// The same for the finaliser.
pub(super) fn finally_failed(kind: &FailureKind) -> String {
    format!("`finally` failed: {kind}")
}
