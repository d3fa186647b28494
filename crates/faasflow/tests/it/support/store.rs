//! A state manager in memory that a test can watch, delay and break.

use std::time::Duration;

use faasflow::bytes::Bytes;
use faasflow::{BoxFuture, Memory, Scope, StateError, StateManager};
use faasflow_core::state::{Condition, ListQuery, Listed, Status, Version};

/// The operations of a store that a test can replace. Otherwise, they are those of the memory behind it.
pub(crate) trait Behaviour: Send + Sync + 'static {
    fn memory(&self) -> &Memory;

    fn get<'a>(&'a self, scope: &'a Scope, key: &'a str) -> BoxFuture<'a, Result<Option<Bytes>, StateError>> {
        self.memory().get(scope, key)
    }

    fn set<'a>(&'a self, scope: &'a Scope, key: &'a str, value: Bytes) -> BoxFuture<'a, Result<(), StateError>> {
        self.memory().set(scope, key, value)
    }

    fn set_if<'a>(
        &'a self,
        scope: &'a Scope,
        key: &'a str,
        value: Bytes,
        condition: Condition,
    ) -> BoxFuture<'a, Result<Option<Version>, StateError>> {
        self.memory().set_if(scope, key, value, condition)
    }

    /// Reads the keys one after the other, through [`get`](Behaviour::get).
    fn get_many<'a>(
        &'a self,
        scope: &'a Scope,
        keys: &'a [&'a str],
    ) -> BoxFuture<'a, Result<Vec<Option<Bytes>>, StateError>> {
        Box::pin(async move {
            let mut values = Vec::with_capacity(keys.len());
            for key in keys {
                values.push(self.get(scope, key).await?);
            }
            Ok(values)
        })
    }

    /// Whether flows that use it remember their requests.
    fn supports_records(&self) -> bool {
        false
    }

    fn begin_request<'a>(
        &'a self,
        scope: &'a Scope,
        started_ms: u64,
        key: &'a str,
        value: Bytes,
    ) -> BoxFuture<'a, Result<bool, StateError>> {
        self.memory().begin_request(scope, started_ms, key, value)
    }
}

/// A state manager with this behaviour.
#[derive(Clone, Default)]
pub(crate) struct Store<B>(pub(crate) B);

impl<B: Behaviour> StateManager for Store<B> {
    fn name(&self) -> &str {
        "store"
    }

    fn supports_branches(&self) -> bool {
        true
    }

    fn get<'a>(&'a self, scope: &'a Scope, key: &'a str) -> BoxFuture<'a, Result<Option<Bytes>, StateError>> {
        self.0.get(scope, key)
    }

    fn set<'a>(&'a self, scope: &'a Scope, key: &'a str, value: Bytes) -> BoxFuture<'a, Result<(), StateError>> {
        self.0.set(scope, key, value)
    }

    fn remove<'a>(&'a self, scope: &'a Scope, key: &'a str) -> BoxFuture<'a, Result<(), StateError>> {
        self.0.memory().remove(scope, key)
    }

    fn remove_request<'a>(&'a self, scope: &'a Scope) -> BoxFuture<'a, Result<(), StateError>> {
        self.0.memory().remove_request(scope)
    }

    fn end_request<'a>(&'a self, scope: &'a Scope, keep_for: Duration) -> BoxFuture<'a, Result<(), StateError>> {
        self.0.memory().end_request(scope, keep_for)
    }

    fn set_if<'a>(
        &'a self,
        scope: &'a Scope,
        key: &'a str,
        value: Bytes,
        condition: Condition,
    ) -> BoxFuture<'a, Result<Option<Version>, StateError>> {
        self.0.set_if(scope, key, value, condition)
    }

    fn get_many<'a>(
        &'a self,
        scope: &'a Scope,
        keys: &'a [&'a str],
    ) -> BoxFuture<'a, Result<Vec<Option<Bytes>>, StateError>> {
        self.0.get_many(scope, keys)
    }

    fn get_versioned<'a>(
        &'a self,
        scope: &'a Scope,
        key: &'a str,
    ) -> BoxFuture<'a, Result<Option<(Bytes, Version)>, StateError>> {
        self.0.memory().get_versioned(scope, key)
    }

    fn supports_records(&self) -> bool {
        self.0.supports_records()
    }

    fn begin_request<'a>(
        &'a self,
        scope: &'a Scope,
        started_ms: u64,
        key: &'a str,
        value: Bytes,
    ) -> BoxFuture<'a, Result<bool, StateError>> {
        self.0.begin_request(scope, started_ms, key, value)
    }

    fn list_request<'a>(
        &'a self,
        scope: &'a Scope,
        started_ms: u64,
        status: Status,
    ) -> BoxFuture<'a, Result<(), StateError>> {
        self.0.memory().list_request(scope, started_ms, status)
    }

    fn retire_request<'a>(
        &'a self,
        scope: &'a Scope,
        started_ms: u64,
        status: Status,
        keep_for: Duration,
        known_for: Duration,
    ) -> BoxFuture<'a, Result<(), StateError>> {
        self.0.memory().retire_request(scope, started_ms, status, keep_for, known_for)
    }

    fn list_requests<'a>(
        &'a self,
        flow: &'a str,
        query: &'a ListQuery,
    ) -> BoxFuture<'a, Result<Vec<Listed>, StateError>> {
        self.0.memory().list_requests(flow, query)
    }
}
