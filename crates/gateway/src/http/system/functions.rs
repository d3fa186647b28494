//! Functions are listed, deployed, replaced and removed.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse as _, Response};
use futures_util::future::join_all;
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::absent::absent;
use super::body;
use super::namespace::Namespace;
use crate::answer::plain;
use crate::disk;
use crate::functions::Function;
use crate::functions::Functions;
use crate::functions::container::Containers;
use crate::functions::deploy::{Deployments, Refused};
use crate::functions::deployment::Deployment;
use crate::metrics::Metrics;
use crate::namespace::NAMESPACE;
use crate::rfc3339;
use crate::stack::Amounts;

/// How long the container engine may take to say what containers use.
const USAGE: Duration = Duration::from_secs(3);

/// What there is to tell of functions besides what they are.
pub(crate) struct Reports {
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) containers: Containers,
}

#[derive(Deserialize)]
pub(super) struct Usage {
    #[serde(default)]
    usage: String,
}

pub(super) async fn list(
    State(functions): State<Functions>,
    State(reports): State<Arc<Reports>>,
    Query(Usage { usage }): Query<Usage>,
    Query(namespace): Query<Namespace>,
) -> Json<Vec<Value>> {
    let functions = namespace.only(|| functions.all());
    Json(join_all(functions.iter().map(|function| status(&reports, function, asked(&usage)))).await)
}

pub(super) async fn one(
    State(functions): State<Functions>,
    State(reports): State<Arc<Reports>>,
    Path(name): Path<String>,
    Query(Usage { usage }): Query<Usage>,
    Query(namespace): Query<Namespace>,
) -> Response {
    if let Err(why) = namespace.check() {
        return plain(StatusCode::NOT_FOUND, why);
    }
    match functions.find(&name) {
        Some(function) => Json(status(&reports, &function, asked(&usage)).await).into_response(),
        None => absent(&name),
    }
}

fn asked(usage: &str) -> bool {
    ["1", "true"].contains(&usage)
}

pub(super) async fn scale(
    State(functions): State<Functions>,
    Path(name): Path<String>,
    Query(namespace): Query<Namespace>,
    body: Body,
) -> Response {
    if let Err(why) = namespace.check() {
        return plain(StatusCode::NOT_FOUND, why);
    }
    let Some(function) = functions.find(&name) else { return absent(&name) };
    // One process serves all requests. What is asked for is not looked at, as in the versions that knew no containers.
    let Some(scale) = &function.scale else { return StatusCode::ACCEPTED.into_response() };
    match body::read::<Scaling>(body).await {
        Ok(Scaling { replicas }) => match scale.set(replicas) {
            Ok(()) => StatusCode::ACCEPTED.into_response(),
            Err(why) => plain(StatusCode::BAD_REQUEST, format!("`{name}`: {why}")),
        },
        Err(response) => *response,
    }
}

/// How many of a function there are to be.
#[derive(Deserialize)]
struct Scaling {
    replicas: u32,
}

pub(super) async fn deploy(State(deployments): State<Arc<Deployments>>, body: Body) -> Response {
    put(deployments, body, false).await
}

pub(super) async fn replace(State(deployments): State<Arc<Deployments>>, body: Body) -> Response {
    put(deployments, body, true).await
}

async fn put(deployments: Arc<Deployments>, body: Body, replace: bool) -> Response {
    let deployment = match body::read::<Deployment>(body).await {
        Ok(deployment) => deployment,
        Err(response) => return *response,
    };
    match deployments.settle(&deployment, replace).await {
        Ok(runs) => change(deployments, move |deployments| deployments.deploy(deployment, runs, replace)).await,
        Err(Refused(status, why)) => plain(status, why),
    }
}

/// What is to be removed.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Removal {
    function_name: String,
    namespace: Option<String>,
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
    let forget = move |name: &str| reports.metrics.forget(name);
    change(deployments, move |deployments| deployments.remove(&name, namespace.as_deref(), forget)).await
}

