//! The same chain of calls twice: as a flow, and by hand as a careful user would write it.

use faasflow::{Call, DefinitionError, Flow};

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
