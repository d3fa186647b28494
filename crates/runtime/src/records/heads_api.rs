//! The API of a flow function about the query and the headers of its requests, and about the headers of failed answers.

use std::sync::Arc;

use axum::extract::{RawQuery, Request, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, Router};
use faasflow_core::headers;
use http::HeaderValue;
use serde::Serialize;

use super::api::{Id, named, parameters};
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
        Ok(response(&head, head.is_masked()))
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
        Ok(response(&head, head.is_masked()))
    };
    answered_about(&id, answer.await)
}

fn response(head: &impl Serialize, is_masked: bool) -> Response {
    let mut response = Json(head).into_response();
    if is_masked {
        response.headers_mut().insert(headers::MASKED, HeaderValue::from_static("true"));
    }
    response
}
