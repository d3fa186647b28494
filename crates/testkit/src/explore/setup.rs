use faasflow_core::machine::forked::Flaw;
use faasflow_core::{Flow, Payload};

use super::fakes::Fakes;

/// What to explore, and how far.
pub(super) struct Setup {
    pub(super) flow: Flow,
    pub(super) input: Payload,
    pub(super) fakes: Fakes,
    /// The most faults of one order.
    pub(super) faults: usize,
    /// The most states.
    pub(super) limit: usize,
    /// The seed and number of random orders, if not all orders are tried.
    pub(super) samples: Option<(u64, usize)>,
    pub(super) flaw: Flaw,
}
