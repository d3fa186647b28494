//! Whether a container takes requests.

use std::net::SocketAddr;
use std::time::Duration;

use axum::body::Body;
use faasflow_containers::{Engine, Health, Reach};
use faasflow_http::HttpClient;
use http::{Request, StatusCode};
use tokio::time::Instant;

/// How long a container may take until it takes requests.
const START: Duration = Duration::from_secs(60);
/// After how long it is told that it does not yet.
const TOLD: Duration = Duration::from_secs(5);
/// How long a health check may take, about.
const CHECK: Duration = Duration::from_secs(10);
/// How long the answer to a probe may take.
const PROBE: Duration = Duration::from_secs(1);

/// A container that is waited for.
pub(super) struct Starting<'a> {
    pub(super) engine: &'a Engine,
    pub(super) client: &'a HttpClient,
    pub(super) id: &'a str,
    pub(super) port: u16,
    pub(super) reach: &'a Reach,
    /// Where it says whether it is well.
    pub(super) path: &'a str,
    /// How often its health is checked, if its image says how.
    pub(super) health_check: Option<Duration>,
    /// Is told once, after a few seconds, why it does not take requests yet.
    pub(super) waits: &'a (dyn Fn(String) + Send + Sync),
}

/// What a probe came to.
#[derive(Debug, PartialEq, Eq)]
enum Probed {
    /// It is well.
    Well,
    /// It speaks HTTP, and knows nothing of the path.
    Speaks,
    /// There is no answer yet, or one that says not yet.
    NotYet,
}

impl Starting<'_> {
    /// Waits until the container takes requests. Yields its address.
    ///
    /// A watchdog says so at `/_/health`. Of something else, the image's health check does, or else any answer. An answer is
    /// enough as well where the engine should have checked by now and has not: Podman does so by systemd alone.
    ///
    /// # Errors
    ///
    /// If it ends, or does not take requests within a minute.
    pub(super) async fn ready(&self) -> Result<SocketAddr, String> {
        let begun = Instant::now();
        let deadline = begun + START;
        let mut told = false;
        let mut pause = Duration::from_millis(10);
        loop {
            let state = match self.engine.look(self.id, self.port, self.reach).await {
                Ok(state) => state,
                Err(error) if error.is_away() && Instant::now() < deadline => {
                    // The container may be well.
                    tokio::time::sleep(Duration::from_millis(250)).await;
                    continue;
                }
                Err(error) => return Err(error.to_string()),
            };
            if let Some(how) = state.ended {
                return Err(how);
            }
            if state.health == Some(Health::Unhealthy) {
                return Err("its health check fails".to_owned());
            }
            if let Some(address) = state.address {
                let is_ready = match self.probe(address).await {
                    Probed::Well => true,
                    Probed::Speaks => match (self.health_check, state.health) {
                        (None, _) | (_, Some(Health::Healthy)) => true,
                        (Some(interval), Some(Health::Unknown) | None) => {
                            begun.elapsed() > (interval.saturating_add(CHECK)).min(START - CHECK)
                        }
                        _ => false,
                    },
                    Probed::NotYet => false,
                };
                if is_ready {
                    return Ok(address);
                }
            }
            if !told && begun.elapsed() > TOLD {
                told = true;
                (self.waits)(self.why(state.paused));
            }
            if Instant::now() > deadline {
                let port = self.port;
                return Err(format!(
                    "it did not take requests on port {port} within {START:?}. An image of OpenFaaS has a watchdog \
                     that listens there; for another port, set `port` in its environment"
                ));
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(250));
        }
    }

    fn why(&self, paused: bool) -> String {
        let port = self.port;
        match (paused, self.health_check) {
            (true, _) => "its container is paused, and has to be unpaused".to_owned(),
            (_, Some(interval)) => format!(
                "its container has run for {TOLD:?}, and is not well yet: it has to take requests on port {port}, and its \
                 health check, which is made every {interval:?}, to succeed"
            ),
            (_, None) => {
                format!("its container has run for {TOLD:?}, and does not take requests on port {port} yet")
            }
        }
    }

    async fn probe(&self, address: SocketAddr) -> Probed {
        let url = format!("http://{address}{}", self.path);
        let Ok(request) = Request::get(url).body(Body::empty()) else { return Probed::NotYet };
        match tokio::time::timeout(PROBE, self.client.send(request)).await {
            Ok(Ok(answer)) => means(answer.status()),
            _ => Probed::NotYet,
        }
    }
}

fn means(status: StatusCode) -> Probed {
    match status.as_u16() {
        200..=299 => Probed::Well,
        500..=599 => Probed::NotYet,
        _ => Probed::Speaks,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watchdog_that_is_not_ready_says_so_with_503() {
        for (status, probed) in [(200, Probed::Well), (204, Probed::Well), (404, Probed::Speaks), (503, Probed::NotYet)]
        {
            assert_eq!(means(StatusCode::from_u16(status).unwrap()), probed);
        }
    }
}
