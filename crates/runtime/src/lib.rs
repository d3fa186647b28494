//! The flow function: receives a request or an envelope, executes one phase, responds or forwards.

pub mod config;
pub mod log;

mod admission;
mod answers;
mod caller;
mod deadline;
mod delivery;
mod detach;
mod error;
mod execute;
mod forward;
mod function;
mod heartbeat;
mod metrics;
mod outage;
mod patient;
mod payloads;
mod readiness;
mod request;
mod respond;
mod seal;
mod serve;
mod trace;

pub use config::Config;
pub use error::StartError;
pub use faasflow_http as http;
pub use forward::{Forward, ForwardError, Forwarder};
pub use function::FlowFunction;
pub use serve::{OpenState, serve};
pub use trace::{ExportOptions, Sampling, TraceServer};
