//! How a branch or an item ended.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::payload::Payload;

/// How a branch of a graph, or an item of a for-each, ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum MemberOutcome {
    /// It succeeded, or its own failure handler recovered it.
    Done,
    /// It failed.
    Failed,
    /// It did not begin, because a branch that it comes after failed, or because the join was decided before.
    NotBegun,
    /// It had not ended when the join was decided. Its result is not used.
    Dropped,
}

impl MemberOutcome {
    /// The name of the outcome in outputs and logs, such as `not_begun`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            MemberOutcome::Done => "done",
            MemberOutcome::Failed => "failed",
            MemberOutcome::NotBegun => "not_begun",
            MemberOutcome::Dropped => "dropped",
        }
    }
}

impl fmt::Display for MemberOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The result of a branch or an item: its output, or why there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MemberResult {
    /// It succeeded with this output.
    Done(Payload),
    /// It failed for this reason, which the caller may see.
    Failed(String),
    /// It ended in another way, without an output.
    Other(MemberOutcome),
}

impl MemberResult {
    /// How it ended.
    #[must_use]
    pub fn outcome(&self) -> MemberOutcome {
        match self {
            MemberResult::Done(_) => MemberOutcome::Done,
            MemberResult::Failed(_) => MemberOutcome::Failed,
            MemberResult::Other(outcome) => *outcome,
        }
    }

    /// The output, if it succeeded.
    #[must_use]
    pub fn output(&self) -> Option<&Payload> {
        match self {
            MemberResult::Done(output) => Some(output),
            _ => None,
        }
    }

    /// Why there is no output, in words that the caller may see.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        match self {
            MemberResult::Done(_) => None,
            MemberResult::Failed(reason) => Some(reason),
            MemberResult::Other(MemberOutcome::NotBegun) => Some("it was not begun"),
            MemberResult::Other(_) => Some("it had not ended when the join was decided"),
        }
    }

    /// The output, or an error that names the member.
    pub(super) fn into_output(self, member: impl fmt::Display) -> Result<Payload> {
        match self {
            MemberResult::Done(output) => Ok(output),
            other => Err(Error::msg(format!(
                "{member} has no output: {}",
                other.reason().unwrap_or("its output was taken before")
            ))),
        }
    }
}

/// Writes members into the output of a join without a handler, as JSON text. The text of each output is kept as it is.
pub(super) mod json {
    use std::fmt;

    use super::{MemberOutcome, MemberResult};
    use crate::error::{Error, Result};
    use crate::payload::Payload;

    /// An output as JSON text. It is an error if the output is not JSON.
    pub(in super::super) fn text(member: impl fmt::Display, output: &Payload) -> Result<&str> {
        let text = std::str::from_utf8(output.bytes()).ok();
        let text = text.filter(|text| serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok());
        text.map(str::trim).ok_or_else(|| {
            Error::refused(format!("the output of {member} is not JSON, which a join without a handler needs"))
        })
    }

    /// `{"outcome": …, "output": …}`, or `{"outcome": …, "reason": …}`.
    pub(in super::super) fn outcome(member: impl fmt::Display, result: &MemberResult) -> Result<String> {
        let outcome = result.outcome();
        Ok(match result {
            MemberResult::Done(output) => {
                format!(r#"{{"outcome":"{}","output":{}}}"#, MemberOutcome::Done, text(member, output)?)
            }
            _ => {
                let reason = serde_json::to_string(result.reason().unwrap_or_default())?;
                format!(r#"{{"outcome":"{outcome}","reason":{reason}}}"#)
            }
        })
    }
}
