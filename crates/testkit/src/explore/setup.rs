use faasflow_core::machine::forked::Flaw;
use faasflow_core::{Flow, Payload};

use super::act::Actions;
use super::fakes::Fakes;

/// The flow to explore, and the limits of the exploration.
pub(super) struct Setup {
    pub(super) flow: Flow,
    pub(super) input: Payload,
    pub(super) fakes: Fakes,
    /// The maximum number of faults in one order.
    pub(super) faults: usize,
    /// How often something in progress may be interrupted, if that is limited.
    pub(super) interruptions: Option<u8>,
    /// Whether equivalent orders are left out.
    pub(super) reduced: bool,
    /// The maximum number of states.
    pub(super) limit: usize,
    /// The seed and number of random orders, if not all orders are tried.
    pub(super) samples: Option<(u64, usize)>,
    pub(super) flaw: Flaw,
    /// Whether the request is remembered.
    pub(super) remembered: bool,
    /// How often each action may be taken.
    pub(super) actions: Actions,
}
