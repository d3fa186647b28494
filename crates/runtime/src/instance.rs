//! The parts of a flow function, shared by all of its deliveries.

use std::sync::Arc;

use faasflow_core::Flow;
use faasflow_core::signature::Keys;
use faasflow_http::Budget;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use crate::config::Config;
use crate::forward::Forwarder;
use crate::heartbeat::Heartbeat;
use crate::metrics::Metrics;
use crate::readiness::Readiness;
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
    pub(crate) heartbeat: Heartbeat,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) tracer: Tracer,
    pub(crate) budget: Budget,
}

impl Instance {
    /// The flow's state manager, which retries until the given time.
    pub(crate) fn retrying_state(&self, until: Instant) -> Option<Arc<RetryingState>> {
        self.flow.state_manager().map(|manager| Arc::new(RetryingState::new(manager.clone(), until)))
    }
}
