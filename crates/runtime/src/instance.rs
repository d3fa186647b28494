//! The parts of a flow function, shared by all of its deliveries.

use std::sync::Arc;

use faasflow_core::Flow;
use faasflow_core::signature::Keys;
use faasflow_http::Budget;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use crate::config::Config;
use crate::definitions::Definitions;
use crate::forward::Forwarder;
use crate::heartbeat::Heartbeat;
use crate::in_progress::InProgress;
use crate::joins::Joins;
use crate::metrics::Metrics;
use crate::readiness::Readiness;
use crate::records::Waiting;
use crate::refusals::Refusals;
use crate::retrying_state::RetryingState;
use crate::step::Caller;
use crate::trace::Tracer;

/// A flow function: the flow, its settings, and the services it uses.
pub(crate) struct Instance {
    pub(crate) flow: Flow,
    pub(crate) name: Arc<str>,
    pub(crate) config: Config,
    pub(crate) keys: Option<Keys>,
    pub(crate) caller: Caller,
    pub(crate) forwarder: Arc<dyn Forwarder>,
    pub(crate) tasks: TaskTracker,
    pub(crate) readiness: Readiness,
    pub(crate) refusals: Arc<Refusals>,
    pub(crate) heartbeat: Heartbeat,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) tracer: Tracer,
    pub(crate) budget: Budget,
    pub(crate) joins: Joins,
    /// The earlier definitions of requests in progress.
    pub(crate) definitions: Definitions,
    pub(crate) in_progress: InProgress,
    /// Whether the flow remembers its requests.
    pub(crate) remembers: bool,
    pub(crate) waiting: Waiting,
}

impl Instance {
    /// The flow's state manager, which retries until the given time.
    pub(crate) fn retrying_state(&self, until: Instant) -> Option<RetryingState> {
        self.flow.state_manager().map(|manager| RetryingState::new(manager.clone(), until))
    }

    /// The same for what Faasflow itself keeps for requests with branches. What is refused is logged, because such a request
    /// does not fail.
    pub(crate) fn store(&self, until: Instant) -> Option<RetryingState> {
        let manager = self.flow.state_manager()?.clone();
        Some(RetryingState::new(manager, until).reporting(self.refusals.clone()))
    }
}
