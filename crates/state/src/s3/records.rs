//! Requests that are remembered.
//!
//! A line of the list is two empty objects with all data in their names, under `records/<flow>`; see [`Line`]. The one among all requests
//! is written first and removed last, so it leads to the other one. If a process dies in between, a request has two lines until its status
//! changes again. Readers of all requests take the newer one. Readers of one status do not see the other line, so they may see the older
//! one.
//!
//! A request that has ended has an object beside its values that says when they expire, and an entry under `expiry/<flow>` that leads to
//! it. An entry that is due but does not fit that object is out of date.

use std::time::Duration;

use bytes::Bytes;
use faasflow_core::state::{Condition, ListQuery, Listed, Scope, StateError, Status};
use faasflow_http::now_ms;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use object_store::list::{PaginatedListOptions, PaginatedListStore as _};
use object_store::path::Path;
use object_store::{Attribute, AttributeValue, Attributes, GetOptions, ObjectMeta, ObjectStore as _, PutPayload};

use super::fault::{is_absent, state_error};
use super::line::{ALL, Entry, Line, after, entries, lines_of, list, retired};
use super::{REMOVALS_AT_ONCE, S3, path};

/// The most names in one answer of S3.
const NAMES_AT_ONCE: usize = 1000;
/// How many entries are read in addition to the lines that are wanted, for those that are left out.
const SPARE: usize = 8;
/// The name of the metadata with the time at which the request with this value began.
const STARTED: &str = "started-ms";

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// When the values of a request expire that has ended, in milliseconds since the Unix epoch.
struct Retired {
    own_ms: u64,
    outliving_ms: u64,
}

impl S3 {
    pub(super) async fn begin(
        &self,
        scope: &Scope,
        started_ms: u64,
        key: &str,
        value: Bytes,
    ) -> Result<bool, StateError> {
        let object = path::object(scope, key);
        // Usually, a request that has begun before is found here, and its line is not touched.
        if self.begun(&object).await?.is_some() {
            return Ok(false);
        }
        let line = Line { listed: listed(scope, started_ms, Status::Running), expires_ms: None };
        self.put_line(&scope.flow, &line).await?;
        self.remove_object(&retired(scope)).await?;
        let mut attributes = Attributes::new();
        attributes.insert(Attribute::Metadata(STARTED.into()), AttributeValue::from(started_ms.to_string()));
        if self.put_if(&object, value, &Condition::Absent, attributes).await?.is_some() {
            return Ok(true);
        }
        // Another beginning was faster. If both began at the same time, they have the same line.
        if self.begun(&object).await? != Some(Some(started_ms)) {
            self.remove_line(&scope.flow, &line).await?;
        }
        Ok(false)
    }

    /// Whether this object exists, and the time at which the request began if it began with it.
    async fn begun(&self, object: &Path) -> Result<Option<Option<u64>>, StateError> {
        match self.store.get_opts(object, GetOptions::new().with_head(true)).await {
            Ok(found) => {
                let started = found.attributes.get(&Attribute::Metadata(STARTED.into()));
                Ok(Some(started.and_then(|started| started.parse().ok())))
            }
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(state_error("a value cannot be read", &self.bucket, &error).into()),
        }
    }

    pub(super) async fn list(&self, scope: &Scope, started_ms: u64, status: Status) -> Result<(), StateError> {
        self.remove_object(&retired(scope)).await?;
        let line = Line { listed: listed(scope, started_ms, status), expires_ms: None };
        self.replace_line(scope, started_ms, Some(line)).await
    }

    pub(super) async fn retire(
        &self,
        scope: &Scope,
        started_ms: u64,
        status: Status,
        keep_for: Duration,
        known_for: Duration,
    ) -> Result<(), StateError> {
        let own_ms = now_ms().saturating_add(millis(keep_for));
        let times = Retired { own_ms, outliving_ms: own_ms.saturating_add(millis(known_for)) };
        if keep_for.is_zero() {
            self.remove_values(scope, started_ms, &times).await?;
            return self.replace_line(scope, started_ms, None).await;
        }
        self.expire(scope, started_ms, &times, own_ms).await?;
        let line = Line { listed: listed(scope, started_ms, status), expires_ms: Some(own_ms) };
        self.replace_line(scope, started_ms, Some(line)).await
    }

