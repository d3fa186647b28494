//! One container of a function, started again when it ends.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use faasflow_containers::{Engine, Health, Reach};
use tokio::io::{AsyncRead, AsyncWrite, duplex};
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::connection::Containers;
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
            how = ended(made) => Err(how),
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
        let blueprint = plan::blueprint(&self.function, &self.image, &connected, secrets.as_deref())?;
        let id = engine.create(&blueprint).await.map_err(text)?;
        if let Err(error) = engine.start(&id).await {
            let _ = engine.remove(&id).await;
            return Err(error.to_string());
        }
        let readers = TaskTracker::new();
        readers.spawn(read(self.function.clone(), engine.clone(), id.clone()));
        readers.close();
        let (port, reach) = (plan::port(spec), blueprint.reach);
        Ok(Made { engine, id, port, reach, has_health_check: image.has_health_check, readers })
    }

    /// Stops and removes a container. What it wrote until then has been read when this returns.
    async fn retire(&self, made: Made) {
        let removed = tokio::time::timeout(GRACE + REMOVES, async {
            made.engine.stop(&made.id, GRACE).await?;
            let _ = tokio::time::timeout(LAST_LINES, made.readers.wait()).await;
            made.engine.remove(&made.id).await
        });
        let why = match removed.await {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.to_string(),
            Err(_) => "the engine did not answer in time".to_owned(),
        };
        let (name, id) = (&self.function.spec.name, &made.id);
        tracing::error!("the container {id} of `{name}` could not be removed, which is done at the next start: {why}");
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

/// Waits until a container does not serve any more, and says why.
async fn ended(made: &Made) -> String {
    loop {
        tokio::select! {
            () = made.engine.wait(&made.id) => {}
            () = tokio::time::sleep(LOOKS), if made.has_health_check => {}
        }
        match made.engine.look(&made.id, made.port, &made.reach).await {
            Ok(state) if state.health == Some(Health::Unhealthy) => return "its health check fails".to_owned(),
            Ok(state) if state.running => {
                // The engine gave up waiting, or it was time to look.
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            Ok(state) => return state.ended.unwrap_or_else(|| "it ended".to_owned()),
            Err(error) if error.is_absent() => return "it was removed by somebody else".to_owned(),
            Err(error) => return error.to_string(),
        }
    }
}

/// Reads what a container writes, until it has ended.
async fn read(function: Arc<Function>, engine: Engine, id: String) {
    let (output, output_read) = duplex(LINES);
    let (error, error_read) = duplex(LINES);
    let take = |lines: Box<dyn AsyncRead + Unpin + Send>| function.logs.take(None, lines);
    let writes = |writer| Box::new(writer) as Box<dyn AsyncWrite + Unpin + Send>;
    let copied = engine.logs(&id, writes(output), writes(error));
    let (copied, (), ()) = tokio::join!(copied, take(Box::new(output_read)), take(Box::new(error_read)));
    if let Err(error) = copied {
        tracing::warn!("the log of `{}` cannot be read: {error}", function.spec.name);
    }
}
