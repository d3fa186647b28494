use faasflow_core::machine::forked::Flaw;
use faasflow_core::{Flow, Payload};

use super::fakes::Fakes;

/// The flow to explore, and the limits of the exploration.
pub(super) struct Setup {
    pub(super) flow: Flow,
    pub(super) input: Payload,
    pub(super) fakes: Fakes,
    /// The maximum number of faults in one order.
    pub(super) faults: usize,
    /// The maximum number of states.
    pub(super) limit: usize,
    /// The seed and number of random orders, if not all orders are tried.
    pub(super) samples: Option<(u64, usize)>,
    pub(super) flaw: Flaw,
}
