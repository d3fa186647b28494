//! Functions are listed, deployed, replaced and removed.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Namespace, body};
use crate::deploy::{Deployments, Refused};
use crate::disk;
use crate::functions::deployment::Deployment;
use crate::functions::{Function, NAMESPACE};
use crate::proxy::plain;
use crate::rfc3339;
use crate::routes::App;

#[derive(Deserialize)]
pub(super) struct Usage {
    #[serde(default)]
    usage: String,
}

pub(super) async fn list(
    State(app): State<App>,
    Query(Usage { usage }): Query<Usage>,
    Query(namespace): Query<Namespace>,
) -> Json<Vec<Value>> {
    let functions = namespace.only(|| app.functions.all());
    Json(functions.iter().map(|function| status(&app, function, asked(&usage))).collect())
}

pub(super) async fn one(
    State(app): State<App>,
    Path(name): Path<String>,
    Query(Usage { usage }): Query<Usage>,
    Query(namespace): Query<Namespace>,
) -> Response {
    if let Err(why) = namespace.check() {
        return plain(StatusCode::NOT_FOUND, why);
    }
    match app.functions.find(&name) {
        Some(function) => Json(status(&app, &function, asked(&usage))).into_response(),
        None => absent(&name),
    }
}

fn asked(usage: &str) -> bool {
    ["1", "true"].contains(&usage)
}

pub(super) async fn scale(
    State(app): State<App>,
    Path(name): Path<String>,
    Query(namespace): Query<Namespace>,
) -> Response {
    if let Err(why) = namespace.check() {
        return plain(StatusCode::NOT_FOUND, why);
    }
    match app.functions.find(&name) {
        // One process serves all requests here.
        Some(_) => StatusCode::ACCEPTED.into_response(),
        None => absent(&name),
    }
}

pub(super) async fn deploy(State(app): State<App>, body: Body) -> Response {
    match body::read::<Deployment>(body).await {
        Ok(deployment) => change(&app, move |deployments| deployments.deploy(deployment, false)).await,
        Err(response) => *response,
    }
}

pub(super) async fn replace(State(app): State<App>, body: Body) -> Response {
    match body::read::<Deployment>(body).await {
        Ok(deployment) => change(&app, move |deployments| deployments.deploy(deployment, true)).await,
        Err(response) => *response,
    }
}

/// What is to be removed.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Removal {
    function_name: String,
    namespace: Option<String>,
}

pub(super) async fn remove(State(app): State<App>, body: Body) -> Response {
    let Removal { function_name: name, namespace } = match body::read(body).await {
        Ok(removal) => removal,
        Err(response) => return *response,
    };
    let counting = app.clone();
    let forget = move |name: &str| counting.metrics.forget(name);
    change(&app, move |deployments| deployments.remove(&name, namespace.as_deref(), forget)).await
}

/// Does what waits for the disk. It is done also if whoever asked goes away.
async fn change(app: &App, work: impl FnOnce(&Deployments) -> Result<(), Refused> + Send + 'static) -> Response {
    let deployments = app.deployments.clone();
    match tokio::task::spawn_blocking(move || work(&deployments)).await {
        Ok(Ok(())) => StatusCode::ACCEPTED.into_response(),
        Ok(Err(Refused(status, why))) => disk::answer(status, why),
        Err(error) => plain(StatusCode::INTERNAL_SERVER_ERROR, format!("it was not done: {error}")),
    }
}

pub(super) fn absent(name: &str) -> Response {
    plain(StatusCode::NOT_FOUND, format!("there is no function `{name}` here"))
}

/// A function as OpenFaaS's providers report one.
fn status(app: &App, function: &Arc<Function>, usage: bool) -> Value {
    let spec = &function.spec;
    let process = spec.process.as_deref().unwrap_or_default();
    let mut status = json!({
        "name": spec.name,
        "namespace": NAMESPACE,
        "image": spec.image.clone().unwrap_or_default(),
        "replicas": 1,
        "availableReplicas": u8::from(function.is_available()),
        "invocationCount": app.metrics.invocations(&spec.name),
        "createdAt": rfc3339::written(function.created_ms),
    });
    // Left out where nothing was given, as by OpenFaaS's providers.
    for (key, value, is_given) in [
        ("envProcess", json!(process), !process.is_empty()),
        ("envVars", json!(spec.environment), !spec.environment.is_empty()),
        ("labels", json!(spec.labels), !spec.labels.is_empty()),
        ("annotations", json!(spec.annotations), !spec.annotations.is_empty()),
        ("secrets", json!(spec.secrets), !spec.secrets.is_empty()),
    ] {
        if is_given {
            status[key] = value;
        }
    }
    if let Some(deployment) = &function.deployment {
        for (key, value) in [
            ("limits", json!(deployment.limits)),
            ("requests", json!(deployment.requests)),
            ("constraints", json!(deployment.constraints)),
        ] {
            if !value.is_null() {
                status[key] = value;
            }
        }
        if deployment.read_only_root_filesystem {
            status["readOnlyRootFilesystem"] = json!(true);
        }
    }
    if usage {
        status["usage"] = json!({ "totalMemoryBytes": function.process().map_or(0, memory) });
    }
    status
}

/// What a process holds in memory, in bytes, where the operating system tells: Linux, in `/proc`.
fn memory(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let kilobytes =
        status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?.parse().ok());
    kilobytes.map_or(0, |kilobytes: u64| kilobytes * 1024)
}
