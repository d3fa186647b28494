//! A container engine, and the requests that it is sent.

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

use crate::address::Address;
use crate::answers;
use crate::blueprint::{Blueprint, Reach};
use crate::error::EngineError;
use crate::network::{Bridge, OwnContainer};
use crate::state::State;
use crate::wire::Wire;
use crate::{logs, pull};

/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long looking up an image may take. Callers of the gateway wait for it.
const IMAGE_TIMEOUT: Duration = Duration::from_secs(10);

/// How often an engine checks health if the image does not say.
const DEFAULT_HEALTH_INTERVAL: Duration = Duration::from_secs(30);

/// A container engine. Clones share its connections.
#[derive(Clone)]
pub struct Engine {
    docker: Docker,
    wire: Wire,
    address: String,
    version: String,
    kind: Kind,
}

/// The kind of engine, as far as it makes a difference here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// Docker, or an engine that behaves like it.
    Docker,
    /// Podman.
    Podman {
        /// Whether it runs without root. Its networks are then not this machine's.
        rootless: bool,
    },
}

/// An image that the engine has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Image {
    /// How often the health of its containers is checked, if the image defines a health check.
    pub health_check: Option<Duration>,
}

/// A container that the engine has.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListedContainer {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its labels.
    pub labels: HashMap<String, String>,
}

