//! The list of a flow's requests, which state managers keep for flows that remember their requests.

use std::fmt;
use std::str::FromStr;

use crate::outcome::Outcome;

/// What a remembered request is doing, or how it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Status {
    /// It is in progress.
    Running,
    /// It is in progress, but no further place begins until it is resumed.
    Paused,
    /// It cannot go on with the definition that is deployed. Someone has to decide what becomes of it.
    Parked,
    /// It ended, and every step succeeded.
    Success,
    /// It ended, and a failure handler has recovered it.
    Recovered,
    /// It ended with a failure.
    Failure,
    /// It ended because someone stopped it.
    Stopped,
}

impl Status {
    /// All statuses.
    pub const ALL: [Status; 7] = [
        Status::Running,
        Status::Paused,
        Status::Parked,
        Status::Success,
        Status::Recovered,
        Status::Failure,
        Status::Stopped,
    ];

    /// The word for it in the API, in stores and in logs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Running => "running",
            Status::Paused => "paused",
            Status::Parked => "parked",
            Status::Success => "success",
            Status::Recovered => "recovered",
            Status::Failure => "failure",
            Status::Stopped => "stopped",
        }
    }

    /// Whether the request has ended.
    #[must_use]
    pub fn has_ended(self) -> bool {
        !matches!(self, Status::Running | Status::Paused | Status::Parked)
    }
}

impl From<Outcome> for Status {
    fn from(outcome: Outcome) -> Status {
        match outcome {
            Outcome::Success => Status::Success,
            Outcome::Recovered => Status::Recovered,
            Outcome::Failure => Status::Failure,
            Outcome::Stopped => Status::Stopped,
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Status {
    type Err = UnknownStatus;

    fn from_str(text: &str) -> Result<Status, UnknownStatus> {
        let found = Status::ALL.into_iter().find(|status| status.as_str() == text);
        found.ok_or_else(|| UnknownStatus(text.to_owned()))
    }
}

/// The error of a text that is not a [`Status`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a status: expected `running`, `paused`, `parked`, `success`, `recovered`, `failure` or `stopped`"
)]
pub struct UnknownStatus(String);

/// One line of the list of a flow's requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The request id.
    pub request: String,
    /// When the request started, in milliseconds since the Unix epoch.
    pub started_ms: u64,
    /// What it is doing, or how it ended.
    pub status: Status,
}

/// Where a line is in the list. The list is ordered by the time at which the requests started and then by their ids, and is
/// read from the newest to the oldest.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ListPosition {
    /// When the request started, in milliseconds since the Unix epoch.
    pub started_ms: u64,
    /// The request id.
    pub request: String,
}

/// Which lines of the list to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListQuery {
    /// Only requests with this status.
    pub status: Option<Status>,
    /// Only requests that started at this time or later, in milliseconds since the Unix epoch.
    pub since_ms: u64,
    /// Only requests further down the list than this position, which is the last one that was read before.
    pub after: Option<ListPosition>,
    /// The largest number of lines.
    pub limit: usize,
}

impl ListQuery {
    /// The newest requests, whatever their status.
    #[must_use]
    pub fn newest(limit: usize) -> ListQuery {
        ListQuery { status: None, since_ms: 0, after: None, limit }
    }

    /// Whether a line is one of those asked for, apart from their number.
    #[must_use]
    pub fn includes(&self, line: &Listed) -> bool {
        let is_after = |position: &ListPosition| {
            (line.started_ms, line.request.as_str()) < (position.started_ms, position.request.as_str())
        };
        self.status.is_none_or(|status| status == line.status)
            && line.started_ms >= self.since_ms
            && self.after.as_ref().is_none_or(is_after)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_read_as_they_are_written() {
        for status in Status::ALL {
            assert_eq!(status.as_str().parse(), Ok(status));
        }
        let unknown = "done".parse::<Status>().unwrap_err();
        assert!(unknown.to_string().starts_with("`done` is not a status: expected `running`"));
    }

    #[test]
    fn a_query_continues_after_a_position() {
        let line = |started_ms, request: &str| Listed { request: request.into(), started_ms, status: Status::Running };
        let after = Some(ListPosition { started_ms: 5, request: "b".into() });
        let query = ListQuery { after, since_ms: 3, ..ListQuery::newest(10) };
        assert!(query.includes(&line(5, "a")) && query.includes(&line(3, "z")));
        assert!(!query.includes(&line(5, "b")) && !query.includes(&line(6, "a")) && !query.includes(&line(2, "a")));
        let failed = ListQuery { status: Some(Status::Failure), ..ListQuery::newest(10) };
        assert!(!failed.includes(&line(5, "a")));
    }
}
