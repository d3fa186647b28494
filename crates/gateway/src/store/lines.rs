//! The list of requests that are remembered.

use faasflow_core::state::{ListPosition, ListQuery, Listed, Status};
use faasflow_http::now_ms;
use redb::{ReadTransaction, ReadableTable as _, Table, WriteTransaction};

use super::error::StoreError;
use super::tables::{BY_STATUS, BY_TIME, LINES, SCOPES, Scope, ScopeKey};

/// The tables of the list in a transaction. Every line has an entry in [`SCOPES`], with which it expires.
pub(super) struct Lines<'a> {
    lines: Table<'a, ScopeKey, (u64, u8, Option<u64>)>,
    by_time: Table<'a, (&'static str, &'static str, u64, &'static str), u8>,
    by_status: Table<'a, (&'static str, &'static str, u8, u64, &'static str), ()>,
}

impl<'a> Lines<'a> {
    pub(super) fn new(write: &'a WriteTransaction) -> Result<Lines<'a>, StoreError> {
        let (by_time, by_status) = (write.open_table(BY_TIME)?, write.open_table(BY_STATUS)?);
        Ok(Lines { lines: write.open_table(LINES)?, by_time, by_status })
    }

    /// Puts a request on the list, or replaces its line. Returns the status that it had. `known_ms` is for how long its values that outlive
    /// it stay after the others.
    pub(super) fn put(
        &mut self,
        scope: &Scope,
        started_ms: u64,
        status: Status,
        known_ms: Option<u64>,
    ) -> Result<Option<Status>, StoreError> {
        let was = self.remove(scope)?;
        let ((function, flow, request), code) = (scope.key(), code(status));
        self.lines.insert(scope.key(), (started_ms, code, known_ms))?;
        self.by_time.insert((function, flow, started_ms, request), code)?;
        self.by_status.insert((function, flow, code, started_ms, request), ())?;
        Ok(was)
    }

    /// Takes a request from the list. Returns the status that it had; `None` if it was not there.
    pub(super) fn remove(&mut self, scope: &Scope) -> Result<Option<Status>, StoreError> {
        let line = self.lines.remove(scope.key())?.map(|line| line.value());
        let Some((started_ms, code, _)) = line else { return Ok(None) };
        let (function, flow, request) = scope.key();
        self.by_time.remove((function, flow, started_ms, request))?;
        self.by_status.remove((function, flow, code, started_ms, request))?;
        status(code).map(Some)
    }

    /// For how long the values that outlive a request stay after the others, in milliseconds, if it has ended.
    pub(super) fn known_ms(&self, scope: &Scope) -> Result<Option<u64>, StoreError> {
        Ok(self.lines.get(scope.key())?.and_then(|line| line.value().2))
    }
}

/// Reads lines of the list of a flow, from the newest to the oldest, without those that have expired.
pub(super) fn read(
    read: &ReadTransaction,
    function: &str,
    flow: &str,
    query: &ListQuery,
) -> Result<Vec<Listed>, StoreError> {
    let scopes = read.open_table(SCOPES)?;
    let now_ms = now_ms();
    let mut found = Vec::new();
    // Returns whether the next line is needed.
    let mut add = |started_ms: u64, request: &str, code: u8| {
        let expires_ms = scopes.get((function, flow, request))?.map(|record| record.value().2);
        if expires_ms.is_some_and(|expires_ms| expires_ms > now_ms) && found.len() < query.limit {
            found.push(Listed { request: request.to_owned(), started_ms, status: status(code)? });
        }
        Ok::<_, StoreError>(found.len() < query.limit)
    };
    let (end_ms, end) = match &query.after {
        None => (u64::MAX, ""),
        Some(ListPosition { started_ms, request }) => (*started_ms, request.as_str()),
    };
    if query.since_ms > end_ms || query.limit == 0 {
        return Ok(found);
    }
    match query.status {
        None => {
            let lines = read.open_table(BY_TIME)?;
            for entry in lines.range((function, flow, query.since_ms, "")..(function, flow, end_ms, end))?.rev() {
                let (key, code) = entry?;
                let (_, _, started_ms, request) = key.value();
                if !add(started_ms, request, code.value())? {
                    break;
                }
            }
        }
        Some(status) => {
            let (lines, code) = (read.open_table(BY_STATUS)?, code(status));
            let range = (function, flow, code, query.since_ms, "")..(function, flow, code, end_ms, end);
            for entry in lines.range(range)?.rev() {
                let (key, _) = entry?;
                let (_, _, code, started_ms, request) = key.value();
                if !add(started_ms, request, code)? {
                    break;
                }
            }
        }
    }
    Ok(found)
}

/// The number that stands for a status in the file.
fn code(status: Status) -> u8 {
    match status {
        Status::Running => 0,
        Status::Paused => 1,
        Status::Parked => 2,
        Status::Success => 3,
        Status::Recovered => 4,
        Status::Failure => 5,
        Status::Stopped => 6,
    }
}

fn status(code: u8) -> Result<Status, StoreError> {
    let status = Status::ALL.into_iter().find(|status| self::code(*status) == code);
    status.ok_or_else(|| StoreError::storage("a request is listed with an unknown status"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Stores that were written by an earlier version contain these numbers.
    #[test]
    fn statuses_have_the_same_numbers_in_every_version() {
        let names: Vec<&str> = (0..7).map(|code| status(code).unwrap().as_str()).collect();
        assert_eq!(names, ["running", "paused", "parked", "success", "recovered", "failure", "stopped"]);
        assert!(status(7).is_err());
    }
}