    /// Writes when the values of a request expire, and the entry that leads to it.
    async fn expire(&self, scope: &Scope, started_ms: u64, times: &Retired, next_ms: u64) -> Result<(), StateError> {
        let entry = Entry { expires_ms: next_ms, started_ms, request: scope.request.clone() };
        self.put_record(&entry.object(&scope.flow)?, Bytes::new()).await?;
        let text = format!("{} {}", times.own_ms, times.outliving_ms);
        self.put_record(&retired(scope), text.into()).await
    }

    /// Removes those values of a request whose time has come, of which `times.own_ms` is the first.
    async fn remove_values(&self, scope: &Scope, started_ms: u64, times: &Retired) -> Result<(), StateError> {
        let (note, stays) = (retired(scope), times.outliving_ms > now_ms());
        let objects = self.store.list(Some(&path::folder(scope))).map_ok(|object| object.location);
        let objects: Vec<Path> = objects.try_collect().await.map_err(|error| {
            StateError::from(state_error("what a request stored cannot be listed", &self.bucket, &error))
        })?;
        let (kept, gone): (Vec<Path>, Vec<Path>) = objects
            .into_iter()
            .filter(|object| *object != note)
            .partition(|object| stays && path::outlives_request(object));
        if !kept.is_empty() {
            self.expire(scope, started_ms, times, times.outliving_ms).await?;
        }
        let remove = |object: Path| async move { self.remove_object(&object).await };
        stream::iter(gone).map(Ok).try_for_each_concurrent(REMOVALS_AT_ONCE, remove).await?;
        if kept.is_empty() { self.remove_object(&note).await } else { Ok(()) }
    }

    pub(super) async fn remove_due(&self, flow: &str, limit: usize) -> Result<usize, StateError> {
        let (mut removed, now_ms) = (0, now_ms());
        let (objects, _) = self.names(&entries(flow), None, None, limit.min(NAMES_AT_ONCE)).await?;
        for object in objects {
            let Some(entry) = object.location.filename().and_then(Entry::parse) else { continue };
            if entry.expires_ms > now_ms {
                break;
            }
            let scope = Scope { flow: flow.to_owned(), request: entry.request.clone() };
            match self.retired(&scope).await? {
                // It has begun again, or ended again to stay longer.
                Some(times) if times.own_ms > now_ms => {}
                None => {}
                Some(times) => self.remove_values(&scope, entry.started_ms, &times).await?,
            }
            for line in self.lines_of(&scope, entry.started_ms).await? {
                if line.expires_ms.is_some_and(|expires_ms| expires_ms <= now_ms) {
                    self.remove_line(flow, &line).await?;
                }
            }
            self.remove_object(&object.location).await?;
            removed += 1;
        }
        Ok(removed)
    }

    /// Whether the values of a request have expired, although they may still be there.
    pub(super) async fn has_expired(&self, scope: &Scope) -> Result<bool, StateError> {
        Ok(self.retired(scope).await?.is_some_and(|times| times.own_ms <= now_ms()))
    }

    async fn retired(&self, scope: &Scope) -> Result<Option<Retired>, StateError> {
        let Some((text, _)) = self.read(&retired(scope)).await? else { return Ok(None) };
        let text = String::from_utf8_lossy(&text);
        let times = text.split_once(' ').and_then(|(own, outliving)| {
            Some(Retired { own_ms: own.parse().ok()?, outliving_ms: outliving.parse().ok()? })
        });
        times.map(Some).ok_or_else(|| {
            StateError::permanent(format!("the object {} does not say when a request expires", retired(scope)))
        })
    }

