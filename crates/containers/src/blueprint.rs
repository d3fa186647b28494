//! The description from which a container is created.

use std::collections::{BTreeMap, HashMap};
use std::net::Ipv4Addr;
use std::path::PathBuf;

use bollard::models::{ContainerCreateBody, HostConfig, HostConfigLogConfig, Mount, MountType, PortBinding};

/// The name by which a container reaches the machine that it runs on.
pub const HOST_NAME: &str = "host.docker.internal";
/// Podman's name for the same, which every container of Podman knows.
pub const PODMAN_HOST_NAME: &str = "host.containers.internal";
/// The folder in a container that has a file for each secret.
pub const SECRETS: &str = "/var/openfaas/secrets";
/// The smallest memory limit that Docker accepts, in bytes. Smaller limits are raised to it.
pub const LEAST_MEMORY: u64 = 6 << 20;

/// The period of the processor quota in microseconds: the kernel's default.
const PERIOD: u64 = 100_000;
/// The CPU shares of a whole processor, the number that Kubernetes uses.
const SHARES: u64 = 1024;

/// How much of a container's log the engine keeps.
const LOG: [(&str, &str); 2] = [("max-size", "10m"), ("max-file", "2")];

/// A container to create.
#[derive(Clone, Debug)]
pub struct Blueprint {
    /// Its name, which must be unique in the engine.
    pub name: String,
    /// Its image.
    pub image: String,
    /// Its environment, in addition to the image's.
    pub environment: Vec<(String, String)>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// The port that it listens on.
    pub port: u16,
    /// The folder that is mounted read-only at [`SECRETS`].
    pub secrets: Option<PathBuf>,
    /// Whether its root file system is read-only. `/tmp` is always writable.
    pub read_only_root: bool,
    /// The most that it may use.
    pub limits: Resources,
    /// What it gets when there is not enough for all containers.
    pub requests: Resources,
    /// How it is reached.
    pub reach: Reach,
    /// How [`HOST_NAME`] is resolved in it. Used only with [`Reach::Published`].
    pub host: Host,
}

/// How [`HOST_NAME`] is resolved in a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Host {
    /// The engine finds the machine's address. Podman can do that from version 4.8.
    ByEngine,
    /// As this address.
    At(Ipv4Addr),
    /// The engine's own setting is left as it is.
    Unset,
}

/// Memory and processor time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Resources {
    /// In bytes.
    pub memory: Option<u64>,
    /// In thousandths of a processor.
    pub cpu: Option<u64>,
}

/// How a container is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reach {
    /// At a port of this machine's loopback address. The engine chooses a free one.
    Published,
    /// At its own address in this network, which the gateway is also part of.
    Network(String),
}

