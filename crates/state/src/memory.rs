use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use faasflow_core::handler::BoxFuture;
use faasflow_core::state::{Condition, Scope, StateError, StateManager, Version};

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
    requests: HashMap<Scope, HashMap<String, (Bytes, u64)>>,
    writes: u64,
}

impl Values {
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

    /// Every operation on the map completes or has no effect, so the map is usable after a panic elsewhere.
    fn lock(&self) -> MutexGuard<'_, Values> {
        self.values.lock().unwrap_or_else(PoisonError::into_inner)
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
        if let Some(values) = self.lock().requests.get_mut(scope) {
            values.remove(key);
        }
        Box::pin(async { Ok(()) })
    }

    fn remove_request<'a>(&'a self, scope: &'a Scope) -> BoxFuture<'a, Result<(), StateError>> {
        self.lock().requests.remove(scope);
        Box::pin(async { Ok(()) })
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
