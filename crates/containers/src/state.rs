//! The state of a container.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::answers;
use crate::blueprint::Reach;

/// The exit status of a program that was killed: 128 plus the number of the signal.
const KILLED: i64 = 137;

/// The state of a container.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct State {
    /// Whether it runs.
    pub running: bool,
    /// Whether it is paused. It runs, but does nothing.
    pub paused: bool,
    /// How it ended, if it did: the rest of a sentence about the container.
    pub ended: Option<String>,
    /// The result of its health check, if it has one.
    pub health: Option<Health>,
    /// The address at which it is reached, if it runs and has one.
    pub address: Option<SocketAddr>,
}

/// The result of a container's health check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Health {
    /// There was no check yet. It stays so if the engine makes no checks, like Podman without systemd.
    Unknown,
    /// No check has succeeded yet.
    Starting,
    /// The last check succeeded.
    Healthy,
    /// Too many checks failed in a row.
    Unhealthy,
}

impl State {
    pub(crate) fn read(found: answers::Container, port: u16, reach: &Reach) -> State {
        let state = found.state.unwrap_or_default();
        // A paused container runs. Podman reports that it does not.
        let running = state.running || state.paused;
        let has_limit = found.host_config.and_then(|host| host.memory).is_some_and(|bytes| bytes > 0);
        let ended = (!running).then(|| {
            let status = state.exit_code.unwrap_or(-1);
            let memory = if state.oom_killed {
                " because it used more memory than its limit"
            } else if status == KILLED && has_limit {
                // Some versions of Podman do not report it.
                ": it was killed, perhaps because it used more memory than its limit"
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

    fn state(answer: Value) -> State {
        State::read(serde_json::from_value(answer).unwrap(), 8080, &Reach::Published)
    }

    /// bollard rejected them, and a container seemed to have ended because Podman is not an engine.
    #[test]
    fn podman_s_names_of_states_are_accepted() {
        for status in ["stopped", "initialized", "stopping", "unknown", "configured"] {
            let state = state(json!({ "State": { "Status": status, "Running": false, "ExitCode": 7 } }));
            assert_eq!((state.running, state.ended.as_deref()), (false, Some("it ended with status 7")), "{status}");
        }
        let listed = json!({ "Id": "c1", "Names": ["/n"], "Labels": null, "State": "stopped" });
        assert_eq!(serde_json::from_value::<answers::ContainerSummary>(listed).unwrap().id.as_deref(), Some("c1"));
        let paused = state(json!({ "State": { "Status": "paused", "Running": false, "Paused": true } }));
        assert!(paused.running && paused.paused && paused.ended.is_none());
    }

    #[test]
    fn a_killed_container_may_have_used_too_much_memory() {
        let killed = json!({ "Running": false, "ExitCode": 137 });
        let ended = |answer: Value| state(answer).ended.unwrap();
        assert_eq!(ended(json!({ "State": killed })), "it ended with status 137");
        let limited = json!({ "State": killed, "HostConfig": { "Memory": 64 } });
        assert!(ended(limited).ends_with("perhaps because it used more memory than its limit"));
        let reported = json!({ "State": { "ExitCode": 137, "OOMKilled": true }, "HostConfig": { "Memory": 64 } });
        assert_eq!(ended(reported), "it ended with status 137 because it used more memory than its limit");
    }

    #[test]
    fn health_is_unknown_before_the_first_check() {
        let health = |answer: Value| state(json!({ "State": { "Running": true, "Health": answer } })).health;
        assert_eq!(health(json!({ "Status": "starting", "Log": null })), Some(Health::Unknown));
        assert_eq!(health(json!({ "Status": "starting", "Log": [{ "ExitCode": 1 }] })), Some(Health::Starting));
        assert_eq!(health(json!({ "Status": "healthy" })), Some(Health::Healthy));
        assert_eq!(health(json!({ "Status": "" })), None);
    }
}
