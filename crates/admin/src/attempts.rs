//! The deliveries of a place, the steps that they executed, and the calls that these made.

use serde::{Deserialize, Serialize};

/// A delivery of a place that was given up.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Attempt {
    /// When it began, in milliseconds since the Unix epoch; absent if its process died.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub began_ms: Option<u64>,
    /// When it was given up, or when that was noticed, in milliseconds since the Unix epoch.
    pub given_up_ms: u64,
    /// Why it was given up, as text for people.
    pub text: String,
    /// The code of that reason, such as `FF0405`.
    pub code: String,
    /// When its steps were executed. It is empty for a single step with a single call, and for all but the last 3 attempts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub step_times: Vec<StepTimes>,
    /// How many steps are left out of `step_times`.
    #[serde(skip_serializing_if = "is_zero")]
    pub unlisted_steps: u64,
}

/// When a step was executed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct StepTimes {
    /// The number of the step, from 1.
    pub step: u32,
    /// The name of the step.
    pub name: String,
    /// The path of the branch or item inside the place, such as `pages/item-3`; absent if it is in none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// When it began, in milliseconds since the Unix epoch.
    pub began_ms: u64,
    /// When it ended, in milliseconds since the Unix epoch.
    pub done_ms: u64,
    /// Whether it failed, or met an outage that did not end in time.
    pub failed: bool,
    /// The last 10 calls of its function or callback, in order. Between them, it waited.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub calls: Vec<CallTimes>,
    /// How many calls there were before those.
    #[serde(skip_serializing_if = "is_zero")]
    pub earlier_calls: u64,
}

/// One call of a function or callback.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct CallTimes {
    /// When it began, in milliseconds since the Unix epoch.
    pub began_ms: u64,
    /// When it ended, in milliseconds since the Unix epoch.
    pub done_ms: u64,
    /// The status of the answer; absent if there was none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Why there was no answer, as text for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
pub(crate) fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
pub(crate) fn is_false(flag: &bool) -> bool {
    !flag
}
