//! The last hour of the gateway, and of one flow.

use axum::Json;
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use faasflow_admin::Activity;

use super::flows::find;
use crate::functions::Functions;
use crate::monitor::Monitor;

pub(super) async fn of_gateway(State(monitor): State<Monitor>) -> Json<Activity> {
    Json(monitor.activity())
}

pub(super) async fn of_flow(
    State(monitor): State<Monitor>,
    State(functions): State<Functions>,
    Path(name): Path<String>,
) -> Response {
    match find(&functions, &name) {
        Ok(function) => Json(monitor.flow_activity(&function.spec.name).await).into_response(),
        Err(answer) => *answer,
    }
}
