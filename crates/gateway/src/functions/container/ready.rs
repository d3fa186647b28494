//! Waits until a container takes requests.

use std::net::SocketAddr;
use std::time::Duration;

use axum::body::Body;
use faasflow_containers::{Engine, Health, Reach};
use faasflow_http::HttpClient;
use http::{Request, StatusCode};
use tokio::time::Instant;

use crate::functions::RunError;
use crate::functions::backoff::{ASK_ENGINE, Backoff, PROBE_CONTAINER};

/// How long a container may take to be ready.
const START: Duration = Duration::from_secs(60);
/// After how long the log says that the container is not ready yet.
const NOTICE: Duration = Duration::from_secs(5);
/// The expected duration of a health check.
const HEALTH_CHECK: Duration = Duration::from_secs(10);
/// How long the answer to a probe may take.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);

/// A container that is starting.
pub(super) struct Starting<'a> {
    pub(super) engine: &'a Engine,
    pub(super) client: &'a HttpClient,
    pub(super) id: &'a str,
    pub(super) port: u16,
    pub(super) reach: &'a Reach,
    /// The path of its health endpoint.
    pub(super) path: &'a str,
    /// How often the engine checks its health, if its image defines a health check.
    pub(super) health_check: Option<Duration>,
    /// Called once after a few seconds, with what the container is waiting for.
    pub(super) waits: &'a (dyn Fn(String) + Send + Sync),
}

/// The result of a probe.
#[derive(Debug, PartialEq, Eq)]
enum Probe {
    /// The health endpoint reports that it is ready.
    Ready,
    /// It speaks HTTP, but has no such health endpoint.
    SpeaksHttp,
    /// It does not answer yet, or reports that it is not ready.
    NotReady,
}

impl Starting<'_> {
    /// Waits until the container takes requests. Returns its address.
    ///
    /// A watchdog reports that it is ready at `/_/health`. For any other server, the image's health check counts, or any
    /// answer if the image has none. Any answer also counts if the engine should have made a check by now and has not, like
    /// Podman without systemd.
    ///
    /// # Errors
    ///
    /// If it ends, or does not take requests within a minute.
    pub(super) async fn ready(&self) -> Result<SocketAddr, RunError> {
        let begun = Instant::now();
        let deadline = begun + START;
        let mut noticed = false;
        let (mut probing, mut asking) = (Backoff::new(&PROBE_CONTAINER), Backoff::new(&ASK_ENGINE));
        loop {
            let state = match self.engine.state(self.id, self.port, self.reach).await {
                Ok(state) => state,
                Err(error) if error.is_unreachable() && Instant::now() < deadline => {
                    // This says nothing about the container.
                    tokio::time::sleep(asking.next()).await;
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            asking.reset();
            if state.ended.is_some() {
                return Err(RunError::ended(state));
            }
            if state.health == Some(Health::Unhealthy) {
                return Err(RunError::Unhealthy);
            }
            if let Some(address) = state.address {
                let is_ready = match self.probe(address).await {
                    Probe::Ready => true,
                    Probe::SpeaksHttp => match (self.health_check, state.health) {
                        (None, _) | (_, Some(Health::Healthy)) => true,
                        (Some(interval), Some(Health::Unknown) | None) => {
                            begun.elapsed() > (interval.saturating_add(HEALTH_CHECK)).min(START - HEALTH_CHECK)
                        }
                        _ => false,
                    },
                    Probe::NotReady => false,
                };
                if is_ready {
                    return Ok(address);
                }
            }
            if !noticed && begun.elapsed() > NOTICE {
                noticed = true;
                (self.waits)(self.why(state.paused));
            }
            if Instant::now() > deadline {
                return Err(RunError::NotReady { port: self.port, limit: START });
            }
            tokio::time::sleep(probing.next()).await;
        }
    }

    fn why(&self, paused: bool) -> String {
        let port = self.port;
        match (paused, self.health_check) {
            (true, _) => "its container is paused; unpause it".to_owned(),
            (_, Some(interval)) => format!(
                "its container has run for {NOTICE:?} and is not ready: nothing answers on port {port} yet, or the health \
                 check (every {interval:?}) has not passed"
            ),
            (_, None) => {
                format!("its container has run for {NOTICE:?} and is not ready: nothing answers on port {port} yet")
            }
        }
    }

    async fn probe(&self, address: SocketAddr) -> Probe {
        let url = format!("http://{address}{}", self.path);
        let Ok(request) = Request::get(url).body(Body::empty()) else { return Probe::NotReady };
        match tokio::time::timeout(PROBE_TIMEOUT, self.client.send(request)).await {
            Ok(Ok(answer)) => evaluate(answer.status()),
            _ => Probe::NotReady,
        }
    }
}

fn evaluate(status: StatusCode) -> Probe {
    match status.as_u16() {
        200..=299 => Probe::Ready,
        500..=599 => Probe::NotReady,
        _ => Probe::SpeaksHttp,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watchdog_reports_that_it_is_not_ready_with_503() {
        for (status, probe) in
            [(200, Probe::Ready), (204, Probe::Ready), (404, Probe::SpeaksHttp), (503, Probe::NotReady)]
        {
            assert_eq!(evaluate(StatusCode::from_u16(status).unwrap()), probe);
        }
    }
}
