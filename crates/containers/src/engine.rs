//! A container engine, and what it is asked.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use bollard::Docker;
use bollard::errors::Error;
use bollard::query_parameters::{
    CreateContainerOptions, RemoveContainerOptions, StatsOptions, StopContainerOptions, WaitContainerOptions,
};
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use http::Method;
use tokio::io::AsyncWrite;

use crate::blueprint::{Blueprint, Reach};
use crate::error::EngineError;
use crate::network::{Bridge, Own};
use crate::place::Place;
use crate::state::State;
use crate::told;
use crate::wire::Wire;
use crate::{logs, pull};

/// How long it may take to say that it is there.
const GREETS: Duration = Duration::from_secs(5);
/// How long it may take to say whether it has an image, for which callers of the gateway wait.
const LOOKS_UP: Duration = Duration::from_secs(10);

/// How often an engine checks health where the image does not say.
const CHECKS: Duration = Duration::from_secs(30);

/// A container engine. Cloning yields the same.
#[derive(Clone)]
pub struct Engine {
    docker: Docker,
    wire: Wire,
    place: String,
    version: String,
    kind: Kind,
}

/// Which engine it is, as far as that makes a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// Docker, or one that does as Docker does.
    Docker,
    /// Podman.
    Podman {
        /// Whether it runs without root, so that its networks are not this machine's.
        rootless: bool,
    },
}

/// An image that the engine has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Image {
    /// How often the health of its containers is checked, if it says how.
    pub health_check: Option<Duration>,
}

/// A container that the engine has.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Found {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its labels.
    pub labels: HashMap<String, String>,
}

impl Found {
    fn read(found: told::Listed) -> Option<Found> {
        let name = found.names.unwrap_or_default().into_iter().next().unwrap_or_default();
        let name = name.trim_start_matches('/').to_owned();
        Some(Found { id: found.id?, name, labels: found.labels.unwrap_or_default() })
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Engine").field("place", &self.place).finish_non_exhaustive()
    }
}