impl ListedContainer {
    fn read(found: answers::ContainerSummary) -> Option<ListedContainer> {
        let name = found.names.unwrap_or_default().into_iter().next().unwrap_or_default();
        let name = name.trim_start_matches('/').to_owned();
        Some(ListedContainer { id: found.id?, name, labels: found.labels.unwrap_or_default() })
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Engine").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Engine {
    /// Connects to the engine at an address, and negotiates the version of the API.
    ///
    /// # Errors
    ///
    /// If nothing answers within five seconds, or something that is not an engine.
    pub fn connect(address: &Address) -> BoxFuture<'static, Result<Engine, EngineError>> {
        let address = address.clone();
        Box::pin(async move {
            let name = address.to_string();
            if let Address::Socket(path) = &address
                && !path.exists()
            {
                return Err(EngineError::no_socket(name));
            }
            let wire = Wire::new(&address);
            let greeting = async {
                let docker = wire.docker()?.negotiate_version().await?;
                let version = docker.version().await?;
                let mut parts = version.components.into_iter().flatten();
                let is_podman = parts.any(|part| part.name.to_lowercase().contains("podman"));
                let kind = if is_podman {
                    let info: answers::Info = wire.get(&docker, "/info", &[]).await?;
                    Kind::Podman { rootless: info.is_rootless() }
                } else {
                    Kind::Docker
                };
                Ok::<_, Error>((docker, version.version.unwrap_or_default(), kind))
            };
            match tokio::time::timeout(CONNECT_TIMEOUT, greeting).await {
                Ok(Ok((docker, version, kind))) => Ok(Engine { docker, wire, address: name, version, kind }),
                Ok(Err(error)) => Err(EngineError::new(&name, error)),
                Err(_) => Err(EngineError::Timeout { address: name, limit: CONNECT_TIMEOUT }),
            }
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Its version, as it reports it.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Its kind.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Whether it answers anything within this time.
    pub fn answers(&self, within: Duration) -> BoxFuture<'_, bool> {
        Box::pin(async move {
            let asked = tokio::time::timeout(within, self.docker.ping()).await;
            asked.is_ok_and(|answer| !answer.is_err_and(|error| self.fault(error).is_unreachable()))
        })
    }

    fn fault(&self, error: Error) -> EngineError {
        EngineError::new(&self.address, error)
    }

    /// Looks up an image. Returns `None` if the engine does not have it.
    ///
    /// # Errors
    ///
    /// If the engine cannot be reached, or refuses the name.
    pub fn image<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<Image>, EngineError>> {
        Box::pin(async move {
            let asked = tokio::time::timeout(IMAGE_TIMEOUT, self.docker.inspect_image(name));
            let Ok(found) = asked.await else {
                return Err(EngineError::Timeout { address: self.address.clone(), limit: IMAGE_TIMEOUT });
            };
            match found {
                Ok(found) => {
                    let check = found.config.and_then(|config| config.healthcheck);
                    let check = check.filter(|check| {
                        let words = check.test.as_deref().unwrap_or_default();
                        words.first().is_some_and(|word| word != "NONE")
                    });
                    let interval = |nanoseconds: Option<i64>| match u64::try_from(nanoseconds.unwrap_or(0)) {
                        Ok(0) | Err(_) => DEFAULT_HEALTH_INTERVAL,
                        Ok(nanoseconds) => Duration::from_nanos(nanoseconds),
                    };
                    Ok(Some(Image { health_check: check.map(|check| interval(check.interval)) }))
                }
                Err(error) => match self.fault(error) {
                    EngineError::NotFound(_) => Ok(None),
                    error => Err(error),
                },
            }
        })
    }

    /// Pulls an image from the registry that its name names. There is no time limit.
    ///
    /// # Errors
    ///
    /// If the engine cannot pull it.
    pub fn pull<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<(), EngineError>> {
        Box::pin(async move {
            let (name, query) = (with_tag(name), "fromImage");
            let answer = self.wire.stream(&self.docker, Method::POST, "/images/create", &[(query, &name)]).await;
            let pulled = async { pull::finish(answer?).await }.await;
            pulled.map_err(|error| self.fault(error))
        })
    }

    /// Creates a container without starting it. Returns its id.
    ///
    /// # Errors
    ///
    /// If the engine refuses, or does not have the image.
    pub fn create<'a>(&'a self, blueprint: &'a Blueprint) -> BoxFuture<'a, Result<String, EngineError>> {
        Box::pin(async move {
            let options =
                CreateContainerOptions { name: Some(blueprint.name.clone()), ..CreateContainerOptions::default() };
            let created = self.docker.create_container(Some(options), blueprint.body()).await;
            created.map(|created| created.id).map_err(|error| self.fault(error))
        })
    }

    /// Starts a container.
    ///
    /// # Errors
    ///
    /// If it cannot be started, for example because its program does not exist.
    pub fn start<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<(), EngineError>> {
        Box::pin(async move { self.docker.start_container(id, None).await.map_err(|error| self.fault(error)) })
    }

    /// Asks for the state of a container. `port` and `reach` are those it was created with.
    ///
    /// # Errors
    ///
    /// If the engine cannot be reached, or the container no longer exists.
    pub fn state<'a>(&'a self, id: &'a str, port: u16, reach: &'a Reach) -> BoxFuture<'a, Result<State, EngineError>> {
        Box::pin(async move {
            let found = self.inspect(id).await.map_err(|error| self.fault(error))?;
            Ok(State::read(found, port, reach))
        })
    }

    async fn inspect(&self, id: &str) -> Result<answers::Container, Error> {
        self.wire.get(&self.docker, &format!("/containers/{id}/json"), &[]).await
    }

