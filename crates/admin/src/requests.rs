//! The requests of a flow: what has become of them, and what can be done with them.
//!
//! A flow function answers with these types below `/_/requests` and at `/_/recover`. The local gateway forwards requests to
//! [`REQUESTS`](crate::paths::REQUESTS) there, and signs them.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::attempts::{Attempt, StepTimes, is_false, is_zero};

/// The version of the answers in this module. Each answer names its version, and later versions only add fields.
pub const REQUESTS_VERSION: u32 = 1;

/// The headers of requests below [`REQUESTS`](crate::paths::REQUESTS) that reach the flow. A gateway passes on no others.
pub const REQUEST_HEADERS: [&str; 4] = ["prefer", "if-none-match", "accept", "content-type"];

/// What has become of a request: the answer of [`REQUEST`](crate::paths::REQUEST).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct FlowRequest {
    /// The version of the answer: [`REQUESTS_VERSION`].
    pub version: u32,
    /// The id of the request.
    pub id: String,
    /// The flow that it was sent to.
    pub flow: String,
    /// Whether it runs, and how it ended.
    pub status: RequestStatus,
    /// How often it was redriven.
    pub generation: u64,
    /// When it began, in milliseconds since the Unix epoch.
    pub started_ms: u64,
    /// When anything was last recorded about it, in milliseconds since the Unix epoch.
    pub moved_ms: u64,
    /// When it ended, in milliseconds since the Unix epoch; absent before its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_ms: Option<u64>,
    /// Its search keys, if it has any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<String>,
    /// The id of the request that it repeats, if it repeats one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repeats: Option<String>,
    /// Whether it began with the definition that is deployed; absent if the flow is too old to say it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_deployed: Option<bool>,
    /// Why it failed, was recovered or is parked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<RequestReason>,
    /// The id of its trace, in hexadecimal digits; absent if it is not traced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
    /// Its places, in the order in which they began. Of the items of a for-each with more than 20, or inside an item, only the first 20
    /// that failed and up to 20 that are in progress are listed. All are counted in [`members`](Place::members), and
    /// [`ITEMS`](crate::paths::ITEMS) lists them.
    pub places: Vec<Place>,
    /// The places ahead of it that have not begun, in the order of the flow: those of which it is known that they follow. Those in
    /// items of a for-each and in branches of a choice are not listed. Empty once the request has ended.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ahead: Vec<Place>,
}

/// Whether a request runs, and how it ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum RequestStatus {
    /// It is in progress, or waits in the queue.
    #[default]
    Running,
    /// Somebody has paused it.
    Paused,
    /// It waits, because the definition of the flow has changed ahead of it.
    Parked,
    /// It has succeeded.
    Success,
    /// A step failed, and the failure handler of the flow answered.
    Recovered,
    /// It has failed.
    Failure,
    /// Somebody has stopped it.
    Stopped,
    /// A status that only a later version knows.
    #[serde(other)]
    Unknown,
}

impl RequestStatus {
    /// The status as it is written in answers and in queries.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            RequestStatus::Running => "running",
            RequestStatus::Paused => "paused",
            RequestStatus::Parked => "parked",
            RequestStatus::Success => "success",
            RequestStatus::Recovered => "recovered",
            RequestStatus::Failure => "failure",
            RequestStatus::Stopped => "stopped",
            RequestStatus::Unknown => "unknown",
        }
    }

    /// Whether a request with this status has ended. It can only go on if somebody redrives it.
    #[must_use]
    pub fn is_end(self) -> bool {
        use RequestStatus::{Failure, Recovered, Stopped, Success};
        matches!(self, Success | Recovered | Failure | Stopped)
    }
}

