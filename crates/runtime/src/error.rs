use std::path::PathBuf;

use faasflow_core::code::{self, Code};
use faasflow_core::state::StateError;
use faasflow_core::{Problem, Report, Unreadable};

use crate::config::{ConfigError, KeyError};
use crate::log::FilterError;

/// The flow function cannot start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// A setting cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Signing is on, but its keys cannot be read.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The log filter is not valid.
    #[error(transparent)]
    Filter(#[from] FilterError),
    /// The address cannot be bound.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: String,
        /// Why not.
        source: std::io::Error,
    },
    /// Payloads should be stored, but there is no state manager to store them.
    #[error("`intermediate_storage` is `true`, but the flow has no state manager to store payloads in")]
    NowhereToStore,
    /// A flow with asynchronous branches has no state manager in which they could come together.
    #[error("branches with asynchronous calls need a state manager that all instances of the flow share")]
    NoSharedStore,
    /// A flow with asynchronous branches has a state manager that lacks what they need.
    #[error("the state manager `{0}` does not support what branches with asynchronous calls need")]
    StoreWithoutBranches(String),
    /// The settings say that requests are remembered, but the flow has no state manager that can.
    #[error("`records` is `on`, but {0} cannot remember requests")]
    NowhereToRemember(String),
    /// A flow with several phases uses a state manager that only this process can see.
    #[error("the state manager `{0}` keeps state in this process, where other instances of the flow cannot find it")]
    StateNotShared(String),
    /// The definition and the settings name different state managers.
    #[error("the definition sets the state manager `{definition}`, but the setting `state_manager` is `{setting}`")]
    TwoStateManagers {
        /// The state manager in the definition.
        definition: String,
        /// The state manager in the settings.
        setting: String,
    },
    /// The state manager cannot be used.
    #[error("the state manager cannot be used")]
    StateManager(#[source] StateError),
    /// The CA certificates cannot be used.
    #[error("the certificates in {}, which `SSL_CERT_FILE` names, cannot be used", path.display())]
    Authorities {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The file with the CA certificates cannot be read.
    #[error("{}, which `SSL_CERT_FILE` names, cannot be read", path.display())]
    UnreadableAuthorities {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: Unreadable,
    },
    /// Traces cannot be exported to the configured server.
    #[error("traces cannot be exported to {server}")]
    Tracing {
        /// The server.
        server: String,
        /// Why not.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The process was started with an unknown argument.
    #[error("`{0}` is not a command of a flow function")]
    Argument(String),
    /// The `health` command found no healthy flow function.
    #[error("the flow function at {address} is not healthy")]
    Unhealthy {
        /// The address that was checked.
        address: String,
        /// Why it is not healthy.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The operating system refused a resource that every server needs.
    #[error("cannot start the server")]
    System(#[source] std::io::Error),
}

impl StartError {
    /// The code of the error. If there are several faults, this is the code of the first.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            StartError::Config(error) => error.code(),
            StartError::Key(error) => error.code(),
            StartError::Filter(error) => error.code(),
            StartError::Listen { .. } => code::CANNOT_LISTEN,
            StartError::NowhereToStore => code::NOWHERE_TO_STORE,
            StartError::NoSharedStore | StartError::StoreWithoutBranches(_) => code::NO_SHARED_STORE,
            StartError::NowhereToRemember(_) => code::NO_RECORDS,
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

    /// The error as it is printed.
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
        Report::new(self.help().into_iter().fold(problem, Problem::help)).summary(summary)
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
            StartError::NoSharedStore => {
                "set `state_manager` to `redis` or `s3`, or to `gateway` on the local gateway; or make all calls in the \
                 branches synchronous with `.sync()`"
                    .to_owned()
            }
            StartError::StoreWithoutBranches(_) => {
                "use `redis`, `s3` or, on the local gateway, `gateway`; or implement conditional writes, `end_request` and \
                 `supports_branches`; or make all calls in the branches synchronous with `.sync()`"
                    .to_owned()
            }
            StartError::NowhereToRemember(_) => {
                "set `state_manager` to `redis`, `s3` or, on the local gateway, `gateway`; or leave `records` out".to_owned()
            }
            StartError::StateNotShared(_) => {
                "set `state_manager` to `s3` or `redis`, or leave it out to keep state in the envelope; this one is for \
                 tests and `faasflow up`"
                    .to_owned()
            }
            StartError::TwoStateManagers { definition, .. } => {
                format!("remove one of the two, or set `state_manager={definition}`")
            }
            StartError::UnreadableAuthorities { .. } | StartError::Authorities { .. } => {
                "set `SSL_CERT_FILE` to a file of certificates in PEM, or leave it unset".to_owned()
            }
            StartError::Tracing { .. } => {
                "check `trace_server`, `SSL_CERT_FILE` and the variables that begin with `OTEL_`".to_owned()
            }
            StartError::Argument(_) => "start it without an argument to serve the flow, with `describe` to print its \
                                        definition, or with `health` to check the flow that is being served"
                .to_owned(),
            StartError::Unhealthy { .. } => {
                "read the flow's log, and give the health check the same `port` and `flow_port` as the flow".to_owned()
            }
            StartError::System(_) => {
                "check the limits of this user with `ulimit -a`, and those of the container".to_owned()
            }
            StartError::StateManager(error) => return error.help().map(str::to_owned),
            StartError::Config(_) | StartError::Key(_) => return None,
        })
    }
}
