//! The one namespace that there is here.

pub(crate) use faasflow_queue::{NAMESPACE, bare_name};
