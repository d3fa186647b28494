//! The same calls twice: as a flow, and by hand as a careful user would write it.

use faasflow::{Call, DefinitionError, Flow, ForEach};

pub mod by_hand;

/// The function that every step calls.
pub const CALLED: &str = "echo";

/// A flow with this number of calls. It has one phase if they are synchronous, and otherwise one phase per call.
///
/// # Errors
///
/// It cannot fail, unless this definition has a mistake.
pub fn flow(calls: usize, sync: bool) -> Result<Flow, DefinitionError> {
    let call = || if sync { Call::new(CALLED).sync() } else { Call::new(CALLED) };
    (0..calls).fold(Flow::builder(), |flow, _| flow.apply(call())).build()
}

/// The name of a branch of [`parallel`], counted from 0.
#[must_use]
pub fn branch_name(branch: usize) -> String {
    format!("branch-{branch}")
}

/// A flow with this number of branches side by side, each of which is one call, and the default join. It has one phase if the
/// calls are synchronous. Otherwise it forks.
///
/// # Errors
///
/// If there are no branches.
pub fn parallel(branches: usize, sync: bool) -> Result<Flow, DefinitionError> {
    let call = || if sync { Call::new(CALLED).sync() } else { Call::new(CALLED) };
    let branches = (0..branches).map(|branch| (branch_name(branch), Flow::builder().apply(call())));
    Flow::builder().parallel(branches).build()
}

/// A flow that calls the function for each item of a JSON array, asynchronously, with the default options.
///
/// # Errors
///
/// It cannot fail, unless this definition has a mistake.
pub fn for_each() -> Result<Flow, DefinitionError> {
    Flow::builder().for_each(ForEach::new(Flow::builder().apply(CALLED))).build()
}
