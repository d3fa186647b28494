//! The list of requests that are remembered.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use faasflow_admin::state::{self as api, StateRequest, StateRequests};
use faasflow_core::state::{ListPosition, ListQuery, Listed, Status};
use http::StatusCode;
use serde::Deserialize;

use super::access::{Caller, Named, StateAccess, answer, bad_parameter, limit, number, short, turn};
use crate::disk::store_answer as failed;
use crate::http::system::extract::Parameters;

/// How many lines there are by default.
const LISTED: usize = 100;

#[derive(Deserialize)]
pub(super) struct Listing {
    #[serde(flatten)]
    named: Named,
    started_ms: String,
    status: String,
    keep_ms: Option<String>,
    known_ms: Option<String>,
}

/// Changes the status of a request. With `keep_ms`, the request has ended, and expires.
pub(super) async fn list(
    State(access): State<Arc<StateAccess>>,
    Extension(caller): Extension<Caller>,
    Parameters(listing): Parameters<Listing>,
) -> Response {
    let list = async {
        let started_ms = number(api::STARTED_PARAMETER, &listing.started_ms)?;
        let status = parse(&listing.status)?;
        let millis = |name, text: &Option<String>| text.as_deref().map(|text| number(name, text)).transpose();
        let keep_ms = millis(api::KEEP_PARAMETER, &listing.keep_ms)?;
        let known_ms = millis(api::KNOWN_PARAMETER, &listing.known_ms)?;
        let scope = listing.named.scope(caller)?;
        let _turn = turn(&access.store).await?;
        let listed = match (keep_ms, known_ms) {
            (None, None) => access.store.list(scope, started_ms, status).await,
            (Some(keep_ms), known_ms) => {
                let (keep_for, known_for) =
                    (Duration::from_millis(keep_ms), Duration::from_millis(known_ms.unwrap_or_default()));
                access.store.retire(scope, started_ms, status, keep_for, known_for).await
            }
            (None, Some(_)) => return Err(bad_parameter("`known_ms` needs `keep_ms`")),
        };
        listed.map_err(|error| failed(&error))?;
        Ok(StatusCode::NO_CONTENT.into_response())
    };
    answer(list.await)
}

#[derive(Deserialize)]
pub(super) struct Lines {
    flow: String,
    status: Option<String>,
    since_ms: Option<String>,
    after_ms: Option<String>,
    after: Option<String>,
    limit: Option<String>,
}

/// Answers with lines of the list of a flow's requests, from the newest to the oldest.
pub(super) async fn lines(
    State(access): State<Arc<StateAccess>>,
    Extension(Caller(function)): Extension<Caller>,
    Parameters(lines): Parameters<Lines>,
) -> Response {
    let list = async {
        short(api::FLOW_PARAMETER, &lines.flow)?;
        let limit = limit(lines.limit.as_deref(), LISTED, api::MOST_LINES)?;
        let after = match (lines.after_ms.as_deref(), lines.after) {
            (None, None) => None,
            (Some(started_ms), Some(request)) => {
                let started_ms = number(api::AFTER_PARAMETERS[0], started_ms)?;
                Some(ListPosition { started_ms, request })
            }
            _ => return Err(bad_parameter("`after_ms` and `after` are given together")),
        };
        let query = ListQuery {
            status: lines.status.as_deref().map(parse).transpose()?,
            since_ms: lines.since_ms.as_deref().map_or(Ok(0), |text| number(api::SINCE_PARAMETER, text))?,
            after,
            limit: limit + 1,
        };
        let _turn = turn(&access.store).await?;
        let mut found = access.store.lines(function, lines.flow, query).await.map_err(|error| failed(&error))?;
        let mut told = StateRequests::default();
        told.more = found.len() > limit;
        found.truncate(limit);
        told.requests = found.into_iter().map(tell).collect();
        Ok(Json(told).into_response())
    };
    answer(list.await)
}

fn parse(status: &str) -> Result<Status, Box<Response>> {
    status.parse().map_err(|error| bad_parameter(format!("`{}`: {error}", api::STATUS_PARAMETER)))
}

fn tell(line: Listed) -> StateRequest {
    let mut told = StateRequest::default();
    (told.request, told.started_ms, told.status) = (line.request, line.started_ms, line.status.to_string());
    told
}
