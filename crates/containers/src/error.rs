use std::error::Error as StdError;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bollard::errors::Error;
use faasflow_core::code::{self, Code};

/// How long the engine may take to begin an answer, in seconds. Creating a container on a busy machine can take this long.
pub(crate) const ANSWER_TIMEOUT: u64 = 60;

/// The largest answer that is read whole, in bytes. A list of thousands of containers is smaller.
pub(crate) const LARGEST_ANSWER: usize = 16 << 20;

/// An answer has more bytes than [`LARGEST_ANSWER`].
#[derive(Debug, thiserror::Error)]
#[error("its answer is larger than {} MiB", LARGEST_ANSWER >> 20)]
pub(crate) struct TooLarge;

/// Why an engine did not do what it was asked to do.
///
/// The cause is the [`source`](StdError::source), and [`help`](EngineError::help) says what to do.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// Nothing answers at the engine's address, or the connection was lost.
    #[error("the container engine at {address} does not answer")]
    Unreachable {
        /// The address of the engine.
        address: String,
        /// What failed.
        source: Arc<dyn StdError + Send + Sync>,
    },
    /// This user may not use the engine's socket.
    #[error("this user may not use the container engine at {address}")]
    Denied {
        /// The address of the engine.
        address: String,
        /// The error of the operating system.
        source: Arc<dyn StdError + Send + Sync>,
    },
    /// The engine took too long.
    #[error("the container engine at {address} did not answer within {limit:?}")]
    Timeout {
        /// The address of the engine.
        address: String,
        /// How long it had.
        limit: Duration,
    },
    /// The container, the image or the network does not exist.
    #[error("the container engine does not find it")]
    NotFound(#[source] EngineMessage),
    /// The engine refused.
    #[error("the container engine refused")]
    Refused(#[source] EngineMessage),
    /// The answer is not one of a container engine.
    #[error("the server at {address} does not answer as a container engine does")]
    Unusable {
        /// The address of the server.
        address: String,
        /// What is wrong with the answer.
        source: Arc<dyn StdError + Send + Sync>,
    },
}

/// What an engine said, in its own words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct EngineMessage(pub String);

impl EngineError {
    /// The code of the error.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            EngineError::Unreachable { .. } => code::ENGINE_UNREACHABLE,
            EngineError::Denied { .. } => code::ENGINE_DENIED,
            EngineError::Timeout { .. } => code::ENGINE_TIMEOUT,
            EngineError::NotFound(_) => code::NOT_IN_ENGINE,
            EngineError::Refused(_) => code::ENGINE_REFUSED,
            EngineError::Unusable { .. } => code::NOT_AN_ENGINE,
        }
    }

    /// What to do about the error, if the error itself tells.
    #[must_use]
    pub fn help(&self) -> Option<&'static str> {
        match self {
            EngineError::Unreachable { .. } => Some("start Docker or Podman"),
            EngineError::Denied { .. } => Some(
                "add yourself to the group that owns the socket, for example with `sudo usermod -aG docker $USER`, and log \
                 in again",
            ),
            EngineError::Timeout { .. } => {
                Some("check whether `docker ps` hangs as well, and restart the engine if it does")
            }
            EngineError::Unusable { .. } => Some("set `DOCKER_HOST` to the socket of a container engine"),
            EngineError::NotFound(_) | EngineError::Refused(_) => None,
        }
    }

    /// Whether the engine could not be asked. Otherwise it answered.
    #[must_use]
    pub fn is_unreachable(&self) -> bool {
        matches!(self, EngineError::Unreachable { .. } | EngineError::Denied { .. } | EngineError::Timeout { .. })
    }

    /// Whether the engine may have done what it was asked to do, or may still do it, in spite of the error.
    #[must_use]
    pub fn is_in_doubt(&self) -> bool {
        self.is_unreachable() || matches!(self, EngineError::Unusable { .. })
    }

    /// Whether the container, the image or the network does not exist.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, EngineError::NotFound(_))
    }

    pub(crate) fn new(address: &str, error: Error) -> EngineError {
        let address = address.to_owned();
        match error {
            Error::DockerResponseServerError { status_code: 404, message } => {
                EngineError::NotFound(EngineMessage(message))
            }
            Error::DockerResponseServerError { status_code, message } if message.trim().is_empty() => {
                EngineError::Refused(EngineMessage(format!("it answered {status_code} without a reason")))
            }
            Error::DockerResponseServerError { message, .. }
            | Error::DockerStreamError { error: message }
            | Error::DockerContainerWaitError { error: message, .. } => EngineError::Refused(EngineMessage(message)),
            Error::RequestTimeoutError => EngineError::Timeout { address, limit: Duration::from_secs(ANSWER_TIMEOUT) },
            Error::SocketNotFoundError(_) => EngineError::no_socket(address),
            Error::IOError { err } => EngineError::connection(address, Arc::new(err)),
            Error::HyperResponseError { err } => EngineError::connection(address, Arc::new(err)),
            Error::HyperLegacyError { err } => EngineError::connection(address, Arc::new(err)),
            other if is_too_large(&other) => EngineError::Unusable { address, source: Arc::new(TooLarge) },
            other => EngineError::Unusable { address, source: Arc::new(other) },
        }
    }

    /// The socket of the engine does not exist.
    pub(crate) fn no_socket(address: String) -> EngineError {
        let source = io::Error::new(io::ErrorKind::NotFound, "there is no such socket");
        EngineError::Unreachable { address, source: Arc::new(source) }
    }

    fn connection(address: String, source: Arc<dyn StdError + Send + Sync>) -> EngineError {
        if is_too_large(&*source) {
            return EngineError::Unusable { address, source: Arc::new(TooLarge) };
        }
        let denied = find::<io::Error>(&*source).filter(|error| error.kind() == io::ErrorKind::PermissionDenied);
        match denied {
            // The outer layers say only that the connection failed.
            Some(error) => EngineError::Denied { address, source: Arc::new(io::Error::from(error.kind())) },
            None => EngineError::Unreachable { address, source },
        }
    }
}

