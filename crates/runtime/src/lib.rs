//! The flow function: receives a request or an envelope, executes one phase, and then answers or forwards.

pub mod config;
pub mod log;

mod conclusion;
mod deadline;
mod definitions;
mod delivery;
mod detach;
mod error;
#[cfg(test)]
mod error_examples;
mod first_outage;
mod forward;
mod function;
mod gateway;
mod heartbeat;
mod in_progress;
mod instance;
mod joins;
mod metrics;
mod observers;
mod readiness;
mod records;
mod refusals;
mod retrying_state;
mod serve;
mod signal;
mod step;
#[cfg(test)]
mod testing;
mod trace;

pub use config::Config;
pub use error::StartError;
pub use forward::{Forward, ForwardError, Forwarder};
pub use function::FlowFunction;
pub use serve::{OpenState, serve, serve_with_forwarder};
pub use signal::{StopSignal, StopSignals};
pub use trace::{BadSampler, ExportOptions, Sampling, TraceServer, TraceServerError};
pub use uuid::Uuid;
