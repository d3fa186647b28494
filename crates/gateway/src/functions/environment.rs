//! The environment variables of a function's processes and containers.

use faasflow_core::names::{MEMORY, SINGLE_PROCESS};

use super::context::FunctionContext;
use crate::namespace::NAMESPACE;
use crate::stack::FunctionSpec;

/// Variables that the gateway sets itself. It knows its own address and the function's ports better than a file that was
/// written for a cluster.
const RESERVED: [&str; 8] =
    ["gateway", "host", "port", "PORT", "flow_port", "metrics_port", "flow_metrics_port", "metrics_host"];

/// The environment of a function's processes: a few inherited variables, those of OpenFaaS, then the function's own.
pub(super) fn for_process(spec: &FunctionSpec, context: &FunctionContext) -> Vec<(String, String)> {
    let given = [
        ("host", "127.0.0.1"),
        ("gateway", &context.gateway),
        ("OPENFAAS_NAME", &spec.name),
        ("OPENFAAS_NAMESPACE", NAMESPACE),
        (SINGLE_PROCESS, "true"),
        (MEMORY, &context.memory.to_string()),
        ("secret_mount_path", &context.secrets.to_string_lossy()),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()));
    let inherited = crate::environment::inherited().map(|(name, value)| (name.to_owned(), value));
    let own = spec.environment.iter().filter(|(name, _)| !RESERVED.contains(&name.as_str()));
    let own = own.map(|(name, value)| (name.clone(), value.clone()));
    inherited.chain(given).chain(own).collect()
}

/// The environment of a function's containers. The gateway's address is added later, when the engine is known.
pub(super) fn for_container(spec: &FunctionSpec, memory: u64) -> Vec<(String, String)> {
    let mut given =
        vec![("OPENFAAS_NAME".to_owned(), spec.name.clone()), ("OPENFAAS_NAMESPACE".to_owned(), NAMESPACE.to_owned())];
    if spec.resources.limits.memory.is_none() {
        given.push((MEMORY.to_owned(), memory.to_string()));
    }
    if let Some(process) = spec.process.as_ref().filter(|process| !process.trim().is_empty()) {
        given.push(("fprocess".to_owned(), process.clone()));
    }
    let own = spec.environment.iter().filter(|(name, _)| *name != "gateway");
    given.extend(own.map(|(name, value)| (name.clone(), value.clone())));
    given
}
