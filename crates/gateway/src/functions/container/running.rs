//! A container, once it is made: how it ends, what it writes, and its removal.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use faasflow_containers::{Engine, Health, Image, Reach};
use tokio::io::{AsyncRead, AsyncWrite, duplex};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::connection::Containers;
use super::names::Name;
use crate::functions::Function;
use crate::functions::endings::{ENGINE, GRACE, LAST_LINES, REMOVAL};

/// How often a container is looked at: nothing else tells that it is paused, or that its health check fails.
const LOOKS: Duration = Duration::from_secs(2);
/// How many bytes of a container's lines wait to be read.
const LINES: usize = 64 * 1024;

/// A container that was made, and may run.
pub(super) struct Made {
    pub(super) engine: Engine,
    pub(super) id: String,
    pub(super) name: Name,
    pub(super) port: u16,
    pub(super) reach: Reach,
    pub(super) image: Image,
    /// Those who read what it writes.
    pub(super) readers: TaskTracker,
}

/// What became of a container that served.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// Somebody paused it: it takes connections and answers nothing.
    Paused,
    /// It goes on.
    Resumed,
    /// It does not serve any more, for this reason.
    Ended(String),
}

impl Made {
    /// Waits until it does not serve at this address any more, or is `paused` where it was not, or the other way round. Of an
    /// engine that does not answer, nothing is concluded: the container may be well.
    pub(super) async fn change(
        &self,
        address: SocketAddr,
        paused: bool,
        containers: &Containers,
        function: &Arc<Function>,
    ) -> Change {
        // Since when the engine does not answer, and how long to wait before it is asked again.
        let mut away: Option<(SystemTime, Duration)> = None;
        let mut waiting = self.engine.wait(&self.id);
        let ended = |how: &str| Change::Ended(how.to_owned());
        loop {
            let woken = tokio::select! {
                () = &mut waiting => true,
                () = tokio::time::sleep(LOOKS) => false,
            };
            match self.engine.look(&self.id, self.port, &self.reach).await {
                Ok(state) if state.health == Some(Health::Unhealthy) => return ended("its health check fails"),
                // Its port is another one after that, and the old one may be given to somebody else's container.
                Ok(state) if state.running && state.address.is_some_and(|now| now != address) => {
                    return ended("it was restarted by somebody else");
                }
                Ok(state) if state.running => {
                    containers.engine_is_back();
                    if let Some((since, _)) = away.take() {
                        let reading = read(function.clone(), self.engine.clone(), self.id.clone(), seconds(since));
                        self.readers.spawn(reading);
                    }
                    if state.paused != paused {
                        return if paused { Change::Resumed } else { Change::Paused };
                    }
                    if woken {
                        // The engine gave up waiting.
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                }
                Ok(state) => return Change::Ended(state.ended.unwrap_or_else(|| "it ended".to_owned())),
                Err(error) if error.is_absent() => return ended("it was removed by somebody else"),
                Err(error) => {
                    containers.engine_is_away(&error);
                    let (since, pause) = away.unwrap_or((SystemTime::now(), Duration::from_millis(100)));
                    tokio::time::sleep(pause).await;
                    away = Some((since, (pause * 2).min(LOOKS)));
                }
            }
            if woken {
                waiting = self.engine.wait(&self.id);
            }
        }
    }

    /// Stops and removes it. What it wrote until then has been read when this returns. Once the gateway stops, it may take
    /// [`REMOVAL`], and less of an engine that answers nothing at all.
    pub(super) async fn retire(self, stop: CancellationToken) {
        let removed = async {
            // One that cannot be stopped is killed by its removal.
            let _ = self.engine.stop(&self.id, GRACE).await;
            let _ = tokio::time::timeout(LAST_LINES, self.readers.wait()).await;
            self.engine.remove(&self.id).await.is_ok()
        };
        let late = async {
            stop.cancelled().await;
            if self.engine.answers(ENGINE).await {
                tokio::time::sleep(REMOVAL - ENGINE).await;
            }
            false
        };
        let is_removed = tokio::select! {
            removed = removed => removed,
            late = late => late,
        };
        if !is_removed {
            self.name.lose();
        }
    }
}

/// A time in seconds since 1970.
fn seconds(time: SystemTime) -> i32 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i32::try_from(since.as_secs()).unwrap_or(i32::MAX)
}

/// Reads what a container writes from this time on, in seconds since 1970, until it has ended.
pub(super) async fn read(function: Arc<Function>, engine: Engine, id: String, since: i32) {
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
