//! Why a function does not take requests.

use std::error::Error as StdError;
use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use faasflow_containers::{AddressError, EngineError, State};
use faasflow_core::chain;
use faasflow_core::code::{self, Code};

/// Why a function does not take requests at the moment, or ever.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum Unavailable {
    #[error("it is being built")]
    Building,
    #[error("it could not be built")]
    NotBuilt,
    #[error("it is being started")]
    Starting,
    #[error("its container is being started")]
    StartingContainer,
    #[error("its image is being pulled")]
    Pulling,
    /// Its container runs and is not ready yet. The text says what it waits for.
    #[error("{0}")]
    NotReady(String),
    #[error("its container `{0}` is paused")]
    Paused(String),
    /// It ended, or did not start. It will be started again.
    #[error(transparent)]
    Ended(RunError),
    #[error("its secrets cannot be copied for its containers")]
    Secrets(#[source] Arc<io::Error>),
    #[error("it was scaled to zero again")]
    ScaledToZero,
    #[error("the gateway is stopping")]
    Stopping,
}

impl Unavailable {
    /// The code of the error.
    pub(crate) fn code(&self) -> Code {
        match self {
            Unavailable::NotBuilt => code::FUNCTION_BROKEN,
            Unavailable::Ended(error) => error.code(),
            Unavailable::Secrets(_) => code::SECRETS_NOT_MOUNTED,
            Unavailable::NotReady(_) | Unavailable::Paused(_) => code::CONTAINER_NOT_READY,
            _ => code::UNREACHABLE,
        }
    }

    /// The reason with its causes, what happens next, and what to do, as a part of a sentence.
    pub(crate) fn describe(&self) -> String {
        let why = chain(self);
        match self {
            Unavailable::Ended(error) => format!("{}; the gateway will start the function again", error.describe()),
            Unavailable::Secrets(_) => format!("{why}; the gateway tries again"),
            Unavailable::Paused(_) => format!("{why}; unpause it"),
            _ => why,
        }
    }
}