impl fmt::Display for RequestStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A place: what one invocation of the flow function executes of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Place {
    /// Where it is in the definition, such as `1`, or `1.0/2` in a branch. After a redrive, the generation follows: `2@1`.
    pub place: String,
    /// The branches that it is in, outermost first, and `item-17` for item 17 of a for-each, counted from 1.
    pub path: Vec<String>,
    /// The label of the item that it is in, if its author has given it one. If the items around it have labels too, they come
    /// first, as in `portrait.jpg / left eye`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// The number of its phase, from 1.
    pub phase: u32,
    /// The names of its steps.
    pub steps: Vec<String>,
    /// How far it is.
    pub status: PlaceStatus,
    /// The id of its invocation, with which the queue lists it. The first place has that of the call that began the request, which is
    /// not recorded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub call_id: Option<String>,
    /// When the envelope of the delivery that ended was put into the queue, in milliseconds since the Unix epoch; absent if that is not
    /// known, or if it came from no queue.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queued_ms: Option<u64>,
    /// When it began, in milliseconds since the Unix epoch; absent if that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub began_ms: Option<u64>,
    /// When it ended, in milliseconds since the Unix epoch; absent before its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub done_ms: Option<u64>,
    /// When the delivery that ended began, in milliseconds since the Unix epoch. It differs from [`began_ms`](Place::began_ms) if
    /// deliveries before it were given up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_began_ms: Option<u64>,
    /// How often it was delivered. More than 1 means that deliveries were given up and came again.
    pub attempts: u32,
    /// The deliveries that were given up, in order: the last 20 of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub given_up: Vec<Attempt>,
    /// When its steps were executed in the delivery that ended, in the order in which they ended. It is empty for a single step with a
    /// single call. If there were more than 30, those that failed are kept first, then those in no branch or item.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub step_times: Vec<StepTimes>,
    /// How many steps are left out of `step_times`.
    #[serde(skip_serializing_if = "is_zero")]
    pub unlisted_steps: u64,
    /// Why it failed, or why its last delivery was given up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<RequestReason>,
    /// The answer of the function that made it fail, if that is why, and if it was kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer: Option<FunctionAnswer>,
    /// What is recorded of its output, once it is done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<Output>,
    /// The branch that it chose, if it ended at a choice.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chosen: Option<String>,
    /// The requests that its calls start in other flows, if these remember their requests. Those of calls
    /// for each item of a for-each are left out, and so are all of them before the place begins.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub called: Vec<CalledRequest>,
    /// The items or branches that come after it, if it ended at a for-each or a graph.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub members: Option<Members>,
    /// Those of the items that the status does not list; absent if it lists all that failed and all that are in progress.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unlisted: Option<Unlisted>,
    /// What it waits for, if it has not begun.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waits_for: Option<WaitsFor>,
    /// What became of it before the request was redriven: the last 5 generations in which it is recorded, the earliest first. A success
    /// that is used again is left out, and so is everything from before the definition of the flow changed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub earlier: Vec<EarlierGeneration>,
}

/// The request that a call starts in the function that it calls. Whether the function is a flow that remembers its requests, and whether the
/// call was made, is not known here: such a request exists if that flow knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct CalledRequest {
    /// The number of the step that calls.
    pub step: u32,
    /// The function.
    pub function: String,
    /// The id of the request there. It is derived from the idempotency key of the call, so it is the same for each attempt.
    pub request: String,
}

/// Items that the status of a request does not list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Unlisted {
    /// Those that have failed.
    pub failed: u64,
    /// Those that have begun and not ended.
    pub open: u64,
    /// Those of the open ones of which a delivery was given up.
    pub retrying: u64,
}

/// What a place waits for that has not begun.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct WaitsFor {
    /// What has to happen first.
    pub what: Waits,
    /// The places that this is about.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub places: Vec<String>,
}

/// What has to happen before a place begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Waits {
    /// The places have to end. If there are several, they are in different branches of a choice, and it waits for the one that is
    /// taken.
    #[default]
    Places,
    /// The branches that begin at the places have to end.
    Branches,
    /// Enough of the items or branches that the place began have to end.
    Members,
    /// Another item has to end, because only so many are in progress at once.
    Slot,
    /// The request has to be resumed.
    Resume,
    /// Something that only a later version knows.
    #[serde(other)]
    Unknown,
}

/// What became of a place in an earlier generation of its request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct EarlierGeneration {
    /// The generation: 0 before the first redrive.
    pub generation: u64,
    /// The place in that generation, by which its payloads can be asked for.
    pub place: String,
    /// How far it came.
    pub status: PlaceStatus,
    /// When it began, in milliseconds since the Unix epoch; absent if that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub began_ms: Option<u64>,
    /// When it ended, in milliseconds since the Unix epoch; absent if it did not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub done_ms: Option<u64>,
    /// When the delivery that ended began, in milliseconds since the Unix epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_began_ms: Option<u64>,
    /// How often it was delivered.
    pub attempts: u32,
    /// The deliveries that were given up, as in [`Place`].
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub given_up: Vec<Attempt>,
    /// When its steps were executed in the delivery that ended, as in [`Place`].
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub step_times: Vec<StepTimes>,
    /// How many steps are left out of `step_times`.
    #[serde(skip_serializing_if = "is_zero")]
    pub unlisted_steps: u64,
    /// Why it failed, or why its last delivery was given up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<RequestReason>,
    /// The answer of the function that made it fail, if that is why, and if it was kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer: Option<FunctionAnswer>,
    /// Whether `given_up`, `step_times` and `answer` are left out, because the answer has reached its limit of details.
    #[serde(skip_serializing_if = "is_false")]
    pub details_left_out: bool,
}

/// The answer of a function, without its body.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct FunctionAnswer {
    /// Its status.
    pub status: u16,
    /// The size of its body, in bytes. Only the first 64 KiB are kept.
    pub bytes: u64,
    /// Its content type, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
}

