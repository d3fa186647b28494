use std::time::Duration;

use bollard::errors::Error;

/// How long the engine may take until it begins to answer, in seconds. It may take so long to make a container on a busy
/// machine.
pub(crate) const ANSWERS: u64 = 60;

/// How long an answer may be that is read whole, in bytes. A list of thousands of containers is shorter.
pub(crate) const LONGEST: usize = 16 << 20;

/// An answer that has more bytes than [`LONGEST`].
#[derive(Debug, thiserror::Error)]
#[error("its answer has more than {} MiB", LONGEST >> 20)]
pub(crate) struct TooLong;

/// Why an engine did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// Nobody answers at the engine's address, or the connection was lost.
    #[error("the container engine at {place} does not answer: {why}")]
    Away {
        /// Where it was asked.
        place: String,
        /// Why not.
        why: String,
    },
    /// The engine took too long.
    #[error(
        "the container engine at {place} did not answer within {after:?}; see whether it hangs, as with `docker ps`, and \
         restart it if it does"
    )]
    Slow {
        /// Where it was asked.
        place: String,
        /// How long it was waited for.
        after: Duration,
    },
    /// What was asked about is not there: a container, an image, a network.
    #[error("{0}")]
    Absent(String),
    /// The engine refuses. The text is the engine's.
    #[error("the container engine refuses: {0}")]
    Refused(String),
    /// The engine said something that is of no use.
    #[error("what answers at {place} is not a container engine: {why}")]
    Unusable {
        /// Where it was asked.
        place: String,
        /// What is wrong with the answer.
        why: String,
    },
}

impl EngineError {
    /// Whether the engine itself could not be asked, rather than having refused.
    #[must_use]
    pub fn is_away(&self) -> bool {
        matches!(self, EngineError::Away { .. } | EngineError::Slow { .. })
    }

    /// Whether the engine may have done what it was asked all the same, or may still do it.
    #[must_use]
    pub fn is_in_doubt(&self) -> bool {
        self.is_away() || matches!(self, EngineError::Unusable { .. })
    }

    /// What the engine said itself, if it answered.
    #[must_use]
    pub fn told(&self) -> Option<&str> {
        match self {
            EngineError::Absent(told) | EngineError::Refused(told) => Some(told),
            _ => None,
        }
    }

    /// Whether what was asked about is not there.
    #[must_use]
    pub fn is_absent(&self) -> bool {
        matches!(self, EngineError::Absent(_))
    }

    pub(crate) fn new(place: &str, error: Error) -> EngineError {
        let away = |why: String| EngineError::Away { place: place.to_owned(), why };
        if is_too_long(&error) {
            return EngineError::Unusable { place: place.to_owned(), why: TooLong.to_string() };
        }
        match error {
            Error::DockerResponseServerError { status_code: 404, message } => EngineError::Absent(message),
            Error::DockerResponseServerError { status_code, message } if message.trim().is_empty() => {
                EngineError::Refused(format!("it answered {status_code} without a reason"))
            }
            Error::DockerResponseServerError { message, .. }
            | Error::DockerStreamError { error: message }
            | Error::DockerContainerWaitError { error: message, .. } => EngineError::Refused(message),
            Error::RequestTimeoutError => {
                EngineError::Slow { place: place.to_owned(), after: Duration::from_secs(ANSWERS) }
            }
            Error::SocketNotFoundError(_) => away("there is no such socket".to_owned()),
            Error::IOError { err } => away(chain(&err)),
            Error::HyperResponseError { err } => away(chain(&err)),
            Error::HyperLegacyError { err } if is_denied(&err) => away(
                "permission denied; add yourself to the group that owns the socket, as by `sudo usermod -aG docker $USER`, \
                 and log in again"
                    .to_owned(),
            ),
            Error::HyperLegacyError { err } => away(chain(&err)),
            other => EngineError::Unusable { place: place.to_owned(), why: chain(&other) },
        }
    }
}

/// Whether the system forbids to use the socket.
fn is_denied(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut causes = std::iter::successors(Some(error), |error| error.source());
    causes.any(|cause| {
        cause.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == std::io::ErrorKind::PermissionDenied)
    })
}

fn is_too_long(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut causes = std::iter::successors(Some(error), |error| error.source());
    causes.any(|cause| {
        let within = cause.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        within.and_then(|within| within.downcast_ref::<TooLong>()).is_some()
    })
}

/// An error and its causes, without those that only repeat what was said.
fn chain(error: &dyn std::error::Error) -> String {
    let mut said = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !said.contains(&text) {
            said = format!("{said}: {text}");
        }
        cause = error.source();
    }
    said
}
