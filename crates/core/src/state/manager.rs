//! The trait that state managers implement.

use std::time::Duration;

use bytes::Bytes;

use crate::future::BoxFuture;

use super::error::StateError;
use super::listing::{ListQuery, Listed, Status};
use super::watch::Watch;

/// The request that a value belongs to. Two requests never share state, and neither do two flows.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Scope {
    /// The name of the flow.
    pub flow: String,
    /// The request id.
    pub request: String,
}

/// Stores the key-value state of requests outside the envelope, and payloads that are too large for it.
///
/// A key is any UTF-8 text, and a value is any number of bytes from zero to hundreds of megabytes. Both are opaque to
/// the manager. A value is visible as a whole or not at all, even to other processes and after a crash. Only five
/// methods are required. Conditional writes and `end_request` are for backends that support them. Flows that branch
/// asynchronously need both, and `supports_branches` must say that they are there.
///
/// The module `conformance` of the test kit checks an implementation.
pub trait StateManager: Send + Sync + 'static {
    /// A short name for logs and `describe`, such as `memory` or `s3`.
    fn name(&self) -> &str;

    /// Reads a value; `None` if the key is absent.
    fn get<'a>(&'a self, scope: &'a Scope, key: &'a str) -> BoxFuture<'a, Result<Option<Bytes>, StateError>>;

    /// Writes a value, and replaces an existing one.
    fn set<'a>(&'a self, scope: &'a Scope, key: &'a str, value: Bytes) -> BoxFuture<'a, Result<(), StateError>>;

    /// Removes a value. It is not an error if the key is absent.
    fn remove<'a>(&'a self, scope: &'a Scope, key: &'a str) -> BoxFuture<'a, Result<(), StateError>>;

    /// Removes every value of the request. It is called when the request has ended.
    fn remove_request<'a>(&'a self, scope: &'a Scope) -> BoxFuture<'a, Result<(), StateError>>;

    /// Reads several values of one request, in the order of the keys, with `None` for each absent key. The values need not
    /// be a consistent snapshot.
    ///
    /// The default implementation reads the keys one after the other. Override it if the backend can read several values in
    /// one round trip.
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

    /// Ends a request with branches: removes its values, except those whose keys [outlive the
    /// request](super::outlives_request). Those stay for at least `keep_for`, so that envelopes which arrive late find
    /// them. After that, they expire if the backend can expire values. With a duration of zero, all values are removed.
    ///
    /// It is not an error if the request has no values. It may be called again after an error, or for a request that has
    /// already ended.
    ///
    /// The default implementation returns an [unsupported](StateError::is_unsupported) error, so flows that branch
    /// asynchronously cannot use the manager. It would not be correct to remove everything and write back the values that
    /// must stay, because an envelope that arrives in between would start the request again.
    fn end_request<'a>(&'a self, _scope: &'a Scope, _keep_for: Duration) -> BoxFuture<'a, Result<(), StateError>> {
        Box::pin(async { Err(StateError::unsupported("ending requests with branches (`end_request`)")) })
    }

    /// Whether flows that branch asynchronously can use the manager: whether it supports conditional writes and
    /// [`end_request`](StateManager::end_request). If not, such a flow does not start. The default is `false`, because the
    /// default implementations of these methods support neither.
    fn supports_branches(&self) -> bool {
        false
    }

    /// Whether flows can remember their requests here: whether the manager
    /// [supports branches](StateManager::supports_branches) and keeps a list of requests, with
    /// [`begin_request`](StateManager::begin_request), [`list_request`](StateManager::list_request),
    /// [`retire_request`](StateManager::retire_request) and [`list_requests`](StateManager::list_requests). The default is
    /// `false`.
    fn supports_records(&self) -> bool {
        false
    }

    /// Begins a request that is remembered: writes the value unless the key exists, and puts the request on the list as
    /// [running](Status::Running). Returns whether the value was written. If it was not, the list stays the same.
    ///
    /// If the process dies in between, the request may be on the list although the key is absent, but never the other way
    /// round. After a temporary error, the value may or may not have been written.
    ///
    /// The default implementation returns an [unsupported](StateError::is_unsupported) error.
    fn begin_request<'a>(
        &'a self,
        _scope: &'a Scope,
        _started_ms: u64,
        _key: &'a str,
        _value: Bytes,
    ) -> BoxFuture<'a, Result<bool, StateError>> {
        Box::pin(async { Err(StateError::unsupported("remembering requests (`begin_request`)")) })
    }

    /// Changes the status of a request on the list. `started_ms` is the time that was given when the request began. If the
    /// request is not on the list, it is put there. If it was [retired](StateManager::retire_request), it no longer expires.
    ///
    /// The default implementation returns an [unsupported](StateError::is_unsupported) error.
    fn list_request<'a>(
        &'a self,
        _scope: &'a Scope,
        _started_ms: u64,
        _status: Status,
    ) -> BoxFuture<'a, Result<(), StateError>> {
        Box::pin(async { Err(StateError::unsupported("remembering requests (`list_request`)")) })
    }

    /// Ends a request that is remembered: changes its status on the list, and lets its values and its line on the list expire
    /// after `keep_for`. The values whose keys [outlive the request](super::outlives_request) stay for `known_for` after
    /// that.
    ///
    /// It may be called again, for example with a `keep_for` of zero, which removes the values now. If the backend cannot
    /// expire values, [`remove_expired`](StateManager::remove_expired) removes them.
    ///
    /// The default implementation returns an [unsupported](StateError::is_unsupported) error.
    fn retire_request<'a>(
        &'a self,
        _scope: &'a Scope,
        _started_ms: u64,
        _status: Status,
        _keep_for: Duration,
        _known_for: Duration,
    ) -> BoxFuture<'a, Result<(), StateError>> {
        Box::pin(async { Err(StateError::unsupported("remembering requests (`retire_request`)")) })
    }

    /// Reads lines of the list of a flow's requests, from the newest to the oldest. Lines that have expired are left out.
    ///
    /// The default implementation returns an [unsupported](StateError::is_unsupported) error.
    fn list_requests<'a>(
        &'a self,
        _flow: &'a str,
        _query: &'a ListQuery,
    ) -> BoxFuture<'a, Result<Vec<Listed>, StateError>> {
        Box::pin(async { Err(StateError::unsupported("remembering requests (`list_requests`)")) })
    }

    /// Removes what has expired of at most `limit` requests of the flow, and returns how many that were. A flow calls this when
    /// it is asked to recover requests. The default does nothing, for backends that expire values themselves.
    fn remove_expired<'a>(&'a self, _flow: &'a str, _limit: usize) -> BoxFuture<'a, Result<usize, StateError>> {
        Box::pin(async { Ok(0) })
    }

    /// Whether the values of a [retired](StateManager::retire_request) request have expired, although they can still be read because
    /// nobody has removed them. The default is `false`, for backends that do not return what has expired.
    fn is_expired<'a>(&'a self, _scope: &'a Scope) -> BoxFuture<'a, Result<bool, StateError>> {
        Box::pin(async { Ok(false) })
    }

    /// Reads the value of the same key in several requests, in the order of the scopes, with `None` for each absent key. Those who
    /// wait for the end of many requests use this.
    ///
    /// The default implementation reads one after the other. Override it if the backend can read several values in one round
    /// trip.
    fn get_across<'a>(
        &'a self,
        scopes: &'a [Scope],
        key: &'a str,
    ) -> BoxFuture<'a, Result<Vec<Option<Bytes>>, StateError>> {
        Box::pin(async move {
            let mut values = Vec::with_capacity(scopes.len());
            for scope in scopes {
                values.push(self.get(scope, key).await?);
            }
            Ok(values)
        })
    }

    /// Creates values of one request in this order, until one of their keys exists. Returns how many values were created. After
    /// an error, any number of them, from the first one, may have been created.
    ///
    /// The default implementation creates one after the other, with [`set_if`](StateManager::set_if). Override it if the
    /// backend can create several values in one round trip.
    fn create_in_order<'a>(
        &'a self,
        scope: &'a Scope,
        values: &'a [(&'a str, Bytes)],
    ) -> BoxFuture<'a, Result<usize, StateError>> {
        Box::pin(async move {
            for (created, (key, value)) in values.iter().enumerate() {
                if self.set_if(scope, key, value.clone(), Condition::Absent).await?.is_none() {
                    return Ok(created);
                }
            }
            Ok(values.len())
        })
    }

    /// Opens a watch, which reports when [`retire_request`](StateManager::retire_request) is called for a request of this flow, in any
    /// process. Every request that is retired after this has returned is reported, unless the watch loses it.
    ///
    /// `None` means that the backend cannot tell, so those who wait for the end of a request ask again and again. That is the
    /// default.
    fn watch<'a>(&'a self, _flow: &'a str) -> BoxFuture<'a, Result<Option<Box<dyn Watch>>, StateError>> {
        Box::pin(async { Ok(None) })
    }

    /// Whether every instance of a flow function sees the same values, even after a restart. A flow of several phases
    /// needs that. The default is `true`.
    fn is_shared(&self) -> bool {
        true
    }

    /// Checks whether the manager works. A flow function calls this when it starts, where a permanent error aborts the
    /// start, and about once a second while something polls its `/_/ready`. It should be cheap for the backend.
    fn probe(&self) -> BoxFuture<'_, Result<(), StateError>> {
        Box::pin(async { Ok(()) })
    }

    /// Reads a value and its version. The default is an [unsupported](StateError::is_unsupported) error.
    fn get_versioned<'a>(
        &'a self,
        _scope: &'a Scope,
        _key: &'a str,
    ) -> BoxFuture<'a, Result<Option<(Bytes, Version)>, StateError>> {
        Box::pin(async { Err(StateError::unsupported("conditional writes")) })
    }

    /// Writes a value atomically if the condition holds, and returns its version; `None` if the condition does not
    /// hold. The default is an [unsupported](StateError::is_unsupported) error.
    ///
    /// After a temporary error, the value may or may not have been written. Read it before you try again.
    fn set_if<'a>(
        &'a self,
        _scope: &'a Scope,
        _key: &'a str,
        _value: Bytes,
        _condition: Condition,
    ) -> BoxFuture<'a, Result<Option<Version>, StateError>> {
        Box::pin(async { Err(StateError::unsupported("conditional writes")) })
    }
}

/// Identifies a value of a key. A state manager never gives two different values of one key the same version.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Version(String);

impl Version {
    /// Creates a version from the text that the manager uses.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Version {
        Version(text.into())
    }

    /// The text that the manager uses.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The condition of a conditional write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// The key must be absent.
    Absent,
    /// The current value must have this version.
    Version(Version),
}
