//! Requests that are remembered: how they begin, what has become of them, who waits for them, and what can be done about them from
//! outside.
//!
//! The records are the keys of the machine, see `faasflow_core::state`. They stay for a while after the request has ended.

mod again;
mod answer;
mod api;
mod control;
mod cursor;
mod ended;
mod ends;
mod filter;
mod fit;
mod generations;
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

pub(crate) use api::{method_not_allowed, routes};
pub(crate) use control::decide;
pub(crate) use inline::Patience;
pub(crate) use items_api::routes as item_routes;
pub(crate) use listing::routes as list_routes;
pub(crate) use post::branching;
pub(crate) use prefer::Preference;
pub(crate) use unwritten::{NotWritten, Unwritten, WRITE_AFTER};
pub(crate) use waiting::Waiting;
