//! One of the containers of a function, replaced when it ends.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use faasflow_containers::{Engine, Image};
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::attempt::Attempt;
use super::connection::Containers;
use super::mount::Mount;
use super::names::Name;
use super::plan;
use super::ready::Starting;
use super::running::{Change, Container, read};
use crate::event::{Event, Events};
use crate::functions::backoff::{RESTART_CONTAINER, Restarts};
use crate::functions::endings::{ENGINE, LAST_LINES, REPLACED};
use crate::functions::upstream::Server;
use crate::functions::{Function, RunError, Unavailable};
use crate::stack::{ResourceBounds, health_path, port};

/// What happened to a container.
#[derive(Debug)]
pub(super) enum News {
    /// It takes requests.
    Up(Server),
    /// It does not take requests yet, for this reason.
    Waiting(Unavailable),
    /// It does not take requests, for this reason.
    Down {
        why: Unavailable,
        /// Whether that is more than chance.
        lasting: bool,
    },
}

/// One of the containers that a function should have.
pub(super) struct Replica {
    pub(super) number: u64,
    pub(super) function: Arc<Function>,
    pub(super) image: String,
    pub(super) containers: Containers,
    pub(super) mount: Option<Arc<Mount>>,
    /// The pull of the image, which the replicas share.
    pub(super) pulling: Arc<Attempt<RunError>>,
    pub(super) news: UnboundedSender<(u64, News)>,
    pub(super) events: Events,
    /// Cancelled when it is no longer needed.
    pub(super) unwanted: CancellationToken,
    /// Cancelled when the gateway stops.
    pub(super) stop: CancellationToken,
}

/// The life of one container.
struct Life {
    /// The container, if it was created.
    container: Option<Container>,
    /// How long it took to be ready, or to fail.
    starting: Duration,
    /// How long it took requests.
    served: Duration,
    /// Why it ended, or `Ok` if it was no longer needed.
    outcome: Result<(), RunError>,
}

impl Replica {
    /// Keeps a container running until it is no longer needed, and then removes it.
    pub(super) async fn run(self) {
        let mut restarts = Restarts::new(&RESTART_CONTAINER);
        let mut next = Instant::now();
        // Containers that have ended and are being removed. The next one does not wait for that.
        let mut retiring = JoinSet::new();
        loop {
            tokio::select! {
                () = self.unwanted.cancelled() => break,
                () = tokio::time::sleep_until(next) => {}
            }
            while retiring.try_join_next().is_some() {}
            let Life { container, starting, served, outcome } = self.serve().await;
            let readers = container.as_ref().map(|container| container.readers.clone()).unwrap_or_default();
            if let Some(container) = container {
                retiring.spawn(container.retire(self.stop.clone()));
            }
            let (Err(error), false) = (outcome, self.unwanted.is_cancelled()) else { break };
            let restart = restarts.next(starting, served);
            next = Instant::now() + restart.wait;
            // Before any wait, so that it gets no more requests.
            let why = Unavailable::Ended(error.clone());
            let _ = self.news.send((self.number, News::Down { why, lasting: restart.lasting }));
            self.report(&error, &readers, restart.wait).await;
        }
        while retiring.join_next().await.is_some() {}
    }

    /// Runs one container until it ends or is no longer needed.
    async fn serve(&self) -> Life {
        let begun = Instant::now();
        let _ = self.events.send(Event::Starting { function: self.function.spec.name.clone() });
        match self.create().await {
            Ok(container) => {
                let mut up = None;
                let outcome = self.serve_by(&container, &mut up).await;
                let (starting, served) = up.map_or((begun.elapsed(), Duration::ZERO), |up: Instant| {
                    (up.duration_since(begun), up.elapsed().max(Duration::from_nanos(1)))
                });
                Life { container: Some(container), starting, served, outcome }
            }
            Err(error) => {
                Life { container: None, starting: begun.elapsed(), served: Duration::ZERO, outcome: Err(error) }
            }
        }
    }

    /// Lets a container serve until it ends or is no longer needed. Sets `up` to the time at which it began to take requests.
    async fn serve_by(&self, container: &Container, up: &mut Option<Instant>) -> Result<(), RunError> {
        let spec = &self.function.spec;
        let waits = |why: String| {
            let last = self.function.logs.tail(1).pop();
            let last = last.map_or("it has written nothing".to_owned(), |line| format!("its last line: {}", line.text));
            let why = format!("{why}; {last}");
            self.function.logs.push(None, format!("gateway: {why}"));
            let _ = self.news.send((self.number, News::Waiting(Unavailable::NotReady(why))));
        };
        let starting = Starting {
            engine: &container.engine,
            client: self.containers.client(),
            id: &container.id,
            port: container.port,
            reach: &container.reach,
            path: health_path(spec),
            health_check: container.image.health_check,
            waits: &waits,
        };
        let address = tokio::select! {
            () = self.unwanted.cancelled() => return Ok(()),
            address = starting.ready() => address?,
        };
        let users = TaskTracker::new();
        let url = format!("http://{address}/").parse().expect("an address is a URL");
        let server = Server::new(url, users.clone(), Some(container.id.clone()));
        *up = Some(Instant::now());
        let _ = self.events.send(Event::Ready { function: spec.name.clone() });
        let _ = self.news.send((self.number, News::Up(server.clone())));
        let changes = async {
            let mut paused = false;
            loop {
                let (log, news) = match container.change(address, paused, &self.containers, &self.function).await {
                    Change::Ended(error) => return error,
                    Change::Paused => {
                        let why = Unavailable::Paused(container.name.to_string());
                        (why.describe(), News::Down { why, lasting: true })
                    }
                    Change::Unpaused => {
                        (format!("its container `{}` was unpaused", &*container.name), News::Up(server.clone()))
                    }
                };
                paused = !paused;
                self.function.logs.push(None, format!("gateway: {log}"));
                let _ = self.news.send((self.number, news));
            }
        };
        tokio::select! {
            error = changes => Err(error),
            () = self.unwanted.cancelled() => {
                // It gets no more requests, and finishes those that it has.
                users.close();
                let finished = tokio::time::timeout(REPLACED, users.wait());
                let _ = self.stop.run_until_cancelled(finished).await;
                Ok(())
            }
        }
    }

