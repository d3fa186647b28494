//! What the container of a function is made of.

use std::collections::HashMap;
use std::path::Path;

use faasflow_containers::{Blueprint, LEAST_MEMORY, Resources, quantity};
use faasflow_runtime::config::MEMORY;

use super::connection::{Connected, FUNCTION, OWNER, STATE_FOLDER};
use crate::functions::Function;
use crate::functions::scale::Scale;
use crate::namespace::NAMESPACE;
use crate::stack::{Amounts, FunctionSpec};

/// What the names of containers begin with.
const PREFIX: &str = "faasflow-";
/// Where watchdogs listen.
const PORT: u16 = 8080;
/// Where watchdogs say whether they are well, and the annotations that name another path.
const HEALTH: &str = "/_/health";
const HEALTH_ANNOTATIONS: [&str; 2] = ["com.openfaas.ready.http.path", "com.openfaas.health.http.path"];

/// What a container may use, and what it is to have.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Allowed {
    limits: Resources,
    requests: Resources,
}

impl Allowed {
    /// Reads limits and requests.
    ///
    /// # Errors
    ///
    /// If they are no amounts, or if more is requested than allowed.
    pub(crate) fn read(spec: &FunctionSpec) -> Result<Allowed, String> {
        let read = |key: &str, amounts: &Amounts| {
            let fault = |of: &str, why: String| format!("`{key}`: `{of}`: {why}");
            let given = |amount: &Option<String>| amount.clone().filter(|amount| !amount.trim().is_empty());
            let memory = given(&amounts.memory).map(|text| quantity::memory(&text)).transpose();
            let cpu = given(&amounts.cpu).map(|text| quantity::cpu(&text)).transpose();
            let resources = Resources {
                memory: memory.map_err(|why| fault("memory", why))?,
                cpu: cpu.map_err(|why| fault("cpu", why))?,
            };
            Ok::<_, String>(resources)
        };
        let limits = read("limits", &spec.resources.limits)?;
        let requests = read("requests", &spec.resources.requests)?;
        let above = |request: Option<u64>, limit: Option<u64>| request.zip(limit).is_some_and(|(r, l)| r > l);
        if above(requests.memory, limits.memory) || above(requests.cpu, limits.cpu) {
            return Err("`requests` has more than `limits` allows; request less, or allow more".to_owned());
        }
        Ok(Allowed { limits, requests })
    }

    /// What is to be said of it.
    pub(super) fn note(&self) -> Option<String> {
        let memory = self.limits.memory.filter(|&memory| memory < LEAST_MEMORY)?;
        Some(format!("the memory limit of {memory} bytes is raised to {LEAST_MEMORY}, the least that Docker takes"))
    }
}

/// What is wrong with a function that is an image, if anything is.
pub(crate) fn check(spec: &FunctionSpec, image: &str) -> Vec<String> {
    let mut faults = Vec::new();
    // It becomes part of a path that the engine is asked for.
    let is_of_name = |c: char| c.is_ascii_alphanumeric() || "._-/:@".contains(c);
    if !image.chars().all(is_of_name) || image.contains("..") || image.starts_with(['/', '.', '-']) {
        faults.push(format!(
            "`image`: `{}` is not the name of an image, such as `ghcr.io/ada/resize:1.2`",
            image.escape_debug()
        ));
    }
    faults.extend(Scale::read(&spec.labels).err().map(|why| format!("`labels`: {why}")));
    faults.extend(Allowed::read(spec).err());
    let path = health_path(spec);
    if !path.starts_with('/') || path.parse::<http::uri::PathAndQuery>().is_err() {
        faults.push(format!("`annotations`: `{}` is not a path, such as `/healthz`", path.escape_debug()));
    }
    faults
}

/// The environment of a function's containers, without the gateway's address, which is known once there is an engine.
pub(crate) fn environment(spec: &FunctionSpec, memory: u64) -> Vec<(String, String)> {
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

/// The port that a function's containers listen on.
pub(super) fn port(spec: &FunctionSpec) -> u16 {
    spec.environment.get("port").and_then(|port| port.trim().parse().ok()).filter(|&port| port != 0).unwrap_or(PORT)
}

/// Where a function says whether it is well.
pub(super) fn health_path(spec: &FunctionSpec) -> &str {
    HEALTH_ANNOTATIONS.iter().find_map(|key| spec.annotations.get(*key)).map_or(HEALTH, String::as_str)
}

/// A name for a container of a function.
pub(super) fn name(spec: &FunctionSpec) -> String {
    format!("{PREFIX}{}-{:08x}", spec.name, rand::random::<u32>())
}

/// Whether a container has a name that this gives. One that was made of an image that was committed from one of ours has our
/// labels, and a name of its own.
pub(super) fn is_name(name: &str, labels: &HashMap<String, String>) -> bool {
    let number = labels.get(FUNCTION).and_then(|function| name.strip_prefix(PREFIX)?.strip_prefix(&**function));
    let digits = number.and_then(|number| number.strip_prefix('-')).unwrap_or_default();
    digits.len() == 8 && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The container of a function. `secrets` is where the engine finds the folder of its secrets.
pub(super) fn blueprint(
    function: &Function,
    name: &str,
    image: &str,
    connected: &Connected,
    secrets: Option<&Path>,
) -> Result<Blueprint, String> {
    let spec = &function.spec;
    let Allowed { limits, requests } = Allowed::read(spec)?;
    let mut environment = function.environment.clone();
    environment.push(("gateway".to_owned(), connected.gateway.clone()));
    let mut labels = spec.labels.clone();
    labels.extend([
        (OWNER.to_owned(), connected.owner.clone()),
        (STATE_FOLDER.to_owned(), connected.state.display().to_string()),
        (FUNCTION.to_owned(), spec.name.clone()),
    ]);
    Ok(Blueprint {
        name: name.to_owned(),
        image: image.to_owned(),
        environment,
        labels,
        port: port(spec),
        secrets: secrets.map(Path::to_owned),
        read_only_root: spec.resources.read_only_root_filesystem,
        limits,
        requests,
        reach: connected.reach.clone(),
    })
}
