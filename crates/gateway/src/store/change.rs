//! The changes to the tables.

use std::collections::VecDeque;

use faasflow_core::state::Status;
use faasflow_http::now_ms;
use redb::{ReadableTable as _, Table, WriteTransaction};

use super::error::StoreError;
use super::lines::Lines;
use super::rows;
use super::tables::{Content, EXPIRY, FILES, GARBAGE, Groups, Head, SCOPES, Scope, ScopeKey, Stored, VALUES, groups};

/// Requests expire on the hour, so that most writes leave the time of expiry as it is.
const EXPIRY_STEP_MS: u64 = 3_600_000;
/// How many values, and how many requests, one step of the removal removes. A step takes a few milliseconds, for which others wait.
const REMOVED_AT_ONCE: usize = 500;

/// A change to the store.
#[derive(Debug)]
pub(super) enum Change {
    /// Writes a value if the condition holds. The version is the number of the write. If a request begins with it, at the time
    /// `started_ms`, the request is listed as running.
    Write { scope: Scope, key: String, version: u64, content: Content, condition: Condition, started_ms: Option<u64> },
    /// Writes values in their order, until the key of one exists.
    Create { scope: Scope, values: Vec<NewRecord> },
    /// Removes a value.
    Remove { scope: Scope, key: String },
    /// Lists a request, or changes its status. It no longer expires soon.
    List { scope: Scope, started_ms: u64, status: Status },
    /// Changes the status of a request, and lets its values and its line expire after `keep_ms`. Those that outlive it stay for
    /// `known_ms` after that.
    Retire { scope: Scope, started_ms: u64, status: Status, keep_ms: u64, known_ms: u64 },
    /// Removes the line and the values of a request. Those that outlive it stay for this long, in milliseconds; `None` removes all.
    End { scope: Scope, keep_ms: Option<u64> },
    /// Removes some of what has expired, and of what ended requests have left.
    Collect,
}

/// A value to create. The version is the number of the write.
#[derive(Debug)]
pub(super) struct NewRecord {
    pub(super) key: String,
    pub(super) version: u64,
    pub(super) content: Content,
}

/// When a value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Condition {
    Always,
    /// If there is none.
    Absent,
    /// If it has this version.
    Version(u64),
}

impl Condition {
    fn holds(self, found: Option<Head>) -> bool {
        match self {
            Condition::Always => true,
            Condition::Absent => found.is_none(),
            Condition::Version(expected) => found.is_some_and(|head| head.version == expected),
        }
    }
}

/// The outcome of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Done,
    /// A request is listed with the status of the change. Before, it had this status; `None` if it was not listed.
    Listed(Option<Status>),
    /// The condition of a write does not hold.
    NotWritten,
    /// So many values were created before one whose key existed.
    Created(usize),
    /// There is more to collect.
    More,
}

/// Makes changes in a transaction. The tables are opened once for all changes.
pub(super) struct Changes<'a> {
    scopes: Table<'a, ScopeKey, (u64, u64, u64)>,
    expiry: Table<'a, (u64, &'static str, &'static str, &'static str), ()>,
    values: Table<'a, (u64, &'static str), &'static [u8]>,
    garbage: Table<'a, u64, ()>,
    files: Table<'a, u64, ()>,
    lines: Lines<'a>,
    /// How long the values of a request are kept after its last write.
    ttl_ms: u64,
    now_ms: u64,
    /// Numbers for new groups.
    next: &'a dyn Fn() -> u64,
    /// Files that no value refers to any longer, once the transaction is on disk.
    pub(super) unused: Vec<u64>,
    /// Whether anything has changed.
    pub(super) changed: bool,
}

