//! The trait that state managers implement.

use std::time::Duration;

use bytes::Bytes;

use crate::future::BoxFuture;

use super::error::StateError;

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
/// asynchronously need both.
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
