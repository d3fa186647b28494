//! Lists, deploys, replaces and removes functions.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use faasflow_admin::{Deployment, FunctionStatus, Removal, Scaling, Usage};
use faasflow_core::code;
use futures_util::future::join_all;
use http::StatusCode;
use serde::Deserialize;
use serde_json::Value;

use super::absent::absent;
use super::body;
use super::extract::{Parameters, Segment};
use super::namespace::Namespace;
use crate::answer::refusal;
use crate::disk;
use crate::functions::Function;
use crate::functions::Functions;
use crate::functions::container::Containers;
use crate::functions::deploy::{Change, Deployments, Refusal};
use crate::metrics::Metrics;
use crate::monitor::Monitor;
use crate::namespace::NAMESPACE;
use crate::rfc3339;
use crate::stack::Amounts;

/// How long the container engine may take to report the memory of containers.
const USAGE: Duration = Duration::from_secs(3);

/// The sources for the state of functions.
pub(crate) struct Reports {
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) monitor: Monitor,
    pub(crate) containers: Containers,
}

/// Whether the answer should include what functions use.
#[derive(Deserialize)]
pub(super) struct UsageQuery {
    #[serde(default)]
    usage: String,
}

impl UsageQuery {
    fn usage(&self) -> bool {
        ["1", "true"].contains(&self.usage.as_str())
    }
}

pub(super) async fn list(
    State(functions): State<Functions>,
    State(reports): State<Arc<Reports>>,
    Parameters(asked): Parameters<UsageQuery>,
    Parameters(namespace): Parameters<Namespace>,
) -> Json<Vec<FunctionStatus>> {
    let functions = namespace.only(|| functions.all());
    Json(join_all(functions.iter().map(|function| status(&reports, function, asked.usage()))).await)
}

pub(super) async fn one(
    State(functions): State<Functions>,
    State(reports): State<Arc<Reports>>,
    Segment(name): Segment,
    Parameters(asked): Parameters<UsageQuery>,
    Parameters(namespace): Parameters<Namespace>,
) -> Response {
    if let Some(refusal) = namespace.refuse_others() {
        return refusal;
    }
    match functions.find(&name) {
        Some(function) => Json(status(&reports, &function, asked.usage()).await).into_response(),
        None => absent(&name),
    }
}

pub(super) async fn scale(
    State(functions): State<Functions>,
    Segment(name): Segment,
    Parameters(namespace): Parameters<Namespace>,
    body: Body,
) -> Response {
    if let Some(refusal) = namespace.refuse_others() {
        return refusal;
    }
    let Some(function) = functions.find(&name) else { return absent(&name) };
    // One process serves all requests, so the body is ignored, as it was before the gateway supported containers.
    let Some(scale) = &function.scale else { return StatusCode::ACCEPTED.into_response() };
    match body::read::<Scaling>(body).await {
        Ok(Scaling { replicas }) => match scale.set(replicas) {
            Ok(()) => StatusCode::ACCEPTED.into_response(),
            Err(why) => refusal(StatusCode::BAD_REQUEST, code::BAD_SCALE, format!("`{name}`: {why}")),
        },
        Err(response) => *response,
    }
}

pub(super) async fn deploy(State(deployments): State<Arc<Deployments>>, body: Body) -> Response {
    put(deployments, body, Change::Add).await
}

pub(super) async fn replace(State(deployments): State<Arc<Deployments>>, body: Body) -> Response {
    put(deployments, body, Change::Replace).await
}

async fn put(deployments: Arc<Deployments>, body: Body, kind: Change) -> Response {
    let deployment = match body::read::<Deployment>(body).await {
        Ok(deployment) => deployment,
        Err(response) => return *response,
    };
    match deployments.settle(&deployment, kind).await {
        Ok(runs) => change(deployments, move |deployments| deployments.deploy(deployment, runs, kind)).await,
        Err(Refusal { status, code, text }) => refusal(status, code, text),
    }
}

pub(super) async fn remove(
    State(deployments): State<Arc<Deployments>>,
    State(reports): State<Arc<Reports>>,
    body: Body,
) -> Response {
    let Removal { function_name: name, namespace } = match body::read(body).await {
        Ok(removal) => removal,
        Err(response) => return *response,
    };
    let forget = move |name: &str| reports.monitor.forget(name);
    change(deployments, move |deployments| deployments.remove(&name, namespace.as_deref(), forget)).await
}

