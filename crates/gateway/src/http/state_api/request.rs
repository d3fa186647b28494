//! The store itself, and all values of a request.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use faasflow_admin::state::{self as api, StateKey, StateListing, StateStore};
use http::StatusCode;
use serde::Deserialize;

use super::access::{Caller, Named, StateAccess, answer, limit, number, turn};
use crate::disk::store_answer as failed;
use crate::http::system::extract::Parameters;

/// The most keys in one listing, and how many there are by default.
const MOST_LISTED: usize = 1_000;
const LISTED: usize = 100;

pub(super) async fn store(State(access): State<Arc<StateAccess>>) -> Response {
    let limits = access.store.limits();
    let mut told = StateStore::default();
    told.max_value = limits.max_value;
    told.max_key = api::LONGEST_KEY as u64;
    told.max_keys = api::MOST_KEYS as u64;
    told.time_to_live_ms = u64::try_from(limits.time_to_live.as_millis()).unwrap_or(u64::MAX);
    Json(told).into_response()
}

#[derive(Deserialize)]
pub(super) struct Listing {
    #[serde(flatten)]
    named: Named,
    after: Option<String>,
    limit: Option<String>,
}

pub(super) async fn keys(
    State(access): State<Arc<StateAccess>>,
    Extension(caller): Extension<Caller>,
    Parameters(listing): Parameters<Listing>,
) -> Response {
    let list = async {
        let limit = limit(listing.limit.as_deref(), LISTED, MOST_LISTED)?;
        let scope = listing.named.scope(caller)?;
        let _turn = turn(&access.store).await?;
        let mut found = access.store.keys(scope, listing.after, limit + 1).await.map_err(|error| failed(&error))?;
        let mut told = StateListing::default();
        told.more = found.len() > limit;
        found.truncate(limit);
        let tell = |(key, version, bytes): (String, u64, u64)| {
            let mut told = StateKey::default();
            (told.key, told.version, told.bytes) = (key, version.to_string(), bytes);
            told
        };
        told.keys = found.into_iter().map(tell).collect();
        Ok(Json(told).into_response())
    };
    answer(list.await)
}

#[derive(Deserialize)]
pub(super) struct Ending {
    #[serde(flatten)]
    named: Named,
    keep_ms: Option<String>,
}

pub(super) async fn end(
    State(access): State<Arc<StateAccess>>,
    Extension(caller): Extension<Caller>,
    Parameters(ending): Parameters<Ending>,
) -> Response {
    let end = async {
        let keep_ms = ending.keep_ms.as_deref().map(|text| number(api::KEEP_PARAMETER, text)).transpose()?;
        let keep_for = keep_ms.map(Duration::from_millis);
        let scope = ending.named.scope(caller)?;
        let _turn = turn(&access.store).await?;
        access.store.end(scope, keep_for).await.map_err(|error| failed(&error))?;
        Ok(StatusCode::NO_CONTENT.into_response())
    };
    answer(end.await)
}
