use std::path::PathBuf;

use faasflow_core::code::{self, Code};
use faasflow_core::state::StateError;
use faasflow_core::{Problem, Report, Unreadable};

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
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: String,
        /// Why not.
        source: std::io::Error,
    },
    /// Payloads are to be stored, and there is no state manager to store them.
    #[error("`intermediate_storage` is `true`, and the flow has no state manager to store payloads in")]
    NowhereToStore,
    /// A flow of several phases keeps its state where only one process sees it.
    #[error("the state manager `{0}` keeps state in this process, and other instances of the flow would not find it")]
    StateNotShared(String),
    /// The definition and the settings name different state managers.
    #[error("the definition sets the state manager `{definition}`, and the setting `state_manager` is `{setting}`")]
    TwoStateManagers {
        /// The one of the definition.
        definition: String,
        /// The one of the settings.
        setting: String,
    },
    /// The settings name a state manager that cannot be used.
    #[error("the state manager cannot be used")]
    StateManager(#[source] StateError),
    /// The certificates of authorities cannot be used.
    #[error("the certificates in {}, which `SSL_CERT_FILE` names, cannot be used", path.display())]
    Authorities {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The file with the certificates of authorities cannot be read.
    #[error("{}, which `SSL_CERT_FILE` names, cannot be read", path.display())]
    UnreadableAuthorities {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: Unreadable,
    },
    /// Traces cannot be exported to the server that is set.
    #[error("traces cannot be exported to {server}")]
    Tracing {
        /// The server.
        server: String,
        /// Why not.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The process was given an argument that it does not know.
    #[error("`{0}` is not a command of a flow function")]
    Argument(String),
    /// `health` found none that is well.
    #[error("the flow function at {address} is not healthy")]
    Unhealthy {
        /// Where it was asked for.
        address: String,
        /// Why it is not healthy.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The operating system refused something every server needs.
    #[error("cannot start the server")]
    System(#[source] std::io::Error),
}

impl StartError {
    /// The code of the error; of several faults, that of the first.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            StartError::Config(error) => error.code(),
            StartError::Key(error) => error.code(),
            StartError::Filter(error) => error.code(),
            StartError::Listen { .. } => code::CANNOT_LISTEN,
            StartError::NowhereToStore => code::NOWHERE_TO_STORE,
            StartError::StateNotShared(_) => code::STATE_NOT_SHARED,
            StartError::TwoStateManagers { .. } => code::TWO_STATE_MANAGERS,
            StartError::StateManager(error) => error.code(),
            StartError::Authorities { .. } => code::AUTHORITIES_UNUSABLE,
            StartError::UnreadableAuthorities { .. } => code::AUTHORITIES_UNREADABLE,
            StartError::Tracing { .. } => code::NO_TRACES,
            StartError::Argument(_) => code::UNKNOWN_ARGUMENT,
            StartError::Unhealthy { .. } => code::UNHEALTHY,
            StartError::System(_) => code::NO_SERVER,
        }
    }

    /// The error as a person reads it.
    #[must_use]
    pub fn report(&self) -> Report {
        let problem = match self {
            StartError::Config(error) => return error.report(),
            StartError::Key(error) => error.problem(),
            _ => Problem::from_error(self.code(), self),
        };
        let summary = match self {
            StartError::Argument(_) => "the command line cannot be understood",
            StartError::Unhealthy { .. } => "the health check failed",
            _ => "the flow function cannot start",
        };
        Report::of(self.help().into_iter().fold(problem, Problem::help)).summary(summary)
    }

    fn help(&self) -> Option<String> {
        Some(match self {
            StartError::Filter(error) => error.help().to_owned(),
            StartError::Listen { .. } => {
                "choose another address with `host` and `port`, or stop what listens there".to_owned()
            }
            StartError::NowhereToStore => {
                "set `state_manager` to `s3` or `redis`, or give the flow one with `.state(…)`".to_owned()
            }
            StartError::StateNotShared(_) => {
                "set `state_manager` to `s3` or `redis`, or leave it out to keep state in the envelope; this one is for \
                 tests and `faasflow up`"
                    .to_owned()
            }
            StartError::TwoStateManagers { definition, .. } => {
                format!("remove one of the two, or set `state_manager={definition}`")
            }
            StartError::Authorities { .. } | StartError::UnreadableAuthorities { .. } => {
                "give `SSL_CERT_FILE` the path of certificates in PEM, or leave it unset".to_owned()
            }
            StartError::Tracing { .. } => {
                "check `trace_server`, `SSL_CERT_FILE` and the variables that begin with `OTEL_`".to_owned()
            }
            StartError::Argument(_) => "give no argument to serve the flow, `describe` to print its definition, or \
                                        `health` to ask whether the one that serves is healthy"
                .to_owned(),
            StartError::StateManager(error) => return error.help().map(str::to_owned),
            _ => return None,
        })
    }
}
