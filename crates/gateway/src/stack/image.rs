//! A function that is an image: the resources of its containers, their port, and their health endpoint.

use faasflow_containers::quantity::{self, QuantityError};
use faasflow_containers::{LEAST_MEMORY, Resources};

use super::fault::Fault;
use super::replicas::Replicas;
use super::spec::{Amounts, FunctionSpec};

/// The port that watchdogs listen on.
const PORT: u16 = 8080;
/// The health endpoint of watchdogs, and the annotations that name another path.
const HEALTH: &str = "/_/health";
const HEALTH_ANNOTATIONS: [&str; 2] = ["com.openfaas.ready.http.path", "com.openfaas.health.http.path"];

/// The most that a container may use, and what it requests.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ResourceBounds {
    pub(crate) limits: Resources,
    pub(crate) requests: Resources,
}

impl ResourceBounds {
    /// Reads limits and requests.
    ///
    /// # Errors
    ///
    /// If one is not an amount, or if a request exceeds its limit.
    pub(crate) fn read(spec: &FunctionSpec) -> Result<ResourceBounds, Fault> {
        let read = |key: &str, amounts: &Amounts| {
            let fault =
                |of: &str, error: QuantityError| Fault::value(format!("`{key}`: `{of}`: {error}")).help(error.help());
            let given = |amount: &Option<String>| amount.clone().filter(|amount| !amount.trim().is_empty());
            let memory = given(&amounts.memory).map(|text| quantity::memory(&text)).transpose();
            let cpu = given(&amounts.cpu).map(|text| quantity::cpu(&text)).transpose();
            let resources = Resources {
                memory: memory.map_err(|error| fault("memory", error))?,
                cpu: cpu.map_err(|error| fault("cpu", error))?,
            };
            Ok::<_, Fault>(resources)
        };
        let limits = read("limits", &spec.resources.limits)?;
        let requests = read("requests", &spec.resources.requests)?;
        let above = |request: Option<u64>, limit: Option<u64>| request.zip(limit).is_some_and(|(r, l)| r > l);
        if above(requests.memory, limits.memory) || above(requests.cpu, limits.cpu) {
            return Err(Fault::value("`requests` exceeds `limits`").help("request less, or raise the limit"));
        }
        Ok(ResourceBounds { limits, requests })
    }

    /// A note for the user about the limits.
    pub(crate) fn note(&self) -> Option<String> {
        let memory = self.limits.memory.filter(|&memory| memory < LEAST_MEMORY)?;
        Some(format!("the memory limit of {memory} bytes is raised to {LEAST_MEMORY}, the least that Docker accepts"))
    }
}

/// Returns what is wrong with a function that is an image.
pub(super) fn check(spec: &FunctionSpec, image: &str) -> Vec<Fault> {
    let mut faults = Vec::new();
    // The name becomes part of the path of a request to the engine.
    let is_of_name = |c: char| c.is_ascii_alphanumeric() || "._-/:@".contains(c);
    if !image.chars().all(is_of_name) || image.contains("..") || image.starts_with(['/', '.', '-']) {
        let what = format!("`image`: `{}` is not the name of an image", image.escape_debug());
        faults.push(Fault::value(what).help("write a name such as `ghcr.io/ada/resize:1.2`"));
    }
    faults.extend(Replicas::read(&spec.labels).err().map(|fault| fault.context("`labels`: ")));
    faults.extend(ResourceBounds::read(spec).err());
    let path = health_path(spec);
    if !path.starts_with('/') || path.parse::<http::uri::PathAndQuery>().is_err() {
        let what = format!("`annotations`: `{}` is not a path", path.escape_debug());
        faults.push(Fault::value(what).help("write a path such as `/healthz`"));
    }
    faults
}

/// The port that a function's containers listen on.
pub(crate) fn port(spec: &FunctionSpec) -> u16 {
    spec.environment.get("port").and_then(|port| port.trim().parse().ok()).filter(|&port| port != 0).unwrap_or(PORT)
}

/// The path of a function's health endpoint.
pub(crate) fn health_path(spec: &FunctionSpec) -> &str {
    HEALTH_ANNOTATIONS.iter().find_map(|key| spec.annotations.get(*key)).map_or(HEALTH, String::as_str)
}
