//! The environment variables of a function's processes and containers.

use faasflow_core::names::{DEFAULT_STORE, MEMORY, SINGLE_PROCESS, STATE_TOKEN, STATE_URL};

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
    let mut environment: Vec<(String, String)> = inherited.chain(given).chain(own).collect();
    if uses_own_store(spec) {
        environment.push((STATE_URL.to_owned(), context.store.clone()));
        environment.extend(store(spec, context));
    }
    environment
}

/// Whether a function uses the store of this gateway, if it uses one. A function that names the store of another gateway needs that
/// one's token.
pub(super) fn uses_own_store(spec: &FunctionSpec) -> bool {
    ![STATE_URL, STATE_TOKEN].iter().any(|name| spec.environment.contains_key(*name))
}

/// The variables for the store, without its address.
fn store(spec: &FunctionSpec, context: &FunctionContext) -> [(String, String); 2] {
    [
        (STATE_TOKEN.to_owned(), context.tokens.of(&spec.name)),
        (DEFAULT_STORE.to_owned(), faasflow_core::names::GATEWAY_STORE.to_owned()),
    ]
}

/// The environment of a function's containers. The addresses of the gateway and its store are added later, when the engine is known.
pub(super) fn for_container(spec: &FunctionSpec, context: &FunctionContext) -> Vec<(String, String)> {
    let mut given =
        vec![("OPENFAAS_NAME".to_owned(), spec.name.clone()), ("OPENFAAS_NAMESPACE".to_owned(), NAMESPACE.to_owned())];
    if spec.resources.limits.memory.is_none() {
        given.push((MEMORY.to_owned(), context.memory.to_string()));
    }
    if let Some(process) = spec.process.as_ref().filter(|process| !process.trim().is_empty()) {
        given.push(("fprocess".to_owned(), process.clone()));
    }
    let own = spec.environment.iter().filter(|(name, _)| *name != "gateway");
    given.extend(own.map(|(name, value)| (name.clone(), value.clone())));
    if uses_own_store(spec) {
        given.extend(store(spec, context));
    }
    given
}
