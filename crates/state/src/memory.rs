use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use faasflow_core::handler::BoxFuture;
use faasflow_core::state::{
    Condition, ListPosition, ListQuery, Listed, Scope, StateError, StateManager, Status, Version, Watch,
    outlives_request,
};

mod watch;

use watch::Watches;

/// Stores state in the memory of this process, for tests and for flows of one phase. Other instances of the flow
/// function do not see it, and it is lost when the process ends. A flow of several phases therefore refuses to start
/// with it, except in the test kit and under `faasflow up`, where one process executes all phases.
///
/// Clones share the state.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    values: Arc<Mutex<Values>>,
}

#[derive(Debug, Default)]
struct Values {
    requests: HashMap<Scope, Request>,
    /// The requests on the list of each flow.
    lists: HashMap<String, BTreeMap<ListPosition, Status>>,
    /// When to look whether something of a request that has ended is to be removed, earliest first.
    removals: BTreeSet<(Instant, Scope)>,
    watches: Watches,
    writes: u64,
}

#[derive(Debug, Default)]
struct Request {
    values: HashMap<String, (Bytes, u64)>,
    /// When it started, if it is on the list.
    started_ms: Option<u64>,
    /// When something of it is removed next, if it has ended.
    until: Option<Instant>,
    /// How long the values that outlive it stay after that. If it is `None`, they are removed too.
    known_for: Option<Duration>,
}

impl Values {
    fn write(&mut self, scope: &Scope, key: &str, value: &Bytes) -> Version {
        self.writes += 1;
        // A copy, so that what is stored does not count as a body in flight, as in a store of another process.
        let value = Bytes::copy_from_slice(value);
        let request = self.requests.entry(scope.clone()).or_default();
        request.values.insert(key.to_owned(), (value, self.writes));
        Version::new(self.writes.to_string())
    }

    fn read(&self, scope: &Scope, key: &str) -> Option<(Bytes, Version)> {
        let (value, write) = self.requests.get(scope)?.values.get(key)?;
        Some((value.clone(), Version::new(write.to_string())))
    }

    fn end_request(&mut self, scope: &Scope, keep_for: Duration) {
        self.unlist(scope);
        let Some(request) = self.requests.get_mut(scope) else { return };
        request.values.retain(|key, _| outlives_request(key));
        if request.values.is_empty() || keep_for.is_zero() {
            self.requests.remove(scope);
            return;
        }
        self.expire(scope, keep_for, None);
    }

    /// Removes something of a request after this time; see [`Request::known_for`].
    fn expire(&mut self, scope: &Scope, keep_for: Duration, known_for: Option<Duration>) {
        let Some(request) = self.requests.get_mut(scope) else { return };
        request.until = Instant::now().checked_add(keep_for);
        request.known_for = known_for;
        if let Some(until) = request.until {
            self.removals.insert((until, scope.clone()));
        }
    }

    /// Puts a request on the list, or changes its status there. It no longer expires.
    fn list(&mut self, scope: &Scope, started_ms: u64, status: Status) {
        self.unlist(scope);
        let request = self.requests.entry(scope.clone()).or_default();
        (request.started_ms, request.until, request.known_for) = (Some(started_ms), None, None);
        let position = ListPosition { started_ms, request: scope.request.clone() };
        self.lists.entry(scope.flow.clone()).or_default().insert(position, status);
    }

    fn unlist(&mut self, scope: &Scope) {
        let Some(started_ms) = self.requests.get_mut(scope).and_then(|request| request.started_ms.take()) else {
            return;
        };
        if let Some(list) = self.lists.get_mut(&scope.flow) {
            list.remove(&ListPosition { started_ms, request: scope.request.clone() });
            if list.is_empty() {
                self.lists.remove(&scope.flow);
            }
        }
    }

    fn remove(&mut self, scope: &Scope) {
        self.unlist(scope);
        self.requests.remove(scope);
    }

    fn remove_expired(&mut self) {
        let now = Instant::now();
        while self.removals.first().is_some_and(|(until, _)| *until <= now) {
            let Some((until, scope)) = self.removals.pop_first() else { return };
            // It may have been ended again in the meantime, to stay longer.
            let request = self.requests.get(&scope).filter(|request| request.until == Some(until));
            match request.map(|request| request.known_for) {
                Some(Some(known_for)) => self.end_request(&scope, known_for),
                Some(None) => self.remove(&scope),
                None => {}
            }
        }
    }
}

impl Memory {
    /// Creates a state manager without values.
    #[must_use]
    pub fn new() -> Memory {
        Memory::default()
    }

    /// The number of requests that have state here.
    #[must_use]
    pub fn request_count(&self) -> usize {
        self.lock().requests.len()
    }

    /// Locks the values, without those that have expired. Every operation on the map completes or has no effect, so it is
    /// usable after a panic elsewhere.
    fn lock(&self) -> MutexGuard<'_, Values> {
        let mut values = self.values.lock().unwrap_or_else(PoisonError::into_inner);
        values.remove_expired();
        values
    }
}

impl StateManager for Memory {
    fn name(&self) -> &str {
        "memory"
    }

    fn supports_branches(&self) -> bool {
        true
    }

    fn supports_records(&self) -> bool {
        true
    }