impl<'a> Changes<'a> {
    pub(super) fn new(
        write: &'a WriteTransaction,
        ttl_ms: u64,
        next: &'a dyn Fn() -> u64,
    ) -> Result<Changes<'a>, StoreError> {
        Ok(Changes {
            scopes: write.open_table(SCOPES)?,
            expiry: write.open_table(EXPIRY)?,
            values: write.open_table(VALUES)?,
            garbage: write.open_table(GARBAGE)?,
            files: write.open_table(FILES)?,
            lines: Lines::new(write)?,
            ttl_ms,
            now_ms: now_ms(),
            next,
            unused: Vec::new(),
            changed: false,
        })
    }

    /// Makes a change.
    ///
    /// # Errors
    ///
    /// The outer error fails the transaction. The inner one fails only this change, which has had no effect.
    pub(super) fn apply(&mut self, change: &Change) -> Result<Result<Outcome, StoreError>, StoreError> {
        match change {
            Change::Write { scope, key, version, content, condition, started_ms } => {
                let written = self.write_value(scope, key, *version, content, *condition)?;
                if let (Ok(Outcome::Done), Some(started_ms)) = (&written, started_ms) {
                    self.lines.put(scope, *started_ms, Status::Running, None)?;
                }
                return Ok(written);
            }
            Change::Create { scope, values } => return self.create(scope, values),
            Change::Remove { scope, key } => {
                let group = groups(&self.scopes, scope)?.of(key);
                if group != 0 {
                    self.remove_value(group, key)?;
                }
            }
            Change::List { scope, started_ms, status } => {
                let before = self.unexpired(scope)?;
                self.changed = true;
                let was = self.lines.put(scope, *started_ms, *status, None)?;
                self.put_groups(scope, before, Groups { expires_ms: self.later(before), ..before })?;
                return Ok(Ok(Outcome::Listed(was)));
            }
            Change::Retire { scope, keep_ms: 0, known_ms, .. } => {
                return Ok(Ok(Outcome::Listed(self.end(scope, Some(*known_ms))?)));
            }
            Change::Retire { scope, started_ms, status, keep_ms, known_ms } => {
                self.changed = true;
                let was = self.lines.put(scope, *started_ms, *status, Some(*known_ms))?;
                let before = groups(&self.scopes, scope)?;
                let expires_ms = self.now_ms.saturating_add(*keep_ms);
                self.put_groups(scope, before, Groups { expires_ms, ..before })?;
                return Ok(Ok(Outcome::Listed(was)));
            }
            Change::End { scope, keep_ms } => drop(self.end(scope, *keep_ms)?),
            Change::Collect => return self.collect().map(Ok),
        }
        Ok(Ok(Outcome::Done))
    }

    fn write_value(
        &mut self,
        scope: &Scope,
        key: &str,
        version: u64,
        content: &Content,
        condition: Condition,
    ) -> Result<Result<Outcome, StoreError>, StoreError> {
        let before = self.unexpired(scope)?;
        let mut after = before;
        let group = match after.of_mut(key) {
            group if *group == 0 => {
                *group = (self.next)();
                *group
            }
            group => *group,
        };
        let found = rows::find(&self.values, group, key, Head::decode);
        let found = match found {
            Ok(found) if condition.holds(found) => found,
            refused => {
                if let Content::File { number, .. } = content {
                    self.unused.push(*number);
                }
                return Ok(refused.map(|_| Outcome::NotWritten));
            }
        };
        self.changed = true;
        rows::put(&mut self.values, group, key, &Stored { version, content: content.clone() })?;
        if let Content::File { number, .. } = content {
            self.files.insert(number, ())?;
        }
        if let Some((number, _)) = found.and_then(|head| head.file) {
            self.forget_file(number)?;
        }
        after.expires_ms = self.later(before);
        self.put_groups(scope, before, after)?;
        Ok(Ok(Outcome::Done))
    }

    fn create(&mut self, scope: &Scope, values: &[NewRecord]) -> Result<Result<Outcome, StoreError>, StoreError> {
        for (created, NewRecord { key, version, content }) in values.iter().enumerate() {
            match self.write_value(scope, key, *version, content, Condition::Absent)? {
                Ok(Outcome::Done) => {}
                // The caller gets the error when it tries this value again.
                Err(error) if created == 0 => return Ok(Err(error)),
                _ => return Ok(Ok(Outcome::Created(created))),
            }
        }
        Ok(Ok(Outcome::Created(values.len())))
    }

    /// The groups of a request. One that has expired gives them up first, because readers do not see them either.
    fn unexpired(&mut self, scope: &Scope) -> Result<Groups, StoreError> {
        let found = groups(&self.scopes, scope)?;
        if found == Groups::default() || found.expires_ms > self.now_ms {
            return Ok(found);
        }
        let known_ms = self.lines.known_ms(scope)?;
        self.end(scope, known_ms)?;
        groups(&self.scopes, scope)
    }

    /// When a request expires that is written now.
    fn later(&self, before: Groups) -> u64 {
        let expires_ms = self.now_ms.saturating_add(self.ttl_ms).div_ceil(EXPIRY_STEP_MS) * EXPIRY_STEP_MS;
        before.expires_ms.max(expires_ms)
    }

    /// Removes a request. Returns the status that it was listed with.
    fn end(&mut self, scope: &Scope, keep_ms: Option<u64>) -> Result<Option<Status>, StoreError> {
        let was = self.lines.remove(scope)?;
        self.changed |= was.is_some();
        let before = groups(&self.scopes, scope)?;
        let after = match keep_ms.filter(|keep_ms| *keep_ms > 0) {
            Some(keep_ms) if before.outliving != 0 => {
                Groups { own: 0, outliving: before.outliving, expires_ms: self.now_ms.saturating_add(keep_ms) }
            }
            _ => Groups::default(),
        };
        self.put_groups(scope, before, after)?;
        Ok(was)
    }

    /// Replaces the groups of a request. What it gives up is removed later.
    fn put_groups(&mut self, scope: &Scope, before: Groups, after: Groups) -> Result<(), StoreError> {
        if before == after {
            return Ok(());
        }
        self.changed = true;
        let (function, flow, request) = scope.key();
        if before.expires_ms != after.expires_ms {
            self.expiry.remove((before.expires_ms, function, flow, request))?;
            if after != Groups::default() {
                self.expiry.insert((after.expires_ms, function, flow, request), ())?;
            }
        }
        if after == Groups::default() {
            self.scopes.remove(scope.key())?;
        } else {
            self.scopes.insert(scope.key(), after.record())?;
        }
        for (was, is) in [(before.own, after.own), (before.outliving, after.outliving)] {
            if was != 0 && was != is {
                self.garbage.insert(was, ())?;
            }
        }
        Ok(())
    }

    fn remove_value(&mut self, group: u64, key: &str) -> Result<(), StoreError> {
        let Some(removed) = rows::remove(&mut self.values, group, key)? else { return Ok(()) };
        self.changed = true;
        match removed.ok().and_then(|head| head.file) {
            Some((number, _)) => self.forget_file(number),
            None => Ok(()),
        }
    }

    fn forget_file(&mut self, number: u64) -> Result<(), StoreError> {
        self.files.remove(number)?;
        self.unused.push(number);
        Ok(())
    }

    fn collect(&mut self) -> Result<Outcome, StoreError> {
        let mut expired = VecDeque::new();
        for entry in self.expiry.range(..(self.now_ms.saturating_add(1), "", "", ""))? {
            let (key, _) = entry?;
            let (_, function, flow, request) = key.value();
            expired.push_back(Scope { function: function.into(), flow: flow.into(), request: request.into() });
            if expired.len() == REMOVED_AT_ONCE {
                break;
            }
        }
        let more = expired.len() == REMOVED_AT_ONCE;
        for scope in expired {
            self.unexpired(&scope)?;
        }
        let mut left = REMOVED_AT_ONCE;
        while left > 0 {
            let first = self.garbage.first()?.map(|(group, _)| group.value());
            let Some(group) = first else { return Ok(if more { Outcome::More } else { Outcome::Done }) };
            let mut removed = Vec::new();
            for row in self.values.range((group, "")..(group + 1, ""))?.take(left) {
                let (key, row) = row?;
                removed.push((key.value().1.to_owned(), rows::file_of(row.value())));
            }
            for (key, file) in &removed {
                self.changed = true;
                self.values.remove((group, key.as_str()))?;
                if let Some(number) = *file {
                    self.forget_file(number)?;
                }
            }
            if removed.len() < left {
                self.changed = true;
                self.garbage.remove(group)?;
            }
            // A group costs something too, even if it is empty.
            left = left.saturating_sub(removed.len() + 1);
        }
        Ok(Outcome::More)
    }
}
