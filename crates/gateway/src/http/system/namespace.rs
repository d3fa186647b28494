use serde::Deserialize;

use crate::namespace::check_namespace;

/// The namespace that is asked for.
#[derive(Deserialize)]
pub(super) struct Namespace {
    namespace: Option<String>,
}

impl Namespace {
    /// Why there is nothing in it: it is not the one that there is.
    pub(super) fn check(&self) -> Result<(), String> {
        check_namespace(self.namespace.as_deref())
    }

    /// What there is, if it is in this namespace. A list of another one is empty rather than an error, as on
    /// Kubernetes: programs that go through all namespaces that they know then do not stop here.
    pub(super) fn only<T: Default>(&self, all: impl FnOnce() -> T) -> T {
        if self.check().is_ok() { all() } else { T::default() }
    }
}