/// How far a place is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum PlaceStatus {
    /// It has not ended, and the request is paused or parked. It may still be in progress, because what had begun before goes on.
    Waiting,
    /// It is in progress, or waits in the queue.
    #[default]
    Running,
    /// A delivery was given up, and it will be delivered again.
    Retrying,
    /// It has succeeded.
    Done,
    /// A step failed, and a failure handler gave a result.
    Recovered,
    /// It has failed.
    Failed,
    /// It has ended the request with an answer of its own.
    Replied,
    /// It will not end any more, because it is not needed: the request has ended, or the join after its branch was decided. It
    /// may never have begun.
    Stopped,
    /// A status that only a later version knows.
    #[serde(other)]
    Unknown,
}

impl PlaceStatus {
    /// The status as it is written in answers.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            PlaceStatus::Waiting => "waiting",
            PlaceStatus::Running => "running",
            PlaceStatus::Retrying => "retrying",
            PlaceStatus::Done => "done",
            PlaceStatus::Recovered => "recovered",
            PlaceStatus::Failed => "failed",
            PlaceStatus::Replied => "replied",
            PlaceStatus::Stopped => "stopped",
            PlaceStatus::Unknown => "unknown",
        }
    }

    /// Whether a place with this status has ended.
    #[must_use]
    pub fn is_end(self) -> bool {
        use PlaceStatus::{Done, Failed, Recovered, Replied, Stopped};
        matches!(self, Done | Recovered | Failed | Replied | Stopped)
    }
}

impl fmt::Display for PlaceStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Why a request or a place is what it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct RequestReason {
    /// The place where it happened. The reason of a place does not repeat it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    /// The number of the step in the flow, as in log lines.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<u32>,
    /// The name of the step.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The reason, as text for people.
    pub text: String,
    /// The code of the error, such as `FF0310`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
}

/// What is recorded of an output.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Output {
    /// Its size, in bytes.
    pub bytes: u64,
    /// Its content type, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
}

/// The items of a for-each or the branches of a graph, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Members {
    /// All items or branches: the sum of the counts below.
    pub all: u64,
    /// How many of them may be in progress at once; absent if there is no limit. Items with a higher number wait until others have ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at_most: Option<u64>,
    /// Those that have not begun, or may not have because the request is paused or parked.
    pub waiting: u64,
    /// Those that are in progress, or wait in the queue.
    pub running: u64,
    /// Those that have succeeded.
    pub done: u64,
    /// Those that have failed.
    pub failed: u64,
    /// Those that will not end any more, because they are not needed.
    pub stopped: u64,
}

/// The status of a request after a change: the answer of [`PAUSE`](crate::paths::PAUSE), [`RESUME`](crate::paths::RESUME),
/// [`STOP`](crate::paths::STOP), [`REDRIVE_REQUEST`](crate::paths::REDRIVE_REQUEST) and [`AGAIN`](crate::paths::AGAIN).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct RequestChange {
    /// The version of the answer: [`REQUESTS_VERSION`].
    pub version: u32,
    /// The id of the request.
    pub id: String,
    /// Its status now.
    pub status: RequestStatus,
    /// How often it was redriven; only in the answer to a redrive.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generation: Option<u64>,
    /// The id of the request that it repeats; only in the answer to [`AGAIN`](crate::paths::AGAIN).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repeats: Option<String>,
}

/// What was done about requests that did not move: the answer of [`RECOVER`](crate::paths::RECOVER).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Recovery {
    /// The version of the answer: [`REQUESTS_VERSION`].
    pub version: u32,
    /// How many requests were looked at.
    pub looked_at: u64,
    /// The requests that go on.
    pub recovered: Vec<RecoveredRequest>,
    /// The requests that could not be made to go on.
    pub failed: Vec<UnrecoveredRequest>,
    /// How many requests were removed because their time is over.
    pub removed: u64,
    /// How long a request must not have moved, in milliseconds: what was asked for, or longer because a phase may take longer.
    pub older_ms: u64,
    /// Where to go on with another call: the parameter `cursor`. Absent if all requests were looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// A request that did not move, and goes on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct RecoveredRequest {
    /// The id of the request.
    pub id: String,
    /// How many envelopes were put into the queue for it.
    pub tokens: u64,
}

/// A request that did not move, and could not be made to go on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct UnrecoveredRequest {
    /// The id of the request.
    pub id: String,
    /// Why it does not go on.
    pub reason: String,
}

/// Why a flow refuses something about a request: the body of its answers that are errors.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct RequestProblem {
    /// The id of the request, if the problem is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// The reason, as text for people.
    pub reason: String,
    /// The code of the error. It is also in the header `X-Faasflow-Error-Code`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The status of the request, if that is what the answer is about (409).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<RequestStatus>,
}
