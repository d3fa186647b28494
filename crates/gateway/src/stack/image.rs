//! A function that is an image: what its containers may use, where they listen, and where they say whether they are well.

use faasflow_containers::{LEAST_MEMORY, Resources, quantity};

use super::replicas::Replicas;
use super::spec::{Amounts, FunctionSpec};

/// Where watchdogs listen.
const PORT: u16 = 8080;
/// Where watchdogs say whether they are well, and the annotations that name another path.
const HEALTH: &str = "/_/health";
const HEALTH_ANNOTATIONS: [&str; 2] = ["com.openfaas.ready.http.path", "com.openfaas.health.http.path"];

/// What a container may use, and what it is to have.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Allowed {
    pub(crate) limits: Resources,
    pub(crate) requests: Resources,
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
    pub(crate) fn note(&self) -> Option<String> {
        let memory = self.limits.memory.filter(|&memory| memory < LEAST_MEMORY)?;
        Some(format!("the memory limit of {memory} bytes is raised to {LEAST_MEMORY}, the least that Docker takes"))
    }
}

/// What is wrong with a function that is an image, if anything is.
pub(super) fn check(spec: &FunctionSpec, image: &str) -> Vec<String> {
    let mut faults = Vec::new();
    // It becomes part of a path that the engine is asked for.
    let is_of_name = |c: char| c.is_ascii_alphanumeric() || "._-/:@".contains(c);
    if !image.chars().all(is_of_name) || image.contains("..") || image.starts_with(['/', '.', '-']) {
        faults.push(format!(
            "`image`: `{}` is not the name of an image, such as `ghcr.io/ada/resize:1.2`",
            image.escape_debug()
        ));
    }
    faults.extend(Replicas::read(&spec.labels).err().map(|why| format!("`labels`: {why}")));
    faults.extend(Allowed::read(spec).err());
    let path = health_path(spec);
    if !path.starts_with('/') || path.parse::<http::uri::PathAndQuery>().is_err() {
        faults.push(format!("`annotations`: `{}` is not a path, such as `/healthz`", path.escape_debug()));
    }
    faults
}

/// The port that a function's containers listen on.
pub(crate) fn port(spec: &FunctionSpec) -> u16 {
    spec.environment.get("port").and_then(|port| port.trim().parse().ok()).filter(|&port| port != 0).unwrap_or(PORT)
}

/// Where a function says whether it is well.
pub(crate) fn health_path(spec: &FunctionSpec) -> &str {
    HEALTH_ANNOTATIONS.iter().find_map(|key| spec.annotations.get(*key)).map_or(HEALTH, String::as_str)
}
