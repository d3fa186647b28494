//! The state of the router. Each handler extracts only the part that it needs.

use std::sync::Arc;

use axum::extract::FromRef;

use super::enqueue::Intake;
use super::invoke::Invocations;
use super::state_api::access::StateAccess;
use super::system::events::EventSource;
use super::system::functions::Reports;
use super::system::guard::Guard;
use super::system::info::About;
use super::system::logs::LogSources;
use super::system::metrics::Gauges;
use super::system::secrets::SecretFiles;
use crate::functions::Functions;
use crate::functions::deploy::Deployments;
use crate::monitor::Monitor;
use crate::proxy::Proxy;
use crate::queue::Queue;

/// The state of the router. It is one pointer, because it is cloned for each request. A part is cloned when a handler extracts it.
#[derive(Clone)]
pub(crate) struct AppState(Arc<States>);

pub(crate) struct States {
    pub(crate) invocations: Arc<Invocations>,
    pub(crate) intake: Arc<Intake>,
    pub(crate) functions: Functions,
    pub(crate) deployments: Arc<Deployments>,
    pub(crate) reports: Arc<Reports>,
    pub(crate) guard: Arc<Guard>,
    pub(crate) about: Arc<About>,
    pub(crate) secrets: Arc<SecretFiles>,
    pub(crate) logs: Arc<LogSources>,
    pub(crate) gauges: Arc<Gauges>,
    pub(crate) monitor: Monitor,
    pub(crate) events: Arc<EventSource>,
    pub(crate) queue: Queue,
    pub(crate) proxy: Proxy,
    pub(crate) state_access: Arc<StateAccess>,
}

impl AppState {
    pub(crate) fn new(states: States) -> AppState {
        AppState(Arc::new(states))
    }
}

/// Lets handlers extract a part of the state.
macro_rules! parts {
    ($($part:ident: $type:ty),* $(,)?) => {
        $(impl FromRef<AppState> for $type {
            fn from_ref(AppState(states): &AppState) -> $type {
                states.$part.clone()
            }
        })*
    };
}

parts! {
    invocations: Arc<Invocations>,
    intake: Arc<Intake>,
    functions: Functions,
    deployments: Arc<Deployments>,
    reports: Arc<Reports>,
    guard: Arc<Guard>,
    about: Arc<About>,
    secrets: Arc<SecretFiles>,
    logs: Arc<LogSources>,
    gauges: Arc<Gauges>,
    monitor: Monitor,
    events: Arc<EventSource>,
    queue: Queue,
    proxy: Proxy,
    state_access: Arc<StateAccess>,
}
