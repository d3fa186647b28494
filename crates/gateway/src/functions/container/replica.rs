//! One container of a function, started again when it ends.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use faasflow_containers::{Engine, EngineError, Image};
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::attempt::Attempt;
use super::backoff::Backoff;
use super::connection::Containers;
use super::made::{Change, Made, read};
use super::mount::Mount;
use super::names::Name;
use super::plan;
use super::ready::Starting;
use crate::event::{Event, Events};
use crate::functions::Function;
use crate::functions::endings::{ENGINE, LAST_LINES, REPLACED};
use crate::functions::upstream::Server;
use crate::stack::{Allowed, health_path, port};

/// What happened to a container.
#[derive(Debug)]
pub(super) enum News {
    /// It takes requests.
    Up(Server),
    /// It does not yet: its image is being pulled.
    Pulling,
    /// It does not yet, and has had some time, for this reason.
    Waiting(String),
    /// It does not, for this reason, and is started again.
    Down {
        why: String,
        /// Whether it is more than chance.
        again_and_again: bool,
    },
}

/// One of the containers that a function is to have.
pub(super) struct Replica {
    pub(super) number: u64,
    pub(super) function: Arc<Function>,
    pub(super) image: String,
    pub(super) containers: Containers,
    pub(super) mount: Option<Arc<Mount>>,
    /// The pull of the image, of which all replicas make one.
    pub(super) pulling: Arc<Attempt>,
    pub(super) news: UnboundedSender<(u64, News)>,
    pub(super) events: Events,
    /// Cancelled when it is not wanted any more.
    pub(super) unwanted: CancellationToken,
    /// Cancelled when the gateway stops.
    pub(super) stop: CancellationToken,
}

/// What became of one container.
struct Life {
    /// It, if it was made.
    made: Option<Made>,
    /// How long it took until it took requests, or had failed to.
    starting: Duration,
    /// How long it took requests.
    served: Duration,
    /// Why it ended; `Ok` if it was not wanted any more.
    outcome: Result<(), String>,
}

impl Replica {
    /// Keeps a container until it is not wanted any more, and removes it.
    pub(super) async fn run(self) {
        let mut backoff = Backoff::default();
        let mut next = Instant::now();
        // Those that have ended, and are being removed. The next one does not wait for that.
        let mut retiring = JoinSet::new();
        loop {
            tokio::select! {
                () = self.unwanted.cancelled() => break,
                () = tokio::time::sleep_until(next) => {}
            }
            while retiring.try_join_next().is_some() {}
            let Life { made, starting, served, outcome } = self.serve().await;
            let readers = made.as_ref().map(|made| made.readers.clone()).unwrap_or_default();
            if let Some(made) = made {
                retiring.spawn(made.retire(self.stop.clone()));
            }
            let (Err(how), false) = (outcome, self.unwanted.is_cancelled()) else { break };
            let (wait, again_and_again) = backoff.next(starting, served);
            next = Instant::now() + wait;
            // Before anything is waited for, so that it gets no more requests.
            let why = format!("{how}; it is started again");
            let _ = self.news.send((self.number, News::Down { why, again_and_again }));
            self.report(&how, &readers, wait).await;
        }
        while retiring.join_next().await.is_some() {}
    }

    /// One container's life. Ends well when it is not wanted any more.
    async fn serve(&self) -> Life {
        let begun = Instant::now();
        let _ = self.events.send(Event::Starting { function: self.function.spec.name.clone() });
        match self.make().await {
            Ok(made) => {
                let mut up = None;
                let outcome = self.serve_by(&made, &mut up).await;
                let (starting, served) = up.map_or((begun.elapsed(), Duration::ZERO), |up: Instant| {
                    (up.duration_since(begun), up.elapsed().max(Duration::from_nanos(1)))
                });
                Life { made: Some(made), starting, served, outcome }
            }
            Err(how) => Life { made: None, starting: begun.elapsed(), served: Duration::ZERO, outcome: Err(how) },
        }
    }

    /// `up` becomes the time from which it took requests.
    async fn serve_by(&self, made: &Made, up: &mut Option<Instant>) -> Result<(), String> {
        let spec = &self.function.spec;
        let waits = |why: String| {
            let last = self.function.logs.tail(1).pop();
            let said = last.map_or("it has written nothing".to_owned(), |line| format!("its last line: {}", line.text));
            let why = format!("{why}; {said}");
            self.function.logs.push(None, format!("gateway: {why}"));
            let _ = self.news.send((self.number, News::Waiting(why)));
        };
        let starting = Starting {
            engine: &made.engine,
            client: self.containers.client(),
            id: &made.id,
            port: made.port,
            reach: &made.reach,
            path: health_path(spec),
            health_check: made.image.health_check,
            waits: &waits,
        };
        let address = tokio::select! {
            () = self.unwanted.cancelled() => return Ok(()),
            address = starting.ready() => address?,
        };
        let users = TaskTracker::new();
        let url = format!("http://{address}/").parse().expect("an address is a URL");
        let server = Server::new(url, users.clone(), Some(made.id.clone()));
        *up = Some(Instant::now());
        let _ = self.events.send(Event::Ready { function: spec.name.clone() });
        let _ = self.news.send((self.number, News::Up(server.clone())));
        let changes = async {
            let mut paused = false;
            loop {
                let (log, news) = match made.change(address, paused, &self.containers, &self.function).await {
                    Change::Ended(how) => return how,
                    Change::Paused => {
                        let why = format!("its container `{}` is paused, and has to be unpaused", &*made.name);
                        (why.clone(), News::Down { why, again_and_again: true })
                    }
                    Change::Resumed => {
                        (format!("its container `{}` is not paused any more", &*made.name), News::Up(server.clone()))
                    }
                };
                paused = !paused;
                self.function.logs.push(None, format!("gateway: {log}"));
                let _ = self.news.send((self.number, news));
            }
        };
        tokio::select! {
            how = changes => Err(how),
            () = self.unwanted.cancelled() => {
                // Nobody finds it any more, and it finishes what it was sent.
                users.close();
                let finished = tokio::time::timeout(REPLACED, users.wait());
                let _ = self.stop.run_until_cancelled(finished).await;
                Ok(())
            }
        }
    }

