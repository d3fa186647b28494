//! The admin API of Faasflow's local gateway: its [routes](ROUTES), and what goes over the wire as types.
//!
//! The gateway answers with these types and the command line reads them, so that they agree. A program that asks a gateway
//! needs this crate and an HTTP client, and nothing of the gateway. The reference has a page for it,
//! `docs/reference/admin-api.md`, with every field, its unit, and what may be refused.
//!
//! ```
//! use faasflow_admin::{QueueStats, paths};
//!
//! assert_eq!(paths::QUEUE, "/system/queue");
//! let answer = r#"{"depth":3,"functions":{"resize":3},"in_flight":1,"oldest_seconds":0.5,"dead_letters":0,
//!     "unreadable":0,"accepted":9,"duplicates":0,"delivered":6,"retried":0,"dead":0}"#;
//! let stats: QueueStats = serde_json::from_str(answer)?;
//! assert_eq!((stats.depth, stats.functions["resize"]), (3, 3));
//! # Ok::<(), serde_json::Error>(())
//! ```
//!
//! What is about functions, secrets, logs and the gateway itself is OpenFaaS's API, so a real OpenFaaS gateway answers most of
//! it as well; what such a gateway may leave out is an `Option` here, or empty. What is about the queue is Faasflow's own.
//!
//! Later versions add fields. Answers are read all the same, since fields that are not known are skipped.

pub mod paths;

mod functions;
mod info;
mod logs;
mod queue;
mod routes;
mod secrets;

pub use functions::{Deployment, FunctionStatus, Removal, Scaling, Usage};
pub use info::{Info, Limits, Provider, ProviderInfo, Version};
pub use logs::{LOG_DROPPED, LogLine};
pub use queue::{DeadLetter, DeadLetterSummary, Discarded, QueueStats, QueuedCall, Redrive, Redriven, Selection};
pub use routes::{ROUTES, Route};
pub use secrets::{Secret, SecretName};

#[cfg(test)]
mod tests;
