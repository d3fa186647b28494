use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use faasflow_core::handler::BoxFuture;
use faasflow_core::state::{Scope, StateError, StateManager};

/// Keeps state in the memory of this process: for tests, and for flows of one phase. Another instance of
/// the flow function does not see it, and it is gone when the process ends.
///
/// Cloning shares the state.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    requests: Arc<Mutex<HashMap<Scope, HashMap<String, Bytes>>>>,
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
        self.requests().len()
    }

    /// Each operation on the map is whole, so a panic elsewhere leaves nothing half-done.
    fn requests(&self) -> MutexGuard<'_, HashMap<Scope, HashMap<String, Bytes>>> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StateManager for Memory {
    fn name(&self) -> &str {
        "memory"
    }

    fn get<'a>(&'a self, scope: &'a Scope, key: &'a str) -> BoxFuture<'a, Result<Option<Bytes>, StateError>> {
        let value = self.requests().get(scope).and_then(|values| values.get(key)).cloned();
        Box::pin(async move { Ok(value) })
    }

    fn set<'a>(&'a self, scope: &'a Scope, key: &'a str, value: Bytes) -> BoxFuture<'a, Result<(), StateError>> {
        self.requests().entry(scope.clone()).or_default().insert(key.to_owned(), value);
        Box::pin(async { Ok(()) })
    }

    fn remove<'a>(&'a self, scope: &'a Scope, key: &'a str) -> BoxFuture<'a, Result<(), StateError>> {
        if let Some(values) = self.requests().get_mut(scope) {
            values.remove(key);
        }
        Box::pin(async { Ok(()) })
    }

    fn remove_request<'a>(&'a self, scope: &'a Scope) -> BoxFuture<'a, Result<(), StateError>> {
        self.requests().remove(scope);
        Box::pin(async { Ok(()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn values_belong_to_one_request_and_go_with_it() {
        let memory = Memory::new();
        let scope = |request: &str| Scope { flow: "f".into(), request: request.into() };
        let (one, two) = (scope("1"), scope("2"));
        memory.set(&one, "k", Bytes::from("a")).await.unwrap();
        memory.set(&two, "k", Bytes::from("b")).await.unwrap();
        memory.remove(&one, "absent").await.unwrap();
        assert_eq!(memory.get(&one, "k").await.unwrap().unwrap(), "a");
        memory.remove_request(&one).await.unwrap();
        assert_eq!(memory.get(&one, "k").await.unwrap(), None);
        assert_eq!(memory.get(&two, "k").await.unwrap().unwrap(), "b");
        assert_eq!(memory.request_count(), 1);
    }
}
