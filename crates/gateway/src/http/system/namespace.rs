use axum::response::Response;
use faasflow_core::code;
use http::StatusCode;
use serde::Deserialize;

use crate::answer::refusal;
use crate::namespace::check_namespace;

/// The namespace that is asked for.
#[derive(Deserialize)]
pub(super) struct Namespace {
    namespace: Option<String>,
}

impl Namespace {
    /// The refusal of a request that asks for another namespace than the gateway's.
    pub(super) fn refuse_others(&self) -> Option<Response> {
        let why = check_namespace(self.namespace.as_deref()).err()?;
        Some(refusal(StatusCode::NOT_FOUND, code::UNKNOWN_NAMESPACE, why))
    }

    /// What there is, if it is in this namespace. A list of another one is empty rather than an error, as on
    /// Kubernetes: programs that go through all namespaces that they know then do not stop here.
    pub(super) fn only<T: Default>(&self, all: impl FnOnce() -> T) -> T {
        if check_namespace(self.namespace.as_deref()).is_ok() { all() } else { T::default() }
    }
}