/// Why a process or a container ended, or could not be started.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum RunError {
    #[error("there is no free port")]
    NoPort(#[source] Arc<io::Error>),
    #[error("{} cannot be started", program.display())]
    NotStarted { program: PathBuf, source: Arc<io::Error> },
    #[error("it ended with {0}")]
    Exited(ExitStatus),
    #[error("it is not known how it ended")]
    Lost(#[source] Arc<io::Error>),
    #[error("it did not listen on port {port} (variable `port`) within {limit:?}")]
    NotListening { port: u16, limit: Duration },
    /// The function was removed or replaced.
    #[error("it is no longer needed")]
    NotNeeded,

    #[error("no container engine was found")]
    NoEngine,
    /// The gateway runs on a system on which it does not run images.
    #[error("images are not run on Windows")]
    NoImages,
    #[error(transparent)]
    Address(#[from] AddressError),
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// No engine at the usual sockets can be used.
    #[error("no container engine can be used: {}", list(.0))]
    Engines(Vec<EngineError>),
    #[error("{} cannot be written", path.display())]
    StateFile { path: PathBuf, source: Arc<io::Error> },
    #[error("its secrets cannot be mounted: {} is inside this container", .0.display())]
    FolderNotShared(PathBuf),
    #[error("cannot pull image `{image}`")]
    Pull { image: String, source: EngineError },
    #[error("the image `{0}` was pulled, but the container engine does not have it")]
    ImageVanished(String),
    #[error("{0}")]
    Limits(String),
    #[error("{0}")]
    ContainerEnded(String),
    #[error("it was removed from outside")]
    Removed,
    #[error("it was restarted from outside")]
    Restarted,
    #[error("its health check fails")]
    Unhealthy,
    #[error("it did not take requests on port {port} within {limit:?}")]
    NotReady { port: u16, limit: Duration },
}

impl RunError {
    pub(crate) fn not_started(program: PathBuf, error: io::Error) -> RunError {
        RunError::NotStarted { program, source: Arc::new(error) }
    }

    /// A container that has ended in this state.
    pub(crate) fn ended(state: State) -> RunError {
        RunError::ContainerEnded(state.ended.unwrap_or_else(|| "it ended".to_owned()))
    }

    /// The code of the error.
    pub(crate) fn code(&self) -> Code {
        match self {
            // A program that cannot be started is tried again, like one that ends.
            RunError::NoPort(_)
            | RunError::NotStarted { .. }
            | RunError::Exited(_)
            | RunError::Lost(_)
            | RunError::NotListening { .. }
            | RunError::NotNeeded => code::UNREACHABLE,
            RunError::NoEngine | RunError::NoImages => code::NO_CONTAINER_ENGINE,
            RunError::Address(error) => error.code(),
            RunError::Engine(error) => error.code(),
            RunError::Engines(errors) => errors.first().map_or(code::NO_CONTAINER_ENGINE, EngineError::code),
            RunError::StateFile { .. } => code::STATE_FOLDER,
            RunError::FolderNotShared(_) => code::SECRETS_NOT_MOUNTED,
            RunError::Pull { .. } | RunError::ImageVanished(_) => code::IMAGE_NOT_PULLED,
            RunError::Limits(_) => code::BAD_FUNCTION_VALUE,
            RunError::ContainerEnded(_) | RunError::Removed | RunError::Restarted => code::CONTAINER_ENDED,
            RunError::Unhealthy | RunError::NotReady { .. } => code::CONTAINER_NOT_READY,
        }
    }

    /// Whether the container engine could not be asked, so that the same request may succeed once it answers.
    pub(crate) fn is_temporary(&self) -> bool {
        match self {
            RunError::NoEngine => true,
            RunError::Engine(error) | RunError::Pull { source: error, .. } => error.is_unreachable(),
            RunError::Engines(errors) => errors.iter().any(EngineError::is_unreachable),
            _ => false,
        }
    }

    /// What to do about the error, if there is something to say.
    pub(crate) fn help(&self) -> Option<&'static str> {
        match self {
            RunError::NoEngine => Some(
                "start Docker or Podman, or set `DOCKER_HOST` to its socket, such as \
                 `unix:///run/user/1000/podman/podman.sock`",
            ),
            RunError::NoImages => {
                Some("deploy a program that is on this machine, or run the gateway on Linux or macOS, or in WSL")
            }
            RunError::Address(error) => Some(error.help()),
            RunError::Engine(error) => error.help(),
            RunError::Engines(errors) => errors.iter().find_map(EngineError::help),
            RunError::FolderNotShared(_) => Some("keep the gateway's state folder in a volume"),
            RunError::Pull { .. } => Some("build it with `faas-cli build`, or push it to its registry"),
            RunError::NotReady { .. } => Some(
                "make it listen there, as the watchdog in an image of OpenFaaS does, or set `port` in its environment to \
                 another port",
            ),
            _ => None,
        }
    }

    /// The error with its causes and what to do, as a part of a sentence.
    pub(crate) fn describe(&self) -> String {
        let mut text = chain(self).trim_end_matches(['.', '\n']).to_owned();
        if let Some(help) = self.help() {
            text = format!("{text}; {help}");
        }
        text
    }
}

/// Several errors with their causes, each of a different engine.
fn list(errors: &[EngineError]) -> String {
    errors.iter().map(|error| chain(error as &(dyn StdError + 'static))).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_is_that_of_the_cause() {
        let slow = EngineError::Timeout { address: "/run/docker.sock".to_owned(), limit: Duration::from_secs(5) };
        let error = Unavailable::Ended(slow.clone().into());
        assert_eq!(error.code(), code::ENGINE_TIMEOUT);
        assert_eq!(
            error.describe(),
            "the container engine at /run/docker.sock did not answer within 5s; check whether `docker ps` hangs as well, \
             and restart the engine if it does; the gateway will start the function again"
        );
        let pull = RunError::Pull { image: "f:1".to_owned(), source: slow };
        assert_eq!(pull.to_string(), "cannot pull image `f:1`", "without its cause");
        assert_eq!(pull.code(), code::IMAGE_NOT_PULLED);
        assert!(pull.is_temporary() && !RunError::NoImages.is_temporary());
        assert!(pull.describe().ends_with("; build it with `faas-cli build`, or push it to its registry"));
        assert_eq!(Unavailable::Building.code(), code::UNREACHABLE);
        let absent = RunError::not_started("f".into(), io::ErrorKind::NotFound.into());
        assert_eq!(Unavailable::Ended(absent).code(), code::UNREACHABLE, "it is tried again");
        assert_eq!(Unavailable::Ended(RunError::NoEngine).code(), code::NO_CONTAINER_ENGINE);
    }
}
