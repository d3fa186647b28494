//! The local gateway: the OpenFaaS experience in one process, without a cluster.
//!
//! It reads the `stack.yml` that `faas-cli` deploys and runs each function as a local process, or as containers of its image if
//! there is a container engine. It implements OpenFaaS's API and keeps asynchronous calls in a durable queue.

pub mod queue;
pub mod stack;
// unpublished: see RELEASE.md
mod unpublished;

mod answer;
mod build_error;
mod delivery;
mod disk;
mod environment;
mod error;
#[cfg(test)]
mod error_examples;
mod event;
mod forwarding;
mod functions;
mod gateway;
mod guarded_body;
mod http;
mod metrics;
mod monitor;
mod namespace;
mod private_file;
mod proxy;
mod queue_stats;
mod request_id;
mod rfc3339;
mod room;
mod secrets;
mod store;
mod tokens;
mod wanted;

pub use build_error::BuildError;
pub use error::{DeployedError, GatewayError, MissingSecret};
pub use event::{Event, Events};
pub use faasflow_core::Unreadable;
pub use functions::build::build_project;
pub use functions::container::EngineChoice;
pub use functions::logs::KEPT_LOG;
pub use gateway::{GatewayOptions, RunningGateway};
pub use stack::Stack;
pub use store::{StoreError, StoreFileError};