/// Does what waits for the disk. It is done also if whoever asked goes away.
async fn change(
    deployments: Arc<Deployments>,
    work: impl FnOnce(&Deployments) -> Result<(), Refused> + Send + 'static,
) -> Response {
    match tokio::task::spawn_blocking(move || work(&deployments)).await {
        Ok(Ok(())) => StatusCode::ACCEPTED.into_response(),
        Ok(Err(Refused(status, why))) => disk::answer(status, why),
        Err(error) => plain(StatusCode::INTERNAL_SERVER_ERROR, format!("it was not done: {error}")),
    }
}

/// A function as OpenFaaS's providers report one.
async fn status(reports: &Reports, function: &Arc<Function>, usage: bool) -> Value {
    let spec = &function.spec;
    let process = spec.process.as_deref().unwrap_or_default();
    // As on Kubernetes, where it is how a function's pods are found.
    let mut labels = spec.labels.clone();
    labels.insert("faas_function".to_owned(), spec.name.clone());
    let mut status = json!({
        "name": spec.name,
        "namespace": NAMESPACE,
        "image": spec.image.clone().unwrap_or_default(),
        "replicas": function.replicas(),
        "availableReplicas": function.available(),
        "invocationCount": reports.metrics.invocations(&spec.name),
        "createdAt": rfc3339::written(function.created_ms),
        "labels": labels,
        "annotations": spec.annotations,
    });
    // Left out where nothing was given, as by OpenFaaS's providers.
    for (key, value, is_given) in [
        ("envProcess", json!(process), !process.is_empty()),
        ("envVars", json!(spec.environment), !spec.environment.is_empty()),
        ("secrets", json!(spec.secrets), !spec.secrets.is_empty()),
    ] {
        if is_given {
            status[key] = value;
        }
    }
    let given = function.deployment.as_ref();
    let told = |given: Option<&Value>, own: &Amounts| given.map_or_else(|| amounts(own), Clone::clone);
    for (key, value) in [
        ("limits", told(given.and_then(|given| given.limits.as_ref()), &spec.resources.limits)),
        ("requests", told(given.and_then(|given| given.requests.as_ref()), &spec.resources.requests)),
        ("constraints", json!(given.and_then(|given| given.constraints.as_ref()))),
    ] {
        if !value.is_null() {
            status[key] = value;
        }
    }
    if spec.resources.read_only_root_filesystem {
        status["readOnlyRootFilesystem"] = json!(true);
    }
    if usage {
        let bytes = match function.process() {
            Some(process) => memory(process),
            None => memory_of_containers(&reports.containers, function).await,
        };
        status["usage"] = json!({ "totalMemoryBytes": bytes });
    }
    status
}

/// Amounts as an API tells them, `null` where none is given.
fn amounts(amounts: &Amounts) -> Value {
    let entries = [("memory", &amounts.memory), ("cpu", &amounts.cpu)];
    let given: serde_json::Map<_, _> =
        entries.into_iter().filter_map(|(key, amount)| Some((key.to_owned(), json!(amount.as_ref()?)))).collect();
    if given.is_empty() { Value::Null } else { Value::Object(given) }
}

/// What the containers of a function hold in memory together, in bytes, as far as the engine tells within a moment.
async fn memory_of_containers(containers: &Containers, function: &Arc<Function>) -> u64 {
    let ids = function.containers();
    if ids.is_empty() {
        return 0;
    }
    let asking = async {
        let Ok(connected) = containers.connected().await else { return 0 };
        let told = join_all(ids.iter().map(|id| connected.engine.memory(id))).await;
        told.into_iter().filter_map(Result::ok).sum()
    };
    tokio::time::timeout(USAGE, asking).await.unwrap_or(0)
}

/// What a process holds in memory, in bytes, where the operating system tells: Linux, in `/proc`.
fn memory(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let kilobytes =
        status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?.parse().ok());
    kilobytes.map_or(0, |kilobytes: u64| kilobytes * 1024)
}
