use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use faasflow_core::handler::BoxFuture;
use faasflow_core::state::{Condition, Scope, StateError, StateManager, Version, outlives_request};

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
    /// When to look whether a request that has ended is to be removed, earliest first.
    removals: BTreeSet<(Instant, Scope)>,
    writes: u64,
}

#[derive(Debug, Default)]
struct Request {
    values: HashMap<String, (Bytes, u64)>,
    /// When the values that outlive it are removed, if it has ended.
    until: Option<Instant>,
}

impl Values {
    fn write(&mut self, scope: &Scope, key: &str, value: Bytes) -> Version {
        self.writes += 1;
        let request = self.requests.entry(scope.clone()).or_default();
        request.values.insert(key.to_owned(), (value, self.writes));
        Version::new(self.writes.to_string())
    }

    fn read(&self, scope: &Scope, key: &str) -> Option<(Bytes, Version)> {
        let (value, write) = self.requests.get(scope)?.values.get(key)?;
        Some((value.clone(), Version::new(write.to_string())))
    }

    fn end_request(&mut self, scope: &Scope, keep_for: Duration) {
        let Some(request) = self.requests.get_mut(scope) else { return };
        request.values.retain(|key, _| outlives_request(key));
        if request.values.is_empty() || keep_for.is_zero() {
            self.requests.remove(scope);
            return;
        }
        request.until = Instant::now().checked_add(keep_for);
        if let Some(until) = request.until {
            self.removals.insert((until, scope.clone()));
        }
    }

    fn remove_expired(&mut self) {
        let now = Instant::now();
        while self.removals.first().is_some_and(|(until, _)| *until <= now) {
            let Some((until, scope)) = self.removals.pop_first() else { return };
            // It may have been ended again in the meantime, to stay longer.
            if self.requests.get(&scope).is_some_and(|request| request.until == Some(until)) {
                self.requests.remove(&scope);
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

    fn is_shared(&self) -> bool {
        false
    }

    fn get<'a>(&'a self, scope: &'a Scope, key: &'a str) -> BoxFuture<'a, Result<Option<Bytes>, StateError>> {
        let value = self.lock().read(scope, key).map(|(value, _)| value);
        Box::pin(async move { Ok(value) })
    }

    fn set<'a>(&'a self, scope: &'a Scope, key: &'a str, value: Bytes) -> BoxFuture<'a, Result<(), StateError>> {
        self.lock().write(scope, key, value);
        Box::pin(async { Ok(()) })
    }

    fn remove<'a>(&'a self, scope: &'a Scope, key: &'a str) -> BoxFuture<'a, Result<(), StateError>> {
        if let Some(request) = self.lock().requests.get_mut(scope) {
            request.values.remove(key);
        }
        Box::pin(async { Ok(()) })
    }

    fn remove_request<'a>(&'a self, scope: &'a Scope) -> BoxFuture<'a, Result<(), StateError>> {
        self.lock().requests.remove(scope);
        Box::pin(async { Ok(()) })
    }

    fn end_request<'a>(&'a self, scope: &'a Scope, keep_for: Duration) -> BoxFuture<'a, Result<(), StateError>> {
        self.lock().end_request(scope, keep_for);
        Box::pin(async { Ok(()) })
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
        let written = holds.then(|| values.write(scope, key, value));
        drop(values);
        Box::pin(async move { Ok(written) })
    }
}
