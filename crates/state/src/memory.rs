use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use faasflow_core::handler::BoxFuture;
use faasflow_core::state::{Condition, Scope, StateError, StateManager, Version};

/// Keeps state in the memory of this process: for tests, and for flows of one phase. Another instance of
/// the flow function does not see it, and it is gone when the process ends; so a flow of several phases is refused
/// with it, but for the test kit and `faasflow up`, where one process executes them all.
///
/// Cloning shares the state.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    kept: Arc<Mutex<Kept>>,
}

#[derive(Debug, Default)]
struct Kept {
    requests: HashMap<Scope, HashMap<String, (Bytes, u64)>>,
    writes: u64,
}

impl Kept {
    fn write(&mut self, scope: &Scope, key: &str, value: Bytes) -> Version {
        self.writes += 1;
        self.requests.entry(scope.clone()).or_default().insert(key.to_owned(), (value, self.writes));
        Version::new(self.writes.to_string())
    }

    fn read(&self, scope: &Scope, key: &str) -> Option<(Bytes, Version)> {
        let (value, write) = self.requests.get(scope)?.get(key)?;
        Some((value.clone(), Version::new(write.to_string())))
    }
}

impl Memory {
    /// An empty one.
    #[must_use]
    pub fn new() -> Memory {
        Memory::default()
    }

    /// How many requests have state here.
    #[must_use]
    pub fn request_count(&self) -> usize {
        self.kept().requests.len()
    }

    /// Each operation on the map is whole, so a panic elsewhere leaves nothing half-done.
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
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
        let value = self.kept().read(scope, key).map(|(value, _)| value);
        Box::pin(async move { Ok(value) })
    }

    fn set<'a>(&'a self, scope: &'a Scope, key: &'a str, value: Bytes) -> BoxFuture<'a, Result<(), StateError>> {
        self.kept().write(scope, key, value);
        Box::pin(async { Ok(()) })
    }

    fn remove<'a>(&'a self, scope: &'a Scope, key: &'a str) -> BoxFuture<'a, Result<(), StateError>> {
        if let Some(values) = self.kept().requests.get_mut(scope) {
            values.remove(key);
        }
        Box::pin(async { Ok(()) })
    }

    fn remove_request<'a>(&'a self, scope: &'a Scope) -> BoxFuture<'a, Result<(), StateError>> {
        self.kept().requests.remove(scope);
        Box::pin(async { Ok(()) })
    }

    fn get_versioned<'a>(
        &'a self,
        scope: &'a Scope,
        key: &'a str,
    ) -> BoxFuture<'a, Result<Option<(Bytes, Version)>, StateError>> {
        let found = self.kept().read(scope, key);
        Box::pin(async move { Ok(found) })
    }

    fn set_if<'a>(
        &'a self,
        scope: &'a Scope,
        key: &'a str,
        value: Bytes,
        condition: Condition,
    ) -> BoxFuture<'a, Result<Option<Version>, StateError>> {
        let mut kept = self.kept();
        let found = kept.read(scope, key).map(|(_, version)| version);
        let holds = match condition {
            Condition::Absent => found.is_none(),
            Condition::Version(expected) => found == Some(expected),
        };
        let written = holds.then(|| kept.write(scope, key, value));
        drop(kept);
        Box::pin(async move { Ok(written) })
    }
}
