//! The values of labels. There are few of them, and none comes with a request.

use std::borrow::Cow;

use faasflow_core::failure::FailureKind;
use faasflow_core::{Action, CallResponse, Step};
use http::StatusCode;

use crate::observers::CallKind;

/// How many phases, steps and functions have their own series. All others share one.
pub(super) const MAX_SERIES: usize = 100;

/// The label value of everything without its own series.
pub(super) const OTHER: &str = "other";

/// The purpose of a request, as a label.
pub(super) fn call_kind(kind: CallKind) -> &'static str {
    match kind {
        CallKind::Call => "call",
        CallKind::Callback => "callback",
        CallKind::Report => "report",
    }
}

/// The result of one attempt to forward a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ForwardResult {
    /// The queue accepted it.
    Accepted,
    /// It was not accepted, and will be tried again.
    Retried,
    /// It was not accepted, and this was the last attempt.
    Failed,
}

impl ForwardResult {
    pub(super) const ALL: [ForwardResult; 3] = [ForwardResult::Accepted, ForwardResult::Retried, ForwardResult::Failed];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            ForwardResult::Accepted => "accepted",
            ForwardResult::Retried => "retried",
            ForwardResult::Failed => "failed",
        }
    }
}

/// Why spans were lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DroppedSpan {
    /// Spans were produced faster than they could be exported.
    QueueFull,
    /// The trace server did not accept the batch.
    ExportFailed,
    /// The trace server accepted the batch, but not these spans.
    Refused,
}

impl DroppedSpan {
    pub(super) const ALL: [DroppedSpan; 3] = [DroppedSpan::QueueFull, DroppedSpan::ExportFailed, DroppedSpan::Refused];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            DroppedSpan::QueueFull => "queue_full",
            DroppedSpan::ExportFailed => "export_failed",
            DroppedSpan::Refused => "refused",
        }
    }
}

/// Every [`FailureKind::as_str`] whose series exists from the start.
pub(super) const FAILURE_REASONS: [&str; 12] = [
    "handler",
    "panic",
    "unreachable",
    "interrupted",
    "timeout",
    "response",
    "answer_too_large",
    "undecodable",
    "deadline",
    "forward",
    "storage",
    "envelope_too_large",
];

/// The result of an attempt: a status, or why there is none.
pub(super) fn attempt_code(answer: &Result<CallResponse, FailureKind>) -> Cow<'static, str> {
    match answer {
        Ok(response) => status_code(response.status()),
        Err(FailureKind::Timeout(_) | FailureKind::Deadline(_)) => "timeout".into(),
        Err(FailureKind::Unreachable(_)) => "unreachable".into(),
        Err(FailureKind::Interrupted(_)) => "interrupted".into(),
        Err(FailureKind::Unusable(_)) => "unusable".into(),
        Err(FailureKind::AnswerTooLarge(_)) => "too_large".into(),
        Err(FailureKind::Undecodable(_)) => "undecodable".into(),
        Err(_) => "failed".into(),
    }
}

/// A status as a label. A function can answer with any of a thousand statuses. Those without a definition share the label of
/// their class.
pub(super) fn status_code(status: StatusCode) -> Cow<'static, str> {
    match status.canonical_reason() {
        Some(_) => status.as_str().to_owned().into(),
        None => format!("{}xx", status.as_u16() / 100).into(),
    }
}

pub(super) fn phase(number: usize) -> Cow<'static, str> {
    if number > MAX_SERIES { OTHER.into() } else { number.to_string().into() }
}

/// A step's label has its number, because a function may be called by several steps.
pub(super) fn step(number: usize, step: &Step) -> Cow<'static, str> {
    if number > MAX_SERIES { OTHER.into() } else { format!("{number} {}", short_name(step.name())).into() }
}

/// The label of a branch has the number of its graph or for-each, because several may have branches of the same name. `series`
/// is the number of the branch in the flow, from 1.
pub(super) fn branch(series: usize, composite: usize, name: &str) -> Cow<'static, str> {
    if series > MAX_SERIES { OTHER.into() } else { format!("{composite} {name}").into() }
}

pub(super) fn step_kind(step: &Step) -> &'static str {
    match step.action() {
        Action::Call(_) => "call",
        Action::Callback(_) => "callback",
        Action::Modify(_) => "modifier",
        _ => OTHER,
    }
}

/// The short name of a step: `facedetect` for ``function `facedetect` ``. A modifier without a name has its place in the
/// source, so `lib.rs:12` for `modifier at lib.rs:12`.
pub(crate) fn short_name(step: &str) -> &str {
    match step.split('`').nth(1) {
        Some(name) => name,
        None => step.rsplit(' ').next().unwrap_or(step),
    }
}
