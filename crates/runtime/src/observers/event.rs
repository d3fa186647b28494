//! What happens to a request, told once.

use std::fmt;
use std::time::Duration;

use faasflow_core::code::Code;
use faasflow_core::failure::FailureKind;
use faasflow_core::graph::{Place, StepIndex};
use faasflow_core::machine::Outage;
use faasflow_core::{CallResponse, Failure, Method, Outcome, Payload, Resolution, Step};
use http::{StatusCode, Uri};

use crate::conclusion::{Conclusion, Delivery};
use crate::forward::ForwardError;

/// Something that has happened to a request. It borrows what it tells of, so that telling it costs nothing where nobody
/// listens.
#[derive(Debug)]
pub(crate) enum Event<'a> {
    /// A delivery is believed. `waited` is how long an envelope was on its way.
    Begun { delivery: Delivery, waited: Duration },
    /// The payload that a state manager kept is not there any more.
    PayloadGone { reason: &'a str },
    /// The steps at a place are about to be executed.
    PhaseBegun { place: &'a Place },
    /// A step is about to be executed.
    StepBegun { step: &'a Step },
    /// A step sends a request.
    Sending { method: &'a Method, target: &'a Uri, to: Peer<'a>, bytes: usize },
    /// One attempt to send a request came to this.
    Attempted { to: Peer<'a>, answer: &'a Result<CallResponse, FailureKind> },
    /// The author's policy asks for another attempt, the one numbered `attempt` from 1.
    Retrying { to: Peer<'a>, answer: &'a Result<CallResponse, FailureKind>, wait: Duration, attempt: u32, of: u32 },
    /// The author's policy asks for another attempt, and there is no time for it.
    NoTimeToRetry { to: Peer<'a> },
    /// An attempt met an outage, and is repeated.
    WaitingOut { to: Peer<'a>, outage: &'a Outage, wait: Duration },
    /// The answer that a step goes on with, if there is one.
    Answered { answer: Option<&'a CallResponse> },
    /// A step succeeded.
    StepDone { at: StepRun<'a>, output: &'a Payload },
    /// A step met an outage that did not pass in time.
    StepInterrupted { at: StepRun<'a>, outage: &'a Outage },
    /// A step failed. Its own failure handler is asked, if it has one.
    StepFailed { at: StepRun<'a>, failure: &'a Failure, handler: StepHandler },
    /// What the step's own failure handler made of it: an output, or nothing.
    StepResolved { at: StepRun<'a>, failure: &'a Failure, output: Option<&'a Payload> },
    /// A failure handler failed itself.
    HandlerFailed { kind: &'a FailureKind },
    /// The request has failed, which the flow's failure handler may still mend.
    Failed { failure: &'a Failure, origin: Origin },
    /// The flow's failure handler is about to be asked.
    HandlerAsked,
    /// The flow's failure handler decided this; nothing if it failed.
    HandlerResolved { resolution: Option<&'a Resolution> },
    /// The delivery has to come again.
    Interrupted { doing: Activity<'a>, outage: &'a Outage },
    /// A payload went to the state manager of this name.
    PayloadStored { bytes: usize, manager: &'a str },
    /// The envelope of the next phase was made.
    Sealed { bytes: usize },
    /// The envelope of the next phase was not taken, and is sent again.
    ForwardRetried { next: &'a Place, error: &'a ForwardError },
    /// The envelope of the next phase was not taken, and that was the last attempt.
    ForwardFailed,
    /// The next phase is queued.
    Forwarded { next: &'a Place, bytes: usize, payload: PayloadLocation },
    /// The end was reported to whoever asked for it, or was to be: this is what came of it.
    Reported { outcome: Outcome, report: Report<'a> },
    /// The finaliser is about to run.
    FinallyBegun,
    /// The finaliser ran to its end, or not.
    FinallyRan { succeeded: bool },
    /// The finaliser failed, which changes nothing about the end of the request.
    FinallyFailed { kind: &'a FailureKind },
    /// The state of the request was not removed.
    StateNotRemoved { kind: &'a FailureKind },
    /// The request has ended.
    Ended { outcome: Outcome },
    /// Nothing was executed. The detail is for the log.
    Refused { status: StatusCode, code: Code, detail: &'a str },
    /// The delivery is over. `since_start` is how long ago the request began.
    Concluded {
        place: &'a Place,
        conclusion: &'a Conclusion,
        status: StatusCode,
        took: Duration,
        since_start: Duration,
    },
    /// The delivery was answered.
    Closed { delivery: Delivery, status: StatusCode },
}

/// What a request is sent for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CallKind {
    /// A call of a function.
    Call,
    /// A callback of the definition.
    Callback,
    /// The report that the caller of the flow asked for.
    Report,
}

/// Who a request is sent to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer<'a> {
    pub(crate) kind: CallKind,
    /// The receiver as log lines name it.
    pub(crate) name: &'a str,
    /// The function's name or the callback's host; nothing for a report, whose URL comes with the request.
    pub(crate) function: &'a str,
    /// The step that sends it, if one does.
    pub(crate) step: Option<StepIndex>,
}

/// The execution of a step, once it is over.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StepRun<'a> {
    pub(crate) step: &'a Step,
    pub(crate) index: StepIndex,
    pub(crate) took: Duration,
    /// The size of its input.
    pub(crate) bytes_in: usize,
}

/// Whether a step has a failure handler of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StepHandler {
    Asked,
    None,
}

/// Where a request failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// In a step, which has been told already.
    Step,
    /// In a step, whose own failure handler replied for the whole request.
    Reply,
    /// When its payload was taken, or when it was handed on.
    Envelope,
}

/// Where the payload of the next phase is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PayloadLocation {
    Envelope,
    StateManager,
}

/// What came of the report of an end.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Report<'a> {
    /// It was taken, with this status.
    Accepted(StatusCode),
    /// It may be taken later.
    Postponed(&'a str),
    /// It never will be: what happened, and why it is given up.
    GivenUp(&'a str),
}

/// What a delivery was doing when it met an outage, as the beginning of a log line.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Activity<'a> {
    Taking,
    Executing(&'a Place),
    Forwarding(&'a Place),
    Handling,
    Reporting(Outcome),
    Finalising,
}

impl fmt::Display for Activity<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Activity::Taking => f.write_str("Not executed"),
            Activity::Executing(place) => write!(f, "Phase {place} cannot go on"),
            Activity::Forwarding(next) => write!(f, "Cannot forward to phase {next}"),
            Activity::Handling => f.write_str("The failure handler cannot go on"),
            Activity::Reporting(outcome) => write!(f, "Cannot report the {outcome}"),
            Activity::Finalising => f.write_str("finally cannot go on"),
        }
    }
}

/// Why a handler failed, as log lines and spans say it.
pub(super) fn handler_failed(kind: &FailureKind) -> String {
    format!("The failure handler failed itself: {}", kind)
}

/// The same for the finaliser.
pub(super) fn finally_failed(kind: &FailureKind) -> String {
    format!("finally failed: {}", kind)
}