    fn is_shared(&self) -> bool {
        false
    }

    fn get<'a>(&'a self, scope: &'a Scope, key: &'a str) -> BoxFuture<'a, Result<Option<Bytes>, StateError>> {
        let value = self.lock().read(scope, key).map(|(value, _)| value);
        Box::pin(async move { Ok(value) })
    }

    fn set<'a>(&'a self, scope: &'a Scope, key: &'a str, value: Bytes) -> BoxFuture<'a, Result<(), StateError>> {
        self.lock().write(scope, key, &value);
        Box::pin(async { Ok(()) })
    }

    fn remove<'a>(&'a self, scope: &'a Scope, key: &'a str) -> BoxFuture<'a, Result<(), StateError>> {
        if let Some(request) = self.lock().requests.get_mut(scope) {
            request.values.remove(key);
        }
        Box::pin(async { Ok(()) })
    }

    fn remove_request<'a>(&'a self, scope: &'a Scope) -> BoxFuture<'a, Result<(), StateError>> {
        self.lock().remove(scope);
        Box::pin(async { Ok(()) })
    }

    fn end_request<'a>(&'a self, scope: &'a Scope, keep_for: Duration) -> BoxFuture<'a, Result<(), StateError>> {
        self.lock().end_request(scope, keep_for);
        Box::pin(async { Ok(()) })
    }

    fn begin_request<'a>(
        &'a self,
        scope: &'a Scope,
        started_ms: u64,
        key: &'a str,
        value: Bytes,
    ) -> BoxFuture<'a, Result<bool, StateError>> {
        let mut values = self.lock();
        let begins = values.read(scope, key).is_none();
        if begins {
            values.list(scope, started_ms, Status::Running);
            values.write(scope, key, &value);
        }
        drop(values);
        Box::pin(async move { Ok(begins) })
    }

    fn list_request<'a>(
        &'a self,
        scope: &'a Scope,
        started_ms: u64,
        status: Status,
    ) -> BoxFuture<'a, Result<(), StateError>> {
        self.lock().list(scope, started_ms, status);
        Box::pin(async { Ok(()) })
    }

    fn retire_request<'a>(
        &'a self,
        scope: &'a Scope,
        started_ms: u64,
        status: Status,
        keep_for: Duration,
        known_for: Duration,
    ) -> BoxFuture<'a, Result<(), StateError>> {
        let mut values = self.lock();
        if keep_for.is_zero() {
            values.end_request(scope, known_for);
        } else {
            values.list(scope, started_ms, status);
            values.expire(scope, keep_for, Some(known_for));
        }
        values.watches.tell(scope);
        drop(values);
        Box::pin(async { Ok(()) })
    }

    fn list_requests<'a>(
        &'a self,
        flow: &'a str,
        query: &'a ListQuery,
    ) -> BoxFuture<'a, Result<Vec<Listed>, StateError>> {
        let values = self.lock();
        let lines = values.lists.get(flow).into_iter().flatten().rev().map(|(position, status)| Listed {
            request: position.request.clone(),
            started_ms: position.started_ms,
            status: *status,
        });
        let found = lines.filter(|line| query.includes(line)).take(query.limit).collect();
        drop(values);
        Box::pin(async move { Ok(found) })
    }

    fn get_across<'a>(
        &'a self,
        scopes: &'a [Scope],
        key: &'a str,
    ) -> BoxFuture<'a, Result<Vec<Option<Bytes>>, StateError>> {
        let values = self.lock();
        let found = scopes.iter().map(|scope| values.read(scope, key).map(|(value, _)| value)).collect();
        drop(values);
        Box::pin(async move { Ok(found) })
    }

    fn watch<'a>(&'a self, flow: &'a str) -> BoxFuture<'a, Result<Option<Box<dyn Watch>>, StateError>> {
        let watch = self.lock().watches.open(flow);
        Box::pin(async { Ok(Some(watch)) })
    }

    fn get_many<'a>(
        &'a self,
        scope: &'a Scope,
        keys: &'a [&'a str],
    ) -> BoxFuture<'a, Result<Vec<Option<Bytes>>, StateError>> {
        let values = self.lock();
        let found = keys.iter().map(|key| values.read(scope, key).map(|(value, _)| value)).collect();
        drop(values);
        Box::pin(async move { Ok(found) })
    }

    fn get_versioned<'a>(
        &'a self,
        scope: &'a Scope,
        key: &'a str,
    ) -> BoxFuture<'a, Result<Option<(Bytes, Version)>, StateError>> {
        let found = self.lock().read(scope, key);
        Box::pin(async move { Ok(found) })
    }

    fn set_if<'a>(
        &'a self,
        scope: &'a Scope,
        key: &'a str,
        value: Bytes,
        condition: Condition,
    ) -> BoxFuture<'a, Result<Option<Version>, StateError>> {
        let mut values = self.lock();
        let found = values.read(scope, key).map(|(_, version)| version);
        let holds = match condition {
            Condition::Absent => found.is_none(),
            Condition::Version(expected) => found == Some(expected),
        };
        let written = holds.then(|| values.write(scope, key, &value));
        drop(values);
        Box::pin(async move { Ok(written) })
    }
}
