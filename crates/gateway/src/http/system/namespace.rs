use axum::response::Response;
use faasflow_core::code;
use http::StatusCode;
use serde::Deserialize;

use crate::answer::refusal;
use crate::namespace::check_namespace;

/// The namespace in the query.
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

    /// Everything if the query names the gateway's namespace, otherwise nothing. The list of another namespace is empty and no error, as
    /// on Kubernetes, so that programs can go through all namespaces that they know.
    pub(super) fn only<T: Default>(&self, all: impl FnOnce() -> T) -> T {
        if check_namespace(self.namespace.as_deref()).is_ok() { all() } else { T::default() }
    }
}
