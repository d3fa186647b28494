//! The variables that a function's processes and containers see.

use faasflow_core::names::{MEMORY, SINGLE_PROCESS};

use super::surroundings::Surroundings;
use crate::namespace::NAMESPACE;
use crate::stack::FunctionSpec;

/// What is known here better than in a file that is written for a cluster: where this gateway is, and where it looks for
/// the function.
const OURS: [&str; 8] =
    ["gateway", "host", "port", "PORT", "flow_port", "metrics_port", "flow_metrics_port", "metrics_host"];

/// What a function's processes see: a few variables of ours, what OpenFaaS gives, then what was said for it.
pub(super) fn of_process(spec: &FunctionSpec, around: &Surroundings) -> Vec<(String, String)> {
    let given = [
        ("host", "127.0.0.1"),
        ("gateway", &around.gateway),
        ("OPENFAAS_NAME", &spec.name),
        ("OPENFAAS_NAMESPACE", NAMESPACE),
        (SINGLE_PROCESS, "true"),
        (MEMORY, &around.memory.to_string()),
        ("secret_mount_path", &around.secrets.to_string_lossy()),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()));
    let inherited = crate::environment::inherited().map(|(name, value)| (name.to_owned(), value));
    let own = spec.environment.iter().filter(|(name, _)| !OURS.contains(&name.as_str()));
    let own = own.map(|(name, value)| (name.clone(), value.clone()));
    inherited.chain(given).chain(own).collect()
}

/// The environment of a function's containers, without the gateway's address, which is known once there is an engine.
pub(super) fn of_container(spec: &FunctionSpec, memory: u64) -> Vec<(String, String)> {
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
