use std::path::PathBuf;

use crate::config::{ConfigError, KeyError};
use crate::log::FilterError;

/// A flow function that cannot start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// A setting cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Signing is on and its keys cannot be read.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The log's filter cannot be read.
    #[error(transparent)]
    Filter(#[from] FilterError),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: choose another with `host` and `port`, or stop what listens there")]
    Listen {
        /// The address.
        address: String,
        /// Why not.
        source: std::io::Error,
    },
    /// Payloads are to be stored, and there is no state manager to store them.
    #[error(
        "`intermediate_storage` is `true`, and the flow has no state manager to store payloads in: set `state_manager` \
         to `s3` or `redis`, or give the flow one with `.state(…)`"
    )]
    NowhereToStore,
    /// A flow of several phases keeps its state where only one process sees it.
    #[error(
        "the state manager `{0}` is seen by this process alone, and the flow has several phases, which other instances \
         of it may execute: use it in tests and under `faasflow up`; here set `state_manager` to `s3` or `redis`, or \
         leave it unset to keep state in the envelope"
    )]
    StateNotShared(String),
    /// The settings name a state manager that cannot be used.
    #[error("the state manager cannot be used")]
    StateManager(#[source] faasflow_core::state::StateError),
    /// The certificates of authorities cannot be read.
    #[error("`SSL_CERT_FILE` names {}, which cannot be used: give the path of certificates in PEM, or leave it unset", path.display())]
    Authorities {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The file with the certificates of authorities cannot be read.
    #[error("`SSL_CERT_FILE` names {}, which cannot be read: {}", path.display(), faasflow_core::why_unreadable(error))]
    UnreadableAuthorities {
        /// The file.
        path: PathBuf,
        /// Why not. The message tells it.
        error: std::io::Error,
    },
    /// Traces cannot be exported to the server that is set.
    #[error(
        "traces cannot be exported to {server}: see `trace_server`, `SSL_CERT_FILE` and the variables that begin with `OTEL_`"
    )]
    Tracing {
        /// The server.
        server: String,
        /// Why not.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The process was given an argument that it does not know.
    #[error(
        "`{0}` is no command of a flow function: without one it serves, with `describe` it prints its definition, and \
         with `health` it asks whether the one that serves is well"
    )]
    Argument(String),
    /// `health` found none that is well.
    #[error("the flow function at {address} is not well: {reason}")]
    Unhealthy {
        /// Where it was asked for.
        address: String,
        /// What came of it.
        reason: String,
    },
    /// The operating system refused something every server needs.
    #[error("cannot start the server")]
    System(#[source] std::io::Error),
}
