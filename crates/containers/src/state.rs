//! Where a container stands.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::blueprint::Reach;
use crate::told;

/// The status of a program that was killed: 128, and the number of the signal.
const KILLED: i64 = 137;

/// Where a container stands.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct State {
    /// Whether it runs.
    pub running: bool,
    /// Whether somebody has paused it, so that it does nothing.
    pub paused: bool,
    /// How it ended, for people, if it did.
    pub ended: Option<String>,
    /// What its health check says, if it has one.
    pub health: Option<Health>,
    /// Where it is reached, if it runs and is reached anywhere.
    pub address: Option<SocketAddr>,
}

/// What the health check of a container says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Health {
    /// It has not been asked yet. So it stays where the engine makes no checks, as Podman without systemd.
    Unknown,
    /// It has not been well yet.
    Starting,
    /// All is well.
    Healthy,
    /// It has failed as many times as it may.
    Unhealthy,
}

impl State {
    pub(crate) fn read(found: told::Container, port: u16, reach: &Reach) -> State {
        let state = found.state.unwrap_or_default();
        // One that is paused runs. Podman says that it does not.
        let running = state.running || state.paused;
        let has_limit = found.host_config.and_then(|host| host.memory).is_some_and(|bytes| bytes > 0);
        let ended = (!running).then(|| {
            let status = state.exit_code.unwrap_or(-1);
            let memory = if state.oom_killed {
                ", since it used more memory than its limit"
            } else if status == KILLED && has_limit {
                // Podman does not tell in each version.
                ": it was killed, perhaps since it used more memory than its limit"
            } else {
                ""
            };
            let error = state.error.filter(|error| !error.is_empty()).map(|error| format!(": {error}"));
            format!("it ended with status {status}{memory}{}", error.unwrap_or_default())
        });
        let health = state.health.and_then(|health| match health.status.as_deref() {
            Some("starting") if health.log.is_none_or(|log| log.is_empty()) => Some(Health::Unknown),
            Some("starting") => Some(Health::Starting),
            Some("healthy") => Some(Health::Healthy),
            Some("unhealthy") => Some(Health::Unhealthy),
            _ => None,
        });
        let settings = found.network_settings.unwrap_or_default();
        let address = match reach {
            Reach::Published => settings
                .ports
                .and_then(|mut ports| ports.remove(&format!("{port}/tcp")).flatten())
                .and_then(|bindings| bindings.iter().find_map(|binding| binding.host_port.as_ref()?.parse().ok()))
                .map(|port: u16| SocketAddr::from((Ipv4Addr::LOCALHOST, port))),
            Reach::Network(name) => settings
                .networks
                .and_then(|mut networks| networks.remove(name)?.ip_address?.parse::<IpAddr>().ok())
                .map(|ip| SocketAddr::new(ip, port)),
        };
        State { running, paused: state.paused, ended, health, address: address.filter(|_| running) }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn state(told: Value) -> State {
        State::read(serde_json::from_value(told).unwrap(), 8080, &Reach::Published)
    }

    /// bollard failed at them, and the reason why a container had ended was that Podman is no engine.
    #[test]
    fn podman_has_words_of_its_own() {
        for status in ["stopped", "initialized", "stopping", "unknown", "configured"] {
            let state = state(json!({ "State": { "Status": status, "Running": false, "ExitCode": 7 } }));
            assert_eq!((state.running, state.ended.as_deref()), (false, Some("it ended with status 7")), "{status}");
        }
        let listed = json!({ "Id": "c1", "Names": ["/n"], "Labels": null, "State": "stopped" });
        assert_eq!(serde_json::from_value::<told::Listed>(listed).unwrap().id.as_deref(), Some("c1"));
        let paused = state(json!({ "State": { "Status": "paused", "Running": false, "Paused": true } }));
        assert!(paused.running && paused.paused && paused.ended.is_none());
    }

    #[test]
    fn what_was_killed_may_have_used_too_much_memory() {
        let killed = json!({ "Running": false, "ExitCode": 137 });
        let ended = |told: Value| state(told).ended.unwrap();
        assert_eq!(ended(json!({ "State": killed })), "it ended with status 137");
        let limited = json!({ "State": killed, "HostConfig": { "Memory": 64 } });
        assert!(ended(limited).ends_with("perhaps since it used more memory than its limit"));
        let told = json!({ "State": { "ExitCode": 137, "OOMKilled": true }, "HostConfig": { "Memory": 64 } });
        assert_eq!(ended(told), "it ended with status 137, since it used more memory than its limit");
    }

    #[test]
    fn health_is_unknown_before_the_first_check() {
        let health = |told: Value| state(json!({ "State": { "Running": true, "Health": told } })).health;
        assert_eq!(health(json!({ "Status": "starting", "Log": null })), Some(Health::Unknown));
        assert_eq!(health(json!({ "Status": "starting", "Log": [{ "ExitCode": 1 }] })), Some(Health::Starting));
        assert_eq!(health(json!({ "Status": "healthy" })), Some(Health::Healthy));
        assert_eq!(health(json!({ "Status": "" })), None);
    }
}
