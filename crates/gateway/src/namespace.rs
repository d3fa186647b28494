//! The one namespace that there is here.

/// The namespace of all functions.
pub(crate) const NAMESPACE: &str = "openfaas-fn";

/// The name of a function without the namespace.
pub(crate) fn bare_name(name: &str) -> &str {
    match name.rsplit_once('.') {
        Some((bare, NAMESPACE)) => bare,
        _ => name,
    }
}
