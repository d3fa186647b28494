//! The same chain of calls twice: as a flow, and by hand the way a careful user would write it.

use faasflow::{Call, DefinitionError, Flow};

pub mod by_hand;

/// The function that every step calls.
pub const CALLED: &str = "echo";

/// A flow of so many calls, in one phase if they are synchronous, else in as many as there are calls.
///
/// # Errors
///
/// None but a fault of these lines.
pub fn flow(calls: usize, sync: bool) -> Result<Flow, DefinitionError> {
    let call = || if sync { Call::new(CALLED).sync() } else { Call::new(CALLED) };
    (0..calls).fold(Flow::builder(), |flow, _| flow.apply(call())).build()
}