impl Blueprint {
    pub(crate) fn body(&self) -> ContainerCreateBody {
        let port = format!("{}/tcp", self.port);
        let mut host = HostConfig {
            readonly_rootfs: Some(self.read_only_root),
            // OpenFaaS sets `allowPrivilegeEscalation: false`.
            security_opt: Some(vec!["no-new-privileges:true".to_owned()]),
            memory: self.limits.memory.map(|bytes| signed(bytes.max(LEAST_MEMORY))),
            // The same limit with swap, so that there is no swap.
            memory_swap: self.limits.memory.map(|bytes| signed(bytes.max(LEAST_MEMORY))),
            memory_reservation: self.requests.memory.map(|bytes| signed(bytes.max(LEAST_MEMORY))),
            cpu_period: self.limits.cpu.map(|_| signed(PERIOD)),
            // The kernel accepts no less than a hundredth of a processor.
            cpu_quota: self.limits.cpu.map(|cpu| signed((cpu * PERIOD / 1000).max(1000))),
            // By default, Docker keeps everything that a container writes until it is removed. The engine can read this
            // driver's logs, unlike some others'.
            log_config: Some(HostConfigLogConfig {
                typ: Some("json-file".to_owned()),
                config: Some(LOG.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()),
            }),
            // The kernel accepts 2 to 262,144.
            cpu_shares: self.requests.cpu.map(|cpu| signed((cpu * SHARES / 1000).clamp(2, 1 << 18))),
            ..HostConfig::default()
        };
        if self.read_only_root {
            host.tmpfs = Some(HashMap::from([("/tmp".to_owned(), "rw,exec,nosuid,nodev".to_owned())]));
        }
        if let Some(folder) = &self.secrets {
            // With `binds`, Docker would create a missing folder, and the container would run without its secrets.
            host.mounts = Some(vec![Mount {
                typ: Some(MountType::BIND),
                source: Some(folder.display().to_string()),
                target: Some(SECRETS.to_owned()),
                read_only: Some(true),
                ..Mount::default()
            }]);
        }
        match &self.reach {
            Reach::Published => {
                let binding = PortBinding { host_ip: Some("127.0.0.1".to_owned()), host_port: Some(String::new()) };
                host.port_bindings = Some(HashMap::from([(port.clone(), Some(vec![binding]))]));
                host.extra_hosts = match self.host {
                    Host::ByEngine => Some(vec![format!("{HOST_NAME}:host-gateway")]),
                    Host::At(address) => Some(vec![format!("{HOST_NAME}:{address}")]),
                    Host::Unset => None,
                };
            }
            Reach::Network(network) => host.network_mode = Some(network.clone()),
        }
        ContainerCreateBody {
            image: Some(self.image.clone()),
            env: Some(self.environment.iter().map(|(name, value)| format!("{name}={value}")).collect()),
            labels: Some(self.labels.iter().map(|(key, value)| (key.clone(), value.clone())).collect()),
            exposed_ports: Some(vec![port]),
            host_config: Some(host),
            ..ContainerCreateBody::default()
        }
    }
}

/// The number as the API wants it. No machine has more than fits.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blueprint() -> Blueprint {
        Blueprint {
            name: "f-1".to_owned(),
            image: "f:latest".to_owned(),
            environment: vec![("fprocess".to_owned(), "cat".to_owned())],
            labels: BTreeMap::new(),
            port: 8080,
            secrets: None,
            read_only_root: false,
            limits: Resources::default(),
            requests: Resources::default(),
            reach: Reach::Published,
            host: Host::ByEngine,
        }
    }

    #[test]
    fn amounts_are_converted_to_the_engine_s_units() {
        let limits = Resources { memory: Some(5 << 20), cpu: Some(100) };
        let requests = Resources { memory: Some(1 << 20), cpu: Some(500) };
        let host = Blueprint { limits, requests, ..blueprint() }.body().host_config.unwrap();
        assert_eq!((host.memory, host.memory_swap), (Some(6 << 20), Some(6 << 20)));
        assert_eq!(host.memory_reservation, Some(6 << 20), "a reservation must not exceed the limit");
        assert_eq!((host.cpu_period, host.cpu_quota, host.cpu_shares), (Some(100_000), Some(10_000), Some(512)));
        let log = host.log_config.unwrap().config.unwrap();
        assert_eq!((log["max-size"].as_str(), log["max-file"].as_str()), ("10m", "2"));
        let none = blueprint().body().host_config.unwrap();
        assert_eq!((none.memory, none.cpu_quota, none.cpu_shares, none.tmpfs), (None, None, None, None));
    }

    #[test]
    fn ports_are_published_on_loopback_only() {
        let host = blueprint().body().host_config.unwrap();
        let binding = host.port_bindings.unwrap()["8080/tcp"].clone().unwrap();
        assert_eq!(binding[0].host_ip.as_deref(), Some("127.0.0.1"));
        assert_eq!(host.extra_hosts.unwrap(), ["host.docker.internal:host-gateway"]);
        let podman =
            Blueprint { host: Host::At(Ipv4Addr::new(10, 88, 0, 1)), ..blueprint() }.body().host_config.unwrap();
        assert_eq!(podman.extra_hosts.unwrap(), ["host.docker.internal:10.88.0.1"]);
        assert_eq!(Blueprint { host: Host::Unset, ..blueprint() }.body().host_config.unwrap().extra_hosts, None);
        let inside = Blueprint { reach: Reach::Network("web".to_owned()), ..blueprint() };
        let host = inside.body().host_config.unwrap();
        assert_eq!((host.network_mode.as_deref(), host.port_bindings), (Some("web"), None));
    }
}