    /// Waits until a container stops running or the engine stops answering. [`state`](Engine::state) tells which.
    pub fn wait<'a>(&'a self, id: &'a str) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let options = WaitContainerOptions { condition: "not-running".to_owned() };
            let mut waiting = std::pin::pin!(self.docker.wait_container(id, Some(options)));
            waiting.next().await;
        })
    }

    /// Copies what a container writes, until the container ends or nobody reads one of the copies any longer. `since` is in
    /// seconds since 1970; 0 begins at the container's start.
    ///
    /// # Errors
    ///
    /// If the engine cannot provide the log, for example because it sends logs elsewhere.
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

    /// Asks a container to stop, and kills it after the grace period. A container that has ended or does not exist is not an
    /// error.
    ///
    /// # Errors
    ///
    /// If the engine cannot be reached.
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

    /// Removes a container and its volumes, even if it runs. A container that does not exist is not an error.
    ///
    /// # Errors
    ///
    /// If the engine cannot be reached, or cannot remove it.
    pub fn remove<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<(), EngineError>> {
        Box::pin(async move {
            let options = RemoveContainerOptions { force: true, v: true, ..RemoveContainerOptions::default() };
            match self.docker.remove_container(id, Some(options)).await {
                // 409: its removal has begun already.
                Err(Error::DockerResponseServerError { status_code: 404 | 409, .. }) | Ok(()) => Ok(()),
                Err(error) => Err(self.fault(error)),
            }
        })
    }

    /// Lists the containers with this label, running or not.
    ///
    /// # Errors
    ///
    /// If the engine cannot be reached.
    pub fn labelled<'a>(
        &'a self,
        label: &'a str,
        value: &'a str,
    ) -> BoxFuture<'a, Result<Vec<ListedContainer>, EngineError>> {
        Box::pin(async move {
            let filters = serde_json::json!({ "label": [format!("{label}={value}")] }).to_string();
            let query = [("all", "true"), ("filters", &filters)];
            let found: Result<Vec<answers::ContainerSummary>, _> =
                self.wire.get(&self.docker, "/containers/json", &query).await;
            let found = found.map_err(|error| self.fault(error))?.into_iter().filter_map(ListedContainer::read);
            // An engine that does not know the filter lists all containers.
            Ok(found.filter(|found| found.labels.get(label).is_some_and(|own| own == value)).collect())
        })
    }

    /// Measures the memory of a container in bytes, without the caches that the kernel could free at once.
    ///
    /// # Errors
    ///
    /// If the engine cannot be reached, or the container does not run.
    pub fn memory<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<u64, EngineError>> {
        Box::pin(async move {
            let options = StatsOptions { stream: false, one_shot: true };
            let mut stats = std::pin::pin!(self.docker.stats(id, Some(options)));
            let first = stats.next().await.transpose().map_err(|error| self.fault(error))?;
            let memory = first.and_then(|first| first.memory_stats).unwrap_or_default();
            let files = memory.stats.unwrap_or_default();
            // `docker stats` subtracts the same. The name depends on the version of control groups.
            let files = files.get("total_inactive_file").or_else(|| files.get("inactive_file")).copied().unwrap_or(0);
            Ok(memory.usage.unwrap_or(0).saturating_sub(files))
        })
    }

    /// Looks up the network that containers are in by default. Returns `None` if there is none.
    ///
    /// # Errors
    ///
    /// If the engine cannot be reached.
    pub fn bridge(&self) -> BoxFuture<'_, Result<Option<Bridge>, EngineError>> {
        Box::pin(async move {
            // Docker's name, and Podman's.
            for name in ["bridge", "podman"] {
                match self.docker.inspect_network(name, None).await.map_err(|error| self.fault(error)) {
                    Ok(found) => return Ok(Bridge::read(found)),
                    Err(error) if error.is_not_found() => {}
                    Err(error) => return Err(error),
                }
            }
            Ok(None)
        })
    }

    /// Looks up the container that this process runs in. Returns `None` if the engine does not know it.
    ///
    /// # Errors
    ///
    /// If the engine cannot be reached.
    pub fn own_container<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Option<OwnContainer>, EngineError>> {
        Box::pin(async move {
            match self.inspect(id).await.map_err(|error| self.fault(error)) {
                Ok(found) => Ok(OwnContainer::read(found)),
                Err(error) if error.is_not_found() => Ok(None),
                Err(error) => Err(error),
            }
        })
    }
}

/// The name of an image with its tag. Without a tag, an engine would pull all tags.
fn with_tag(name: &str) -> String {
    let last = name.rsplit('/').next().unwrap_or(name);
    if last.contains([':', '@']) { name.to_owned() } else { format!("{name}:latest") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_tag_is_latest() {
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
