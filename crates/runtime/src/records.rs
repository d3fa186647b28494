//! Requests that are remembered: how they begin, what has become of them, who waits for them, and what can be done about them from
//! outside.
//!
//! The records are the keys of the machine, see `faasflow_core::state`. They stay for a while after the request has ended.

mod again;
mod answer;
mod api;
mod called;
mod control;
mod cursor;
mod ended;
mod ends;
mod filter;
mod fit;
mod generations;
mod heads;
mod heads_api;
mod inline;
mod items;
mod items_api;
mod listed;
mod listening;
mod listing;
mod look;
mod not_done;
mod openapi;
mod pages;
mod parameters;
mod payloads;
mod post;
mod prefer;
mod progress;
mod recover;
mod refused;
mod restart;
mod search;
mod tagged;
mod unwritten;
mod waiting;

use std::sync::Arc;

use axum::Router;

use crate::instance::Instance;

pub(crate) use api::method_not_allowed;
pub(crate) use control::decide;
pub(crate) use inline::Patience;
pub(crate) use post::branching;
pub(crate) use prefer::Preference;
pub(crate) use unwritten::{NotWritten, Unwritten, WRITE_AFTER};
pub(crate) use waiting::Waiting;

/// The API of the flow about its requests.
pub(crate) fn routes(function: &Arc<Instance>) -> Router {
    let all =
        [api::routes, heads_api::routes, items_api::routes, listing::routes].map(|routes| routes(function.clone()));
    all.into_iter().fold(Router::new(), Router::merge)
}
