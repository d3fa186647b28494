//! The one namespace that there is here.

pub(crate) use faasflow_queue::{NAMESPACE, bare_name};

/// Whether a namespace is the one that there is, or none is named.
pub(crate) fn check_namespace(namespace: Option<&str>) -> Result<(), String> {
    match namespace {
        None | Some("" | NAMESPACE) => Ok(()),
        Some(other) => Err(format!("there is no namespace `{other}` here: the only one is `{NAMESPACE}`")),
    }
}
