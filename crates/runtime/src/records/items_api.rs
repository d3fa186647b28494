//! The API of a flow function about single places of its requests, and about the items that they began.

use std::sync::Arc;

use axum::Router;
use axum::extract::{RawQuery, Request, State};
use axum::response::Response;
use axum::routing::get;
use faasflow_core::machine::forked::{MemberQuery, MemberStatus};
use http::StatusCode;

use super::api::{Id, named, number, parameters};
use super::cursor::NOT_A_CURSOR;
use super::items::{STATUSES, name_of};
use super::listing::searched;
use super::parameters::{ListingItems, Showing};
use super::refused::{Answered, answered_about, bad};
use super::tagged::with_tag;
use crate::instance::Instance;

/// How many items a page has by default, and at most.
pub(super) const LISTED: usize = 50;
pub(super) const MOST_LISTED: usize = 100;

/// The routes below `/_/requests/ID/`.
pub(super) fn routes(function: Arc<Instance>) -> Router {
    Router::new()
        .route("/_/requests/{id}/items", get(items))
        .route("/_/requests/{id}/place", get(place))
        .with_state(function)
}

async fn items(
    State(function): State<Arc<Instance>>,
    Id(id): Id,
    RawQuery(query): RawQuery,
    request: Request,
) -> Response {
    let asked = request.headers().clone();
    let answer = async {
        function.signed(request).await?;
        let scope = function.scope_from(&id)?;
        let parameters: ListingItems = parameters(query.as_deref())?;
        let fork = named(parameters.place.as_deref())?;
        let query = MemberQuery {
            fork: &fork,
            status: parameters.status.as_deref().map(status).transpose()?,
            search: parameters.search.as_deref().map(|text| searched("search", text)).transpose()?,
            after: parameters.cursor.as_deref().map(position).transpose()?,
            limit: number("limit", parameters.limit.as_deref(), LISTED, MOST_LISTED)?,
        };
        let told = function.items(&scope, query).await?;
        Ok(with_tag(StatusCode::OK, &told, &asked))
    };
    answered_about(&id, answer.await)
}

async fn place(
    State(function): State<Arc<Instance>>,
    Id(id): Id,
    RawQuery(query): RawQuery,
    request: Request,
) -> Response {
    let asked = request.headers().clone();
    let answer = async {
        function.signed(request).await?;
        let scope = function.scope_from(&id)?;
        let Showing { place } = parameters(query.as_deref())?;
        let place = named(place.as_deref())?;
        let told = function.one_place(&scope, &place).await?;
        Ok(with_tag(StatusCode::OK, &told, &asked))
    };
    answered_about(&id, answer.await)
}

fn status(text: &str) -> Answered<MemberStatus> {
    match STATUSES.into_iter().find(|status| name_of(*status) == text) {
        Some(status) => Ok(status),
        None => bad("`status` must be `failed`, `retrying`, `running`, `waiting`, `done` or `stopped`"),
    }
}

/// The position of a cursor: the status and the number of the last item of the page before.
fn position(text: &str) -> Answered<(MemberStatus, u32)> {
    let parsed = text.split_once('~').and_then(|(status, number)| {
        let status = STATUSES.into_iter().find(|known| name_of(*known) == status)?;
        Some((status, number.parse::<u32>().ok()?.checked_sub(1)?))
    });
    parsed.map_or_else(|| bad(NOT_A_CURSOR), Ok)
}
