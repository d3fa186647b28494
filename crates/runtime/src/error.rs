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
    /// A setting asks for what this version does not have yet.
    #[error("{0} is not available in this version: leave it unset")]
    NotYet(&'static str),
    /// The process was given an argument that it does not know.
    #[error("`{0}` is no command of a flow function: without one it serves, with `describe` it prints its definition")]
    Argument(String),
    /// The operating system refused something every server needs.
    #[error("cannot start the server")]
    System(#[source] std::io::Error),
}
