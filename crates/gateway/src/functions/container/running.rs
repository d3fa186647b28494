//! A container that was created: its changes, its log, and its removal.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use faasflow_containers::{Engine, Health, Image, Reach};
use faasflow_core::chain;
use tokio::io::{AsyncRead, AsyncWrite, duplex};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::connection::Containers;
use super::names::Name;
use crate::functions::backoff::{ASK_ENGINE, Backoff};
use crate::functions::endings::{ENGINE, GRACE, LAST_LINES, REMOVAL};
use crate::functions::{Function, RunError};

/// How often the gateway asks for the state of a container. Nothing else tells that it is paused or unhealthy.
const POLL_INTERVAL: Duration = Duration::from_secs(2);
/// The size of the buffer for a container's log, in bytes.
const LINES: usize = 64 * 1024;

/// A container that was created and started.
pub(super) struct Container {
    pub(super) engine: Engine,
    pub(super) id: String,
    pub(super) name: Name,
    pub(super) port: u16,
    pub(super) reach: Reach,
    pub(super) image: Image,
    /// The tasks that read its log.
    pub(super) readers: TaskTracker,
}

/// A change of a container that takes requests.
#[derive(Debug)]
pub(super) enum Change {
    /// It was paused. It accepts connections, but answers nothing.
    Paused,
    /// It was unpaused.
    Unpaused,
    /// It no longer takes requests.
    Ended(RunError),
}

impl Container {
    /// Waits until it no longer takes requests at this address, or until it is paused or unpaused; `paused` is whether it is
    /// paused now. An engine that does not answer says nothing about the container.
    pub(super) async fn change(
        &self,
        address: SocketAddr,
        paused: bool,
        containers: &Containers,
        function: &Arc<Function>,
    ) -> Change {
        // When the engine stopped answering.
        let mut away_since: Option<SystemTime> = None;
        let mut backoff = Backoff::new(&ASK_ENGINE);
        let mut waiting = self.engine.wait(&self.id);
        loop {
            let woken = tokio::select! {
                () = &mut waiting => true,
                () = tokio::time::sleep(POLL_INTERVAL) => false,
            };
            match self.engine.state(&self.id, self.port, &self.reach).await {
                Ok(state) if state.health == Some(Health::Unhealthy) => return Change::Ended(RunError::Unhealthy),
                // A restart changes its port, and the old one may be given to another container.
                Ok(state) if state.running && state.address.is_some_and(|now| now != address) => {
                    return Change::Ended(RunError::Restarted);
                }
                Ok(state) if state.running => {
                    containers.engine_is_back();
                    if let Some(since) = away_since.take() {
                        backoff.reset();
                        let reading = read(function.clone(), self.engine.clone(), self.id.clone(), seconds(since));
                        self.readers.spawn(reading);
                    }
                    if state.paused != paused {
                        return if paused { Change::Unpaused } else { Change::Paused };
                    }
                    if woken {
                        // The engine ended the wait, though the container runs.
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                }
                Ok(state) => return Change::Ended(RunError::ended(state)),
                Err(error) if error.is_not_found() => return Change::Ended(RunError::Removed),
                Err(error) => {
                    containers.engine_is_away(&error);
                    away_since.get_or_insert_with(SystemTime::now);
                    tokio::time::sleep(backoff.next()).await;
                }
            }
            if woken {
                waiting = self.engine.wait(&self.id);
            }
        }
    }

    /// Stops and removes it, and reads its log to the end. Once the gateway stops, this takes at most [`REMOVAL`], and less if
    /// the engine does not answer at all.
    pub(super) async fn retire(self, stop: CancellationToken) {
        let removed = async {
            // If it cannot be stopped, its removal kills it.
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
            self.name.abandon();
        }
    }
}

/// A time in seconds since 1970.
fn seconds(time: SystemTime) -> i32 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i32::try_from(since.as_secs()).unwrap_or(i32::MAX)
}

/// Reads the log of a container until it ends. `since` is in seconds since 1970; 0 begins at the container's start.
pub(super) async fn read(function: Arc<Function>, engine: Engine, id: String, since: i32) {
    let (output, output_read) = duplex(LINES);
    let (error, error_read) = duplex(LINES);
    let take = |lines: Box<dyn AsyncRead + Unpin + Send>| function.logs.read(None, lines);
    let writes = |writer| Box::new(writer) as Box<dyn AsyncWrite + Unpin + Send>;
    let copied = engine.logs(&id, since, writes(output), writes(error));
    let (copied, (), ()) = tokio::join!(copied, take(Box::new(output_read)), take(Box::new(error_read)));
    if let Err(error) = copied {
        let (code, why) = (error.code(), chain(&error));
        tracing::warn!(%code, "cannot read the log of the function `{}`: {why}", function.spec.name);
    }
}
