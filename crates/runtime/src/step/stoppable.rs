use std::sync::Arc;
use std::time::Duration;

use faasflow_core::machine::Outage;
use faasflow_core::machine::forked::over_key;
use faasflow_core::state::StateManager;
use faasflow_core::{Context, code};

use super::unanswered::Unanswered;

/// How long the store may take to show whether the request has ended.
const PATIENCE: Duration = Duration::from_secs(2);

/// A remembered request, which somebody may stop while one of its steps waits for another attempt.
#[derive(Clone, Copy)]
pub(crate) struct Stoppable<'a> {
    pub(crate) manager: &'a Arc<dyn StateManager>,
    pub(crate) context: &'a Context,
}

impl Stoppable<'_> {
    /// Waits before another attempt.
    ///
    /// # Errors
    ///
    /// If the request has ended meanwhile. The next delivery of the phase then has nothing to do.
    pub(super) async fn wait(this: Option<Self>, pause: Duration) -> Result<(), Unanswered> {
        tokio::time::sleep(pause).await;
        match this {
            Some(this) if this.has_ended().await => {
                let reason = "the request has ended while a step waited for another attempt";
                Err(Unanswered::Outage(Outage::new(code::REQUEST_STOPPED, reason, "nothing more is executed")))
            }
            _ => Ok(()),
        }
    }

    async fn has_ended(self) -> bool {
        let (scope, key) = (self.context.request().scope(), over_key(self.context.place().generation()));
        let read = self.manager.get(&scope, key.as_str());
        // A store that is away does not keep the step from going on.
        matches!(tokio::time::timeout(PATIENCE, read).await, Ok(Ok(Some(_))))
    }
}
