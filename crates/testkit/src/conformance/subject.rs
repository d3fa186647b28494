use std::sync::Arc;

use faasflow_core::state::{Scope, StateError, StateManager};

/// A manager to check, and scopes that nothing else uses.
#[derive(Clone)]
pub(super) struct Subject {
    pub(super) manager: Arc<dyn StateManager>,
    pub(super) run: String,
}

impl Subject {
    pub(super) fn new(manager: Arc<dyn StateManager>, run: String) -> Subject {
        Subject { manager, run }
    }

    pub(super) fn scope(&self, flow: &str, request: &str) -> Scope {
        Scope { flow: format!("conformance-{flow}"), request: format!("{}-{request}", self.run) }
    }

    /// A flow that no other check and no other run uses.
    pub(super) fn flow(&self, check: &str) -> String {
        format!("conformance-{check}-{}", self.run)
    }

    /// The scope of a check that needs only one.
    pub(super) fn own(&self, check: &str) -> Scope {
        self.scope("flow", check)
    }
}

/// An error of the manager with its sources, as the reason why a check failed.
#[expect(clippy::needless_pass_by_value, reason = "it is what `map_err` calls")]
pub(super) fn describe(error: StateError) -> String {
    faasflow_core::chain(&error)
}

pub(super) fn ensure(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(otherwise()) }
}
