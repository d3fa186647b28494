//! A container, once it is made: how it ends, what it writes, and its removal.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use faasflow_containers::{Engine, Health, Reach};
use tokio::io::{AsyncRead, AsyncWrite, duplex};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::connection::Containers;
use super::names::Name;
use crate::functions::Function;
use crate::functions::endings::{GRACE, LAST_LINES, REMOVAL};

/// How often a container with a health check is looked at.
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
    pub(super) has_health_check: bool,
    /// Those who read what it writes.
    pub(super) readers: TaskTracker,
}

impl Made {
    /// Waits until it does not serve at this address any more, and says why. Of an engine that does not answer, nothing is
    /// concluded: the container may be well.
    pub(super) async fn ended(&self, address: SocketAddr, containers: &Containers, function: &Arc<Function>) -> String {
        // Since when the engine does not answer, and how long to wait before it is asked again.
        let mut away: Option<(SystemTime, Duration)> = None;
        loop {
            tokio::select! {
                () = self.engine.wait(&self.id) => {}
                () = tokio::time::sleep(LOOKS), if self.has_health_check => {}
            }
            match self.engine.look(&self.id, self.port, &self.reach).await {
                Ok(state) if state.health == Some(Health::Unhealthy) => return "its health check fails".to_owned(),
                // Its port is another one after that, and the old one may be given to somebody else's container.
                Ok(state) if state.running && state.address.is_some_and(|now| now != address) => {
                    return "it was restarted by somebody else".to_owned();
                }
                Ok(state) if state.running => {
                    containers.engine_is_back();
                    if let Some((since, _)) = away.take() {
                        let reading = read(function.clone(), self.engine.clone(), self.id.clone(), seconds(since));
                        self.readers.spawn(reading);
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

    /// Stops and removes it. What it wrote until then has been read when this returns. Once the gateway stops, it may take
    /// [`REMOVAL`].
    pub(super) async fn retire(self, stop: CancellationToken) {
        let removed = async {
            // One that cannot be stopped is killed by its removal.
            let _ = self.engine.stop(&self.id, GRACE).await;
            let _ = tokio::time::timeout(LAST_LINES, self.readers.wait()).await;
            self.engine.remove(&self.id).await.is_ok()
        };
        let late = async {
            stop.cancelled().await;
            tokio::time::sleep(REMOVAL).await;
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
