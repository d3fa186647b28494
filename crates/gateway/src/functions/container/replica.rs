//! One container of a function, started again when it ends.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use faasflow_containers::{Engine, Health, Reach};
use tokio::io::{AsyncRead, AsyncWrite, duplex};
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::connection::Containers;
use super::leftovers::Name;
use super::mount::Mount;
use super::plan::{self, Allowed};
use super::ready::Starting;
use crate::event::{Event, Events};
use crate::functions::Function;
use crate::functions::process::{GRACE, LAST_LINES, REPLACED, WELL};
use crate::functions::upstream::Server;

/// How often a container with a health check is looked at.
const LOOKS: Duration = Duration::from_secs(2);
/// How many bytes of a container's lines wait to be read.
const LINES: usize = 64 * 1024;
/// How long the engine may take to remove a container, beyond its grace.
const REMOVES: Duration = Duration::from_secs(20);

/// What happened to a container.
#[derive(Debug)]
pub(super) enum News {
    /// It takes requests.
    Up(Server),
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
    pub(super) news: UnboundedSender<(u64, News)>,
    pub(super) events: Events,
    /// Cancelled when it is not wanted any more.
    pub(super) unwanted: CancellationToken,
    /// Cancelled when the gateway stops.
    pub(super) stop: CancellationToken,
}

/// A container that was made, and may run.
struct Made {
    engine: Engine,
    id: String,
    name: Name,
    port: u16,
    reach: Reach,
    has_health_check: bool,
    /// Those who read what it writes.
    readers: TaskTracker,
}

impl Replica {
    /// Keeps a container until it is not wanted any more, and removes it.
    pub(super) async fn run(self) {
        let mut wait = Duration::ZERO;
        loop {
            tokio::select! {
                () = self.unwanted.cancelled() => return,
                () = tokio::time::sleep(wait) => {}
            }
            let begun = Instant::now();
            let how = match self.serve().await {
                Ok(()) => return,
                Err(how) => how,
            };
            if self.unwanted.is_cancelled() {
                return;
            }
            let before = if begun.elapsed() > WELL { Duration::ZERO } else { wait };
            wait = (before * 2).clamp(Duration::from_millis(200), Duration::from_secs(30));
            self.report(&how, wait);
        }
    }

    /// One container's life. Ends well when it is not wanted any more.
    async fn serve(&self) -> Result<(), String> {
        let name = &self.function.spec.name;
        let _ = self.events.send(Event::Starting { function: name.clone() });
        // To make one is not broken off: nobody would know of it.
        let made = self.make().await?;
        let outcome = self.serve_by(&made).await;
        self.retire(made).await;
        outcome
    }