fn is_too_large(error: &(dyn StdError + 'static)) -> bool {
    let inner = find::<io::Error>(error).and_then(io::Error::get_ref);
    inner.is_some_and(|inner| inner.downcast_ref::<TooLarge>().is_some())
}

/// The first error of this type among an error and its sources.
fn find<'a, T: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a T> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn io_error(kind: io::ErrorKind) -> EngineError {
        EngineError::new("/run/docker.sock", Error::IOError { err: io::Error::from(kind) })
    }

    #[test]
    fn each_error_has_a_code_a_cause_and_a_remedy_of_its_own() {
        let refused = io_error(io::ErrorKind::ConnectionRefused);
        assert_eq!(refused.to_string(), "the container engine at /run/docker.sock does not answer");
        assert_eq!(refused.code(), code::ENGINE_UNREACHABLE);
        assert_eq!(refused.source().unwrap().to_string(), "connection refused");
        let denied = io_error(io::ErrorKind::PermissionDenied);
        assert_eq!((denied.code(), denied.is_unreachable()), (code::ENGINE_DENIED, true));
        assert!(denied.help().unwrap().contains("usermod -aG docker"));
        assert!(!denied.to_string().contains("usermod"), "the remedy is not part of the sentence");
        let message = "No such image: f:latest".to_owned();
        let missing = Error::DockerResponseServerError { status_code: 404, message: message.clone() };
        let missing = EngineError::new("x", missing);
        assert_eq!((missing.code(), missing.source().unwrap().to_string()), (code::NOT_IN_ENGINE, message));
        let silent = Error::DockerResponseServerError { status_code: 500, message: String::new() };
        assert_eq!(EngineError::new("x", silent).code(), code::ENGINE_REFUSED);
        assert_eq!(EngineError::new("x", Error::RequestTimeoutError).code(), code::ENGINE_TIMEOUT);
        let too_large = Error::IOError { err: io::Error::new(io::ErrorKind::InvalidData, TooLarge) };
        assert_eq!(EngineError::new("x", too_large).code(), code::NOT_AN_ENGINE);
    }
}
