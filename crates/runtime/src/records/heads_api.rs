//! The API of a flow function about the query and the headers of its requests, and about the headers of failed answers.

use std::sync::Arc;

use axum::extract::{RawQuery, Request, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, Router};

use super::api::{Id, named, parameters, saying_if_masked};
use super::parameters::{Nothing, Showing};
use super::refused::answered_about;
use crate::instance::Instance;

/// The routes below `/_/requests/ID/`.
pub(super) fn routes(function: Arc<Instance>) -> Router {
    Router::new()
        .route("/_/requests/{id}/input/head", get(input_head))
        .route("/_/requests/{id}/answer/head", get(answer_head))
        .with_state(function)
}

async fn input_head(
    State(function): State<Arc<Instance>>,
    Id(id): Id,
    RawQuery(query): RawQuery,
    request: Request,
) -> Response {
    let answer = async {
        function.signed(request).await?;
        let scope = function.scope_from(&id)?;
        let Nothing {} = parameters(query.as_deref())?;
        let head = function.request_head(&scope).await?;
        let is_masked = head.is_masked();
        Ok(saying_if_masked(Json(head).into_response(), is_masked))
    };
    answered_about(&id, answer.await)
}

async fn answer_head(
    State(function): State<Arc<Instance>>,
    Id(id): Id,
    RawQuery(query): RawQuery,
    request: Request,
) -> Response {
    let answer = async {
        function.signed(request).await?;
        let scope = function.scope_from(&id)?;
        let Showing { place } = parameters(query.as_deref())?;
        let place = named(place.as_deref())?;
        let head = function.answer_head(&scope, &place).await?;
        let is_masked = head.is_masked();
        Ok(saying_if_masked(Json(head).into_response(), is_masked))
    };
    answered_about(&id, answer.await)
}
