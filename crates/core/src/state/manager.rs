//! What a state manager is: the trait that others implement.

use bytes::Bytes;

use crate::future::BoxFuture;

use super::error::StateError;

/// The request that a value belongs to. Two requests never share state, nor do two flows.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Scope {
    /// The name of the flow.
    pub flow: String,
    /// The request id.
    pub request: String,
}

/// Keeps the key-value state of requests outside the envelope, and payloads that are too large for one.
///
/// Keys are any UTF-8, values any bytes from none to hundreds of megabytes; both are opaque to the manager. A
/// value is seen whole or not at all, also by another process and after a crash. Five methods are enough;
/// conditional writes are for backends that can.
///
/// The test kit's `conformance` checks an implementation.
pub trait StateManager: Send + Sync + 'static {
    /// A word for logs and `describe`, such as `memory` or `s3`.
    fn name(&self) -> &str;

    /// Reads a value; `None` if the key is absent.
    fn get<'a>(&'a self, scope: &'a Scope, key: &'a str) -> BoxFuture<'a, Result<Option<Bytes>, StateError>>;

    /// Writes a value, over the one that is there.
    fn set<'a>(&'a self, scope: &'a Scope, key: &'a str, value: Bytes) -> BoxFuture<'a, Result<(), StateError>>;

    /// Removes a value; an absent key is no error.
    fn remove<'a>(&'a self, scope: &'a Scope, key: &'a str) -> BoxFuture<'a, Result<(), StateError>>;

    /// Removes every value of the request. Called when the request has ended.
    fn remove_request<'a>(&'a self, scope: &'a Scope) -> BoxFuture<'a, Result<(), StateError>>;

    /// Whether every instance of a flow function sees the same values, also after a restart. A flow of several
    /// phases needs that.
    fn is_shared(&self) -> bool {
        true
    }

    /// Finds out whether it works. A flow function asks when it starts, where a permanent error stops the start, and
    /// about once a second while something asks its `/_/ready`, so this should cost the backend little.
    fn probe(&self) -> BoxFuture<'_, Result<(), StateError>> {
        Box::pin(async { Ok(()) })
    }

    /// Reads a value and its version. Unless implemented, [unsupported](StateError::is_unsupported).
    fn get_versioned<'a>(
        &'a self,
        _scope: &'a Scope,
        _key: &'a str,
    ) -> BoxFuture<'a, Result<Option<(Bytes, Version)>, StateError>> {
        Box::pin(async { Err(StateError::unsupported("conditional writes")) })
    }

    /// Writes a value if the condition holds, in one step that no other writer comes between, and yields its
    /// version; `None` if the condition does not hold. Unless implemented,
    /// [unsupported](StateError::is_unsupported).
    ///
    /// After a temporary error the value may have been written or not: whoever tries again reads first.
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

/// Which value it is, as its state manager tells: two different values of one key never have the same.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Version(String);

impl Version {
    /// A version as the manager writes it.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Version {
        Version(text.into())
    }

    /// The version as the manager wrote it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// When a conditional write takes place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Only if the key is absent.
    Absent,
    /// Only if the value there is still of this version.
    Version(Version),
}
