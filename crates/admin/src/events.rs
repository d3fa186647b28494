//! What happens at the gateway now, and what has happened in the last hour.

use serde::{Deserialize, Serialize};

use crate::queue::QueueStats;
use crate::requests::RequestStatus;

/// The version of the events and of the other answers in this module. Each names its version, and later versions only add fields.
pub const EVENTS_VERSION: u32 = 1;
/// The name of the event that says everything: [`GatewayEvent`] with every list complete. It comes first, and again when events were
/// lost.
pub const SNAPSHOT_EVENT: &str = "snapshot";
/// The name of the event that says what has changed since the event before it.
pub const CHANGE_EVENT: &str = "change";
/// How many answers of [`EVENTS`](crate::paths::EVENTS) a gateway sends at once.
pub const MOST_EVENT_STREAMS: usize = 32;
/// How many minutes a list of figures has: the current minute comes last.
pub const MINUTES: usize = 60;

/// The data of an event of [`EVENTS`](crate::paths::EVENTS). What has not changed is left out. Counts are since the gateway started,
/// so they are exact even if an event was missed. The lists of calls and requests are samples.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct GatewayEvent {
    /// The version of the answer: [`EVENTS_VERSION`].
    pub version: u32,
    /// When it was made, in milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// The state of the queue.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue: Option<QueueStats>,
    /// All functions, if one was added or removed, or accepts requests now, or no longer does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub functions: Option<Vec<FunctionHealth>>,
    /// The counts of functions.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub calls: Vec<CallCounts>,
    /// The counts of flows.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub requests: Vec<RequestCounts>,
    /// Some of the calls that have ended.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ended: Vec<EndedCall>,
    /// Some of the requests of flows that have changed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub changed: Vec<ChangedRequest>,
    /// How many calls and requests are not in these two lists, because there were too many.
    pub left_out: u64,
}

impl GatewayEvent {
    /// Whether it says that something has changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let lists =
            self.calls.is_empty() && self.requests.is_empty() && self.ended.is_empty() && self.changed.is_empty();
        lists && self.queue.is_none() && self.functions.is_none() && self.left_out == 0
    }
}

/// How many replicas of a function accept requests.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct FunctionHealth {
    /// Its name.
    pub name: String,
    /// How many replicas there should be; 1 for a process.
    pub replicas: u32,
    /// How many accept requests now.
    pub available: u64,
}

/// The calls of a function.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct CallCounts {
    /// The function.
    pub function: String,
    /// How many have ended. Each attempt counts.
    pub calls: u64,
    /// How many of them failed, which means that the status was 400 or above. A call whose caller went away (499) does not count.
    pub failures: u64,
    /// How many are in progress.
    pub in_progress: u64,
}

/// The requests of a flow that the gateway's store remembers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct RequestCounts {
    /// The flow.
    pub flow: String,
    /// How many have begun.
    pub begun: u64,
    /// How many have ended. One that is redriven ends again.
    pub ended: u64,
    /// How many of those ended as `failure`.
    pub failed: u64,
}

/// A call that has ended.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct EndedCall {
    /// The function.
    pub function: String,
    /// The flow that called it, if that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flow: Option<String>,
    /// The number of the step in that flow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<usize>,
    /// The id of the request that it belongs to, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
    /// The status of the answer; 499 if the caller went away before it.
    pub status: u16,
    /// How long it took until the answer began, in milliseconds.
    pub duration_ms: f64,
}

/// A request of a flow that has changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct ChangedRequest {
    /// The flow.
    pub flow: String,
    /// The id of the request.
    pub id: String,
    /// Its status, if the gateway's store has recorded another one; absent if the request only moved on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<RequestStatus>,
}

/// The last hour of the gateway: the answer of [`ACTIVITY`](crate::paths::ACTIVITY). A list of figures has one for each of the last
/// [`MINUTES`] minutes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Activity {
    /// The version of the answer: [`EVENTS_VERSION`].
    pub version: u32,
    /// When it was read, in milliseconds since the Unix epoch. The last figure of each list is that of the minute of this time.
    pub at_ms: u64,
    /// How many calls of functions ended in each minute.
    pub calls: Vec<u64>,
    /// How many of them failed.
    pub failures: Vec<u64>,
    /// How many requests of flows began in each minute, as far as the gateway's store remembers them.
    pub begun: Vec<u64>,
    /// How many requests of flows failed in each minute.
    pub failed: Vec<u64>,
    /// The most calls and callbacks that were in the queue at once in each minute.
    pub queue: Vec<u64>,
    /// Each function, by name.
    pub functions: Vec<FunctionActivity>,
}

/// The last hour of a function.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct FunctionActivity {
    /// Its name.
    pub name: String,
    /// Its calls.
    #[serde(flatten)]
    pub measured: Measured,
}

/// Calls of the last hour.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Measured {
    /// How many have ended.
    pub calls: u64,
    /// How many of them failed.
    pub failures: u64,
    /// How many are in progress now.
    pub in_progress: u64,
    /// Half of them took no longer than this until the answer began, in milliseconds; absent without calls. It is up to a tenth more
    /// or less.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p50_ms: Option<f64>,
    /// The same for 95 of 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p95_ms: Option<f64>,
}

/// The last hour of a flow: the answer of [`FLOW_ACTIVITY`](crate::paths::FLOW_ACTIVITY).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct FlowActivity {
    /// The version of the answer: [`EVENTS_VERSION`].
    pub version: u32,
    /// When it was read, in milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// How many of its requests began in each minute, as far as the gateway's store remembers them.
    pub begun: Vec<u64>,
    /// How many of its requests failed in each minute.
    pub failed: Vec<u64>,
    /// How many of its calls are in the queue: requests that wait for their next phase, or are in one.
    pub queued: u64,
    /// The steps that called a function, by number.
    pub steps: Vec<StepActivity>,
}

/// The last hour of a step: the calls that the gateway forwarded for it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct StepActivity {
    /// The number of the step in the flow.
    pub step: usize,
    /// The function that it called last.
    pub function: String,
    /// Its calls.
    #[serde(flatten)]
    pub measured: Measured,
    /// Its latest calls that failed, newest first.
    pub latest_failures: Vec<FailedCall>,
}

/// A call that failed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct FailedCall {
    /// When it ended, in milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// The id of the request.
    pub request: String,
    /// The status of the answer.
    pub status: u16,
    /// How long it took until the answer began, in milliseconds.
    pub duration_ms: f64,
}
