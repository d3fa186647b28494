//! Where a container stands.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use bollard::models::{ContainerInspectResponse, HealthStatusEnum};

use crate::blueprint::Reach;

/// Where a container stands.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct State {
    /// Whether it runs.
    pub running: bool,
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
    /// It has not said yet.
    Starting,
    /// All is well.
    Healthy,
    /// It has failed as many times as it may.
    Unhealthy,
}

impl State {
    pub(crate) fn read(found: ContainerInspectResponse, port: u16, reach: &Reach) -> State {
        let state = found.state.unwrap_or_default();
        let running = state.running.unwrap_or(false);
        let ended = (!running).then(|| {
            let memory = if state.oom_killed == Some(true) { ", since it used more memory than its limit" } else { "" };
            let error = state.error.filter(|error| !error.is_empty()).map(|error| format!(": {error}"));
            format!("it ended with status {}{memory}{}", state.exit_code.unwrap_or(-1), error.unwrap_or_default())
        });
        let health = match state.health.and_then(|health| health.status) {
            Some(HealthStatusEnum::STARTING) => Some(Health::Starting),
            Some(HealthStatusEnum::HEALTHY) => Some(Health::Healthy),
            Some(HealthStatusEnum::UNHEALTHY) => Some(Health::Unhealthy),
            _ => None,
        };
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
        State { running, ended, health, address: address.filter(|_| running) }
    }
}
