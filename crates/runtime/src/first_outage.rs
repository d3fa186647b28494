//! The first outage that a phase met.

use std::sync::{Arc, OnceLock};

use faasflow_core::machine::Outage;

/// The first outage that a phase met. It may be the reason why the phase runs out of time later. Without it, there might have
/// been enough time, so the phase is executed again and does not fail.
#[derive(Clone, Debug, Default)]
pub(crate) struct FirstOutage(Arc<OnceLock<Outage>>);

impl FirstOutage {
    pub(crate) fn get(&self) -> Option<&Outage> {
        self.0.get()
    }

    /// Keeps the outage, unless there was one before.
    pub(crate) fn note(&self, outage: impl FnOnce() -> Outage) {
        self.0.get_or_init(outage);
    }
}