    /// Has the engine make a container and start it.
    async fn make(&self) -> Result<Made, String> {
        let unwanted = || "it is not wanted any more".to_owned();
        let prepared = async {
            let connected = self.containers.connected().await?;
            let image = self.image(&connected.engine).await?;
            Ok::<_, String>((connected, image))
        };
        let (connected, image) = self.unwanted.run_until_cancelled(prepared).await.ok_or_else(unwanted)??;
        let engine = connected.engine.clone();
        let spec = &self.function.spec;
        let secrets = self.mount.as_ref().map(|mount| connected.on_machine(mount.folder())).transpose()?;
        // It has a name from the start, so that it is found though nobody has told its id.
        let name = self.containers.names().take(plan::name(spec));
        let blueprint = plan::blueprint(&self.function, &name, &self.image, &connected, secrets.as_deref())?;
        let Some(_turn) = self.unwanted.run_until_cancelled(self.containers.turn()).await else {
            return Err(unwanted());
        };
        let id = match self.in_time(engine.create(&blueprint)).await {
            Some(Ok(id)) => id,
            Some(Err(error)) => {
                if error.is_in_doubt() {
                    self.discard(&engine, name, true).await;
                }
                return Err(error.to_string());
            }
            None => {
                self.discard(&engine, name, true).await;
                return Err(unwanted());
            }
        };
        let started = self.in_time(engine.start(&id)).await;
        if !matches!(started, Some(Ok(()))) {
            self.discard(&engine, name, false).await;
            return Err(started.and_then(Result::err).map_or_else(unwanted, |error| error.to_string()));
        }
        let readers = TaskTracker::new();
        readers.spawn(read(self.function.clone(), engine.clone(), id.clone(), 0));
        readers.close();
        let (port, reach) = (port(spec), blueprint.reach);
        Ok(Made { engine, id, name, port, reach, image, readers })
    }

    /// The image, pulled where the engine does not have it.
    async fn image(&self, engine: &Engine) -> Result<Image, String> {
        let text = |error: EngineError| error.to_string();
        if let Some(image) = engine.image(&self.image).await.map_err(text)? {
            return Ok(image);
        }
        let _ = self.news.send((self.number, News::Pulling));
        let pulled = self.pulling.share(async {
            // Another one may have pulled it meanwhile.
            if let Some(image) = engine.image(&self.image).await.map_err(text)? {
                return Ok(image);
            }
            pull(engine, &self.image).await?;
            let pulled = engine.image(&self.image).await.map_err(text)?;
            pulled.ok_or_else(|| format!("the image `{}` was pulled, and is not there", self.image))
        });
        pulled.await
    }

    /// Does what the engine should not be left in the middle of. Once the container is not wanted any more, that has a few
    /// seconds more, and is then broken off.
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

    /// Removes a container that was not made whole. `in_doubt` is whether the engine may still be making it.
    async fn discard(&self, engine: &Engine, name: Name, in_doubt: bool) {
        let removed = self.in_time(engine.remove(&name)).await;
        if in_doubt || !matches!(removed, Some(Ok(()))) {
            name.lose();
        }
    }

    /// Says that a container ended, or could not be started, with the last lines that it wrote.
    async fn report(&self, how: &str, readers: &TaskTracker, again_in: Duration) {
        let function = &self.function;
        function.restarts.fetch_add(1, Ordering::Relaxed);
        readers.close();
        let _ = tokio::time::timeout(again_in.min(LAST_LINES), readers.wait()).await;
        let tail: Vec<String> = function.logs.tail(5).iter().map(|line| line.text.clone()).collect();
        let how = if tail.is_empty() { how.to_owned() } else { format!("{how}; its last lines:\n{}", tail.join("\n")) };
        let _ = self.events.send(Event::Exited { function: function.spec.name.clone(), how, again_in });
    }

    /// What is to be said once of how its containers are made.
    pub(super) fn note(&self) {
        let note = Allowed::read(&self.function.spec).ok().and_then(|allowed| allowed.note());
        if let Some(note) = note {
            self.function.logs.push(None, format!("gateway: {note}"));
        }
    }
}

/// Gets an image that the engine does not have.
pub(crate) async fn pull(engine: &Engine, image: &str) -> Result<(), String> {
    engine.pull(image).await.map_err(|error| {
        let why = error.told().map_or_else(|| error.to_string(), |told| told.trim_end_matches(['.', '\n']).to_owned());
        format!("cannot pull image `{image}`: {why}. Build it with `faas-cli build`, or push it to its registry")
    })
}
