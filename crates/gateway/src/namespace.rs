//! The only namespace.

pub(crate) use faasflow_queue::{NAMESPACE, bare_name};

/// Checks that a request names no namespace, or the only one.
pub(crate) fn check_namespace(namespace: Option<&str>) -> Result<(), String> {
    match namespace {
        None | Some("" | NAMESPACE) => Ok(()),
        Some(other) => Err(format!("the namespace `{other}` does not exist: the only one is `{NAMESPACE}`")),
    }
}
