//! What several of the tests need.

pub(crate) mod contract;
pub(crate) mod logs;
pub(crate) mod posts;
pub(crate) mod raw;
pub(crate) mod store;
mod waiting;

pub(crate) use waiting::{PATIENCE, until, until_seen};

use faasflow::{Flow, FlowBuilder};

/// Phases with one call each.
pub(crate) fn phases(names: &[&str]) -> FlowBuilder {
    names.iter().fold(Flow::builder(), |flow, name| flow.apply(*name))
}