    pub(super) async fn lines(&self, flow: &str, query: &ListQuery) -> Result<Vec<Listed>, StateError> {
        let folder = list(flow, query.status.map_or(ALL, Status::as_str));
        let start = query.after.as_ref().map(after).transpose()?.map(|name| format!("{folder}{name}"));
        let (mut lines, mut token, now_ms) = (Vec::new(), None, now_ms());
        // The last line that was read. A double of it may follow.
        let mut last: Option<(Line, ObjectMeta)> = None;
        let is_listed = |line: &Line| line.expires_ms.is_none_or(|expires_ms| expires_ms > now_ms);
        while lines.len() < query.limit {
            let wanted = (query.limit - lines.len() + SPARE).min(NAMES_AT_ONCE);
            let (objects, next) = self.names(&folder, start.clone(), token, wanted).await?;
            for object in objects {
                let Some(line) = object.location.filename().and_then(Line::parse) else { continue };
                let is_same = |(other, _): &&mut (Line, ObjectMeta)| {
                    (other.listed.started_ms, &other.listed.request) == (line.listed.started_ms, &line.listed.request)
                };
                if let Some(double) = last.as_mut().filter(is_same) {
                    let age = |line: &Line, object: &ObjectMeta| (object.last_modified, line.listed.status.has_ended());
                    if age(&line, &object) > age(&double.0, &double.1) {
                        *double = (line, object);
                    }
                    continue;
                }
                lines.extend(last.replace((line, object)).map(|(line, _)| line).filter(is_listed));
            }
            token = next;
            let is_over = |(line, _): &(Line, ObjectMeta)| line.listed.started_ms < query.since_ms;
            if token.is_none() || last.as_ref().is_some_and(is_over) {
                break;
            }
        }
        lines.extend(last.map(|(line, _)| line).filter(is_listed));
        let lines = lines.into_iter().map(|line| line.listed).filter(|line| line.started_ms >= query.since_ms);
        Ok(lines.take(query.limit).collect())
    }

    /// Replaces the lines of a request by this one.
    async fn replace_line(&self, scope: &Scope, started_ms: u64, line: Option<Line>) -> Result<(), StateError> {
        let before = self.lines_of(scope, started_ms).await?;
        if let Some(line) = &line {
            self.put_line(&scope.flow, line).await?;
        }
        for old in before.iter().filter(|old| Some(*old) != line.as_ref()) {
            self.remove_line(&scope.flow, old).await?;
        }
        Ok(())
    }

    async fn lines_of(&self, scope: &Scope, started_ms: u64) -> Result<Vec<Line>, StateError> {
        let prefix = lines_of(&scope.flow, started_ms, &scope.request)?;
        let (objects, _) = self.names(&prefix, None, None, NAMES_AT_ONCE).await?;
        Ok(objects.iter().filter_map(|object| Line::parse(object.location.filename()?)).collect())
    }

    async fn put_line(&self, flow: &str, line: &Line) -> Result<(), StateError> {
        let [all, with_status] = line.objects(flow)?;
        self.put_record(&all, Bytes::new()).await?;
        self.put_record(&with_status, Bytes::new()).await
    }

    async fn remove_line(&self, flow: &str, line: &Line) -> Result<(), StateError> {
        let [all, with_status] = line.objects(flow)?;
        self.remove_object(&with_status).await?;
        self.remove_object(&all).await
    }

    async fn put_record(&self, path: &Path, content: Bytes) -> Result<(), StateError> {
        let put = self.store.put_opts(path, PutPayload::from_bytes(content), Default::default()).await;
        let fault = |error| state_error("the list of requests cannot be written", &self.bucket, &error).into();
        put.map(drop).map_err(fault)
    }

    /// Lists at most `limit` objects in the order of their names, and returns where the others begin.
    async fn names(
        &self,
        prefix: &str,
        offset: Option<String>,
        page_token: Option<String>,
        limit: usize,
    ) -> Result<(Vec<ObjectMeta>, Option<String>), StateError> {
        let options = PaginatedListOptions { offset, page_token, max_keys: Some(limit), ..Default::default() };
        let listed = self.store.list_paginated(Some(prefix), options).await.map_err(|error| {
            StateError::from(state_error("the list of requests cannot be read", &self.bucket, &error))
        })?;
        Ok((listed.result.objects, listed.page_token))
    }
}

fn listed(scope: &Scope, started_ms: u64, status: Status) -> Listed {
    Listed { request: scope.request.clone(), started_ms, status }
}