    /// Creates a container and starts it.
    async fn create(&self) -> Result<Container, RunError> {
        let prepared = async {
            let connected = self.containers.connected().await?;
            let image = self.image(&connected.engine).await?;
            Ok::<_, RunError>((connected, image))
        };
        let (connected, image) = self.unwanted.run_until_cancelled(prepared).await.ok_or(RunError::NotNeeded)??;
        let engine = connected.engine.clone();
        let spec = &self.function.spec;
        let secrets = self.mount.as_ref().map(|mount| connected.on_machine(mount.folder())).transpose()?;
        // It has a name from the start, so that it can be found before the engine has returned its id.
        let name = self.containers.names().take(plan::name(spec));
        let blueprint = plan::blueprint(&self.function, &name, &self.image, &connected, secrets.as_deref())?;
        let Some(_turn) = self.unwanted.run_until_cancelled(self.containers.turn()).await else {
            return Err(RunError::NotNeeded);
        };
        let id = match self.in_time(engine.create(&blueprint)).await {
            Some(Ok(id)) => id,
            Some(Err(error)) => {
                if error.is_in_doubt() {
                    self.discard(&engine, name, true).await;
                }
                return Err(error.into());
            }
            None => {
                self.discard(&engine, name, true).await;
                return Err(RunError::NotNeeded);
            }
        };
        let started = self.in_time(engine.start(&id)).await;
        if !matches!(started, Some(Ok(()))) {
            self.discard(&engine, name, false).await;
            return Err(started.and_then(Result::err).map_or(RunError::NotNeeded, RunError::from));
        }
        let readers = TaskTracker::new();
        readers.spawn(read(self.function.clone(), engine.clone(), id.clone(), 0));
        readers.close();
        let (port, reach) = (port(spec), blueprint.reach);
        Ok(Container { engine, id, name, port, reach, image, readers })
    }

    /// Looks up the image, and pulls it if the engine does not have it.
    async fn image(&self, engine: &Engine) -> Result<Image, RunError> {
        if let Some(image) = engine.image(&self.image).await? {
            return Ok(image);
        }
        let _ = self.news.send((self.number, News::Waiting(Unavailable::Pulling)));
        let pulled = self.pulling.share(async {
            // Another replica may have pulled it in the meantime.
            if let Some(image) = engine.image(&self.image).await? {
                return Ok(image);
            }
            pull(engine, &self.image).await?;
            let pulled = engine.image(&self.image).await?;
            pulled.ok_or_else(|| RunError::ImageVanished(self.image.clone()))
        });
        pulled.await
    }

    /// Does work that should not be interrupted. Once the container is no longer needed, the work has a few more seconds.
    async fn in_time<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let late = async {
            self.unwanted.cancelled().await;
            tokio::time::sleep(ENGINE).await;
        };
        tokio::select! {
            done = work => Some(done),
            () = late => None,
        }
    }

    /// Removes a container that could not be created or started. `in_doubt` is whether the engine may still create it.
    async fn discard(&self, engine: &Engine, name: Name, in_doubt: bool) {
        let removed = self.in_time(engine.remove(&name)).await;
        if in_doubt || !matches!(removed, Some(Ok(()))) {
            name.abandon();
        }
    }

    /// Reports that a container ended or could not be started, with the last lines that it wrote.
    async fn report(&self, error: &RunError, readers: &TaskTracker, again_in: Duration) {
        let function = &self.function;
        function.restarts.fetch_add(1, Ordering::Relaxed);
        readers.close();
        let _ = tokio::time::timeout(again_in.min(LAST_LINES), readers.wait()).await;
        let how = function.logs.with_last_lines(&error.describe());
        let _ = self.events.send(Event::Exited { function: function.spec.name.clone(), how, again_in });
    }

    /// Logs what users should know about the way its containers are created.
    pub(super) fn note(&self) {
        let note = ResourceBounds::read(&self.function.spec).ok().and_then(|allowed| allowed.note());
        if let Some(note) = note {
            self.function.logs.push(None, format!("gateway: {note}"));
        }
    }
}

/// Pulls an image that the engine does not have.
pub(crate) async fn pull(engine: &Engine, image: &str) -> Result<(), RunError> {
    engine.pull(image).await.map_err(|source| RunError::Pull { image: image.to_owned(), source })
}