    async fn serve_by(&self, made: &Made) -> Result<(), String> {
        let spec = &self.function.spec;
        let starting = Starting {
            engine: &made.engine,
            client: self.containers.client(),
            id: &made.id,
            port: made.port,
            reach: &made.reach,
            path: plan::health_path(spec),
            has_health_check: made.has_health_check,
        };
        let address = tokio::select! {
            () = self.unwanted.cancelled() => return Ok(()),
            address = starting.ready() => address?,
        };
        let users = TaskTracker::new();
        let url = format!("http://{address}/").parse().expect("an address is a URL");
        let server = Server { url, users: users.clone(), container: Some(made.id.clone()) };
        let _ = self.events.send(Event::Ready { function: spec.name.clone() });
        let _ = self.news.send((self.number, News::Up(server)));
        tokio::select! {
            how = ended(&self.containers, &self.function, made) => Err(how),
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
        let connected = self.containers.connected().await?;
        let engine = connected.engine.clone();
        let text = |error: faasflow_containers::EngineError| error.to_string();
        let spec = &self.function.spec;
        let image = match engine.image(&self.image).await.map_err(text)? {
            Some(image) => image,
            None => {
                let pulled = self.unwanted.run_until_cancelled(pull(&engine, &self.image)).await;
                pulled.unwrap_or_else(|| Err("it is not wanted any more".to_owned()))?;
                let pulled = engine.image(&self.image).await.map_err(text)?;
                pulled.ok_or_else(|| format!("the image `{}` was pulled, and is not there", self.image))?
            }
        };
        let secrets = self.mount.as_ref().map(|mount| connected.on_machine(mount.folder())).transpose()?;
        let name = self.containers.names().take(plan::name(spec));
        let blueprint = plan::blueprint(&self.function, &name, &self.image, &connected, secrets.as_deref())?;
        let id = match engine.create(&blueprint).await {
            Ok(id) => id,
            Err(error) => {
                // It has a name from the start, so that it is found though nobody has told its id.
                if error.is_in_doubt() {
                    let _ = engine.remove(&name).await;
                    name.lose();
                }
                return Err(error.to_string());
            }
        };
        if let Err(error) = engine.start(&id).await {
            if engine.remove(&id).await.is_err() {
                name.lose();
            }
            return Err(error.to_string());
        }
        let readers = TaskTracker::new();
        readers.spawn(read(self.function.clone(), engine.clone(), id.clone(), 0));
        readers.close();
        let (port, reach) = (plan::port(spec), blueprint.reach);
        Ok(Made { engine, id, name, port, reach, has_health_check: image.has_health_check, readers })
    }

    /// Stops and removes a container. What it wrote until then has been read when this returns.
    async fn retire(&self, made: Made) {
        let removed = tokio::time::timeout(GRACE + REMOVES, async {
            // One that cannot be stopped is killed by its removal.
            let _ = made.engine.stop(&made.id, GRACE).await;
            let _ = tokio::time::timeout(LAST_LINES, made.readers.wait()).await;
            made.engine.remove(&made.id).await
        });
        if !matches!(removed.await, Ok(Ok(()))) {
            made.name.lose();
        }
    }

    /// Says that a container ended, or could not be started.
    fn report(&self, how: &str, again_in: Duration) {
        let function = &self.function;
        function.restarts.fetch_add(1, Ordering::Relaxed);
        let again_and_again = again_in >= Duration::from_millis(800);
        let news = News::Down { why: format!("{how}; it is started again"), again_and_again };
        let _ = self.news.send((self.number, news));
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
        format!("the image `{image}` is not here, and cannot be pulled: {error}; build it here, as by `faas-cli build`, or push it")
    })
}

/// Waits until a container does not serve any more, and says why. Of an engine that does not answer, nothing is concluded: the
/// container may be well.
async fn ended(containers: &Containers, function: &Arc<Function>, made: &Made) -> String {
    // Since when the engine does not answer, and how long to wait before it is asked again.
    let mut away: Option<(SystemTime, Duration)> = None;
    loop {
        tokio::select! {
            () = made.engine.wait(&made.id) => {}
            () = tokio::time::sleep(LOOKS), if made.has_health_check => {}
        }
        match made.engine.look(&made.id, made.port, &made.reach).await {
            Ok(state) if state.health == Some(Health::Unhealthy) => return "its health check fails".to_owned(),
            Ok(state) if state.running => {
                containers.engine_is_back();
                if let Some((since, _)) = away.take() {
                    made.readers.spawn(read(function.clone(), made.engine.clone(), made.id.clone(), seconds(since)));
                }
                // The engine gave up waiting, or it was time to look.
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            Ok(state) => return state.ended.unwrap_or_else(|| "it ended".to_owned()),
            Err(error) if error.is_absent() => return "it was removed by somebody else".to_owned(),
            Err(error) => {
                containers.engine_is_away(&error);
                let (since, pause) = away.unwrap_or((SystemTime::now(), Duration::from_millis(100)));
                tokio::time::sleep(pause).await;
                away = Some((since, (pause * 2).min(LOOKS)));
            }
        }
    }
}

/// A time in seconds since 1970.
fn seconds(time: SystemTime) -> i32 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i32::try_from(since.as_secs()).unwrap_or(i32::MAX)
}

/// Reads what a container writes from this time on, in seconds since 1970, until it has ended.
async fn read(function: Arc<Function>, engine: Engine, id: String, since: i32) {
    let (output, output_read) = duplex(LINES);
    let (error, error_read) = duplex(LINES);
    let take = |lines: Box<dyn AsyncRead + Unpin + Send>| function.logs.take(None, lines);
    let writes = |writer| Box::new(writer) as Box<dyn AsyncWrite + Unpin + Send>;
    let copied = engine.logs(&id, since, writes(output), writes(error));
    let (copied, (), ()) = tokio::join!(copied, take(Box::new(output_read)), take(Box::new(error_read)));
    if let Err(error) = copied {
        tracing::warn!("the log of `{}` cannot be read: {error}", function.spec.name);
    }
}