/// Runs a change that waits for the disk. It is completed even if the client disconnects.
async fn change(
    deployments: Arc<Deployments>,
    work: impl FnOnce(&Deployments) -> Result<(), Refusal> + Send + 'static,
) -> Response {
    match tokio::task::spawn_blocking(move || work(&deployments)).await {
        Ok(Ok(())) => StatusCode::ACCEPTED.into_response(),
        Ok(Err(Refusal { status, code, text })) => disk::answer(status, code, text),
        Err(error) => {
            let text = format!("the change failed: {error}");
            refusal(StatusCode::INTERNAL_SERVER_ERROR, code::GATEWAY_FAILED, text)
        }
    }
}

/// A function as providers of OpenFaaS report it. Like them, it leaves out what was not given.
async fn status(reports: &Reports, function: &Arc<Function>, usage: bool) -> FunctionStatus {
    let spec = &function.spec;
    // On Kubernetes, the pods of a function are found by this label.
    let mut labels = spec.labels.clone();
    labels.insert("faas_function".to_owned(), spec.name.clone());
    let given = function.deployment.as_ref();
    let usage = match (usage, function.process()) {
        (false, _) => None,
        (true, Some(process)) => Some(memory(process)),
        (true, None) => Some(memory_of_containers(&reports.containers, function).await),
    };
    let mut status = FunctionStatus::default();
    status.annotations = Some(spec.annotations.clone());
    status.available_replicas = Some(function.available() as u64);
    status.constraints = given.and_then(|given| given.constraints.clone());
    status.created_at = Some(rfc3339::format(function.created_ms));
    status.env_process = spec.process.clone().filter(|process| !process.is_empty());
    status.env_vars = Some(spec.environment.clone()).filter(|variables| !variables.is_empty());
    status.image = Some(spec.image.clone().unwrap_or_default());
    status.invocation_count = Some(reports.metrics.invocations(&spec.name));
    status.labels = Some(labels);
    status.limits = amounts(given.and_then(|given| given.limits.as_ref()), &spec.resources.limits);
    status.name = spec.name.clone();
    status.namespace = Some(NAMESPACE.to_owned());
    status.read_only_root_filesystem = Some(true).filter(|_| spec.resources.read_only_root_filesystem);
    status.replicas = Some(function.replicas().into());
    status.requests = amounts(given.and_then(|given| given.requests.as_ref()), &spec.resources.requests);
    status.secrets = Some(spec.secrets.clone()).filter(|secrets| !secrets.is_empty());
    status.usage = usage.map(|bytes| {
        let mut usage = Usage::default();
        usage.total_memory_bytes = bytes;
        usage
    });
    status
}

/// Memory and CPU as the deployment gave them, or else the stack file; `None` if neither did.
fn amounts(given: Option<&Value>, own: &Amounts) -> Option<BTreeMap<String, Option<String>>> {
    if let Some(given) = given {
        // It was checked when the function was deployed.
        return Deserialize::deserialize(given).ok()?;
    }
    let entries = [("memory", &own.memory), ("cpu", &own.cpu)];
    let given = entries.into_iter().filter(|(_, amount)| amount.is_some());
    let given: BTreeMap<_, _> = given.map(|(key, amount)| (key.to_owned(), amount.clone())).collect();
    (!given.is_empty()).then_some(given)
}

/// The memory of all containers of a function, in bytes, as far as the engine reports it within [`USAGE`].
async fn memory_of_containers(containers: &Containers, function: &Arc<Function>) -> u64 {
    let ids = function.containers();
    if ids.is_empty() {
        return 0;
    }
    let asking = async {
        let Ok(connected) = containers.connected().await else { return 0 };
        let measured = join_all(ids.iter().map(|id| connected.engine.memory(id))).await;
        measured.into_iter().filter_map(Result::ok).sum()
    };
    tokio::time::timeout(USAGE, asking).await.unwrap_or(0)
}

/// The memory of a process in bytes, from `/proc`; 0 on systems other than Linux.
fn memory(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let kilobytes =
        status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?.parse().ok());
    kilobytes.map_or(0, |kilobytes: u64| kilobytes * 1024)
}