impl Engine {
    /// Connects to the engine that listens here, and settles on a version of the API that both know.
    ///
    /// # Errors
    ///
    /// If nobody answers within five seconds, or not as an engine.
    pub fn connect(place: &Place) -> BoxFuture<'static, Result<Engine, EngineError>> {
        let place = place.clone();
        Box::pin(async move {
            let name = place.to_string();
            if let Place::Socket(path) = &place
                && !path.exists()
            {
                return Err(EngineError::Away { place: name, why: "there is no such socket".to_owned() });
            }
            let wire = Wire::new(&place);
            let greeting = async {
                let docker = wire.docker()?.negotiate_version().await?;
                let version = docker.version().await?;
                let mut parts = version.components.into_iter().flatten();
                let is_podman = parts.any(|part| part.name.to_lowercase().contains("podman"));
                let kind = if is_podman {
                    let info: told::Info = wire.get(&docker, "/info", &[]).await?;
                    Kind::Podman { rootless: info.is_rootless() }
                } else {
                    Kind::Docker
                };
                Ok::<_, Error>((docker, version.version.unwrap_or_default(), kind))
            };
            match tokio::time::timeout(GREETS, greeting).await {
                Ok(Ok((docker, version, kind))) => Ok(Engine { docker, wire, place: name, version, kind }),
                Ok(Err(error)) => Err(EngineError::new(&name, error)),
                Err(_) => Err(EngineError::Slow { place: name, after: GREETS }),
            }
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn place(&self) -> &str {
        &self.place
    }

    /// Its version, as it says it itself.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Which engine it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Whether it answers at all within this time.
    pub fn answers(&self, within: Duration) -> BoxFuture<'_, bool> {
        Box::pin(async move {
            let asked = tokio::time::timeout(within, self.docker.ping()).await;
            asked.is_ok_and(|answer| !answer.is_err_and(|error| self.fault(error).is_away()))
        })
    }

    fn fault(&self, error: Error) -> EngineError {
        EngineError::new(&self.place, error)
    }

    /// The image of this name, if the engine has it.
    ///
    /// # Errors
    ///
    /// If the engine cannot be asked, or refuses the name.
    pub fn image<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<Image>, EngineError>> {
        Box::pin(async move {
            let asked = tokio::time::timeout(LOOKS_UP, self.docker.inspect_image(name));
            let Ok(found) = asked.await else {
                return Err(EngineError::Slow { place: self.place.clone(), after: LOOKS_UP });
            };
            match found {
                Ok(found) => {
                    let check = found.config.and_then(|config| config.healthcheck);
                    let check = check.filter(|check| {
                        let words = check.test.as_deref().unwrap_or_default();
                        words.first().is_some_and(|word| word != "NONE")
                    });
                    let interval = |nanoseconds: Option<i64>| match u64::try_from(nanoseconds.unwrap_or(0)) {
                        Ok(0) | Err(_) => CHECKS,
                        Ok(nanoseconds) => Duration::from_nanos(nanoseconds),
                    };
                    Ok(Some(Image { health_check: check.map(|check| interval(check.interval)) }))
                }
                Err(error) => match self.fault(error) {
                    EngineError::Absent(_) => Ok(None),
                    error => Err(error),
                },
            }
        })
    }

    /// Gets an image from the registry that its name says, however long that takes.
    ///
    /// # Errors
    ///
    /// If the engine cannot get it: the text is the engine's.
    pub fn pull<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<(), EngineError>> {
        Box::pin(async move {
            let (name, query) = (with_tag(name), "fromImage");
            let answer = self.wire.stream(&self.docker, Method::POST, "/images/create", &[(query, &name)]).await;
            let pulled = async { pull::finish(answer?).await }.await;
            pulled.map_err(|error| self.fault(error))
        })
    }

    /// Makes a container, which does not run yet. Yields its id.
    ///
    /// # Errors
    ///
    /// If the engine refuses, or does not have the image.
    pub fn create<'a>(&'a self, blueprint: &'a Blueprint) -> BoxFuture<'a, Result<String, EngineError>> {
        Box::pin(async move {
            let options =
                CreateContainerOptions { name: Some(blueprint.name.clone()), ..CreateContainerOptions::default() };
            let made = self.docker.create_container(Some(options), blueprint.body()).await;
            made.map(|made| made.id).map_err(|error| self.fault(error))
        })
    }

    /// Starts a container.
    ///
    /// # Errors
    ///
    /// If it cannot be started, for example because its program is not there.
    pub fn start<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<(), EngineError>> {
        Box::pin(async move { self.docker.start_container(id, None).await.map_err(|error| self.fault(error)) })
    }

    /// Looks where a container stands. `port` and `reach` are as it was made with.
    ///
    /// # Errors
    ///
    /// If the engine cannot be asked, or the container is not there any more.
    pub fn look<'a>(&'a self, id: &'a str, port: u16, reach: &'a Reach) -> BoxFuture<'a, Result<State, EngineError>> {
        Box::pin(async move {
            let found = self.inspect(id).await.map_err(|error| self.fault(error))?;
            Ok(State::read(found, port, reach))
        })
    }

    async fn inspect(&self, id: &str) -> Result<told::Container, Error> {
        self.wire.get(&self.docker, &format!("/containers/{id}/json"), &[]).await
    }

    /// Waits until a container does not run, or the engine gives no more answer. [`look`](Engine::look) tells which.
    pub fn wait<'a>(&'a self, id: &'a str) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let options = WaitContainerOptions { condition: "not-running".to_owned() };
            let mut waiting = std::pin::pin!(self.docker.wait_container(id, Some(options)));
            waiting.next().await;
        })
    }

    /// Copies what a container writes until it has ended: from its start, or from the time `since`, in seconds since 1970. It
    /// ends as well when one of the copies is not read any more.
    ///
    /// # Errors
    ///
    /// If the engine cannot tell, for example because it hands logs to something else.
    pub fn logs<'a>(
        &'a self,
        id: &'a str,
        since: i32,
        output: Box<dyn AsyncWrite + Unpin + Send>,
        error: Box<dyn AsyncWrite + Unpin + Send>,
    ) -> BoxFuture<'a, Result<(), EngineError>> {
        Box::pin(async move {
            let (path, since) = (format!("/containers/{id}/logs"), since.to_string());
            let query = [("follow", "true"), ("stdout", "true"), ("stderr", "true"), ("since", &since)];
            let answer = self.wire.stream(&self.docker, Method::GET, &path, &query).await;
            let copied = async { logs::copy(answer?, output, error).await }.await;
            copied.map_err(|error| self.fault(error))
        })
    }

    /// Asks a container to stop, and makes it after the grace. One that has ended, or is not there, is no error.
    ///
    /// # Errors
    ///
    /// If the engine cannot be asked.
    pub fn stop<'a>(&'a self, id: &'a str, grace: Duration) -> BoxFuture<'a, Result<(), EngineError>> {
        Box::pin(async move {
            let seconds = i32::try_from(grace.as_secs()).unwrap_or(i32::MAX);
            let options = StopContainerOptions { t: Some(seconds), ..StopContainerOptions::default() };
            match self.docker.stop_container(id, Some(options)).await {
                Err(Error::DockerResponseServerError { status_code: 304 | 404, .. }) | Ok(()) => Ok(()),
                Err(error) => Err(self.fault(error)),
            }
        })
    }

    /// Removes a container, with what it has written, whether it runs or not. One that is not there is no error.
    ///
    /// # Errors
    ///
    /// If the engine cannot be asked, or cannot remove it.
    pub fn remove<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<(), EngineError>> {
        Box::pin(async move {
            let options = RemoveContainerOptions { force: true, v: true, ..RemoveContainerOptions::default() };
            match self.docker.remove_container(id, Some(options)).await {
                // 409: it is being removed already.
                Err(Error::DockerResponseServerError { status_code: 404 | 409, .. }) | Ok(()) => Ok(()),
                Err(error) => Err(self.fault(error)),
            }
        })
    }

    /// All containers with this label, whether they run or not.
    ///
    /// # Errors
    ///
    /// If the engine cannot be asked.
    pub fn labelled<'a>(&'a self, label: &'a str, value: &'a str) -> BoxFuture<'a, Result<Vec<Found>, EngineError>> {
        Box::pin(async move {
            let filters = serde_json::json!({ "label": [format!("{label}={value}")] }).to_string();
            let query = [("all", "true"), ("filters", &filters)];
            let found: Result<Vec<told::Listed>, _> = self.wire.get(&self.docker, "/containers/json", &query).await;
            let found = found.map_err(|error| self.fault(error))?.into_iter().filter_map(Found::read);
            // An engine that does not know the filter tells of all.
            Ok(found.filter(|found| found.labels.get(label).is_some_and(|own| own == value)).collect())
        })
    }

    /// What a container holds in memory, in bytes, without what the kernel could give back at once.
    ///
    /// # Errors
    ///
    /// If the engine cannot be asked, or the container does not run.
    pub fn memory<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<u64, EngineError>> {
        Box::pin(async move {
            let options = StatsOptions { stream: false, one_shot: true };
            let mut stats = std::pin::pin!(self.docker.stats(id, Some(options)));
            let told = stats.next().await.transpose().map_err(|error| self.fault(error))?;
            let memory = told.and_then(|told| told.memory_stats).unwrap_or_default();
            let files = memory.stats.unwrap_or_default();
            // `docker stats` subtracts the same: the name depends on the version of control groups.
            let files = files.get("total_inactive_file").or_else(|| files.get("inactive_file")).copied().unwrap_or(0);
            Ok(memory.usage.unwrap_or(0).saturating_sub(files))
        })
    }

    /// The network that containers are in by default, if the engine has one.
    ///
    /// # Errors
    ///
    /// If the engine cannot be asked.
    pub fn bridge(&self) -> BoxFuture<'_, Result<Option<Bridge>, EngineError>> {
        Box::pin(async move {
            // Docker's name, and Podman's.
            for name in ["bridge", "podman"] {
                match self.docker.inspect_network(name, None).await.map_err(|error| self.fault(error)) {
                    Ok(found) => return Ok(Bridge::read(found)),
                    Err(error) if error.is_absent() => {}
                    Err(error) => return Err(error),
                }
            }
            Ok(None)
        })
    }

    /// The container of this id, which is the one that this process runs in; `None` if the engine does not know it.
    ///
    /// # Errors
    ///
    /// If the engine cannot be asked.
    pub fn own<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Option<Own>, EngineError>> {
        Box::pin(async move {
            match self.inspect(id).await.map_err(|error| self.fault(error)) {
                Ok(found) => Ok(Own::read(found)),
                Err(error) if error.is_absent() => Ok(None),
                Err(error) => Err(error),
            }
        })
    }
}

/// The name of an image with its tag. Without one, an engine would get all that there are.
fn with_tag(name: &str) -> String {
    let last = name.rsplit('/').next().unwrap_or(name);
    if last.contains([':', '@']) { name.to_owned() } else { format!("{name}:latest") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_without_a_tag_is_the_latest() {
        for (name, whole) in [
            ("alpine", "alpine:latest"),
            ("localhost:5000/f", "localhost:5000/f:latest"),
            ("localhost:5000/f:1", "localhost:5000/f:1"),
            ("ghcr.io/a/f@sha256:00", "ghcr.io/a/f@sha256:00"),
        ] {
            assert_eq!(with_tag(name), whole);
        }
    }
}
