//! What a container is made of.

use std::collections::{BTreeMap, HashMap};
use std::net::Ipv4Addr;
use std::path::PathBuf;

use bollard::models::{ContainerCreateBody, HostConfig, HostConfigLogConfig, Mount, MountType, PortBinding};

/// The name under which a container reaches the machine that it runs on.
pub const HOST_NAME: &str = "host.docker.internal";
/// The name that Podman has for it, in each container.
pub const PODMAN_HOST_NAME: &str = "host.containers.internal";
/// Where a container finds its secrets, a file for each.
pub const SECRETS: &str = "/var/openfaas/secrets";
/// The least memory that Docker lets a container have, in bytes. Less is raised to it.
pub const LEAST_MEMORY: u64 = 6 << 20;

/// The period in which a container may use its share of the processors, in microseconds: the kernel's default.
const PERIOD: u64 = 100_000;
/// The shares of a whole processor, of which Kubernetes makes as many.
const SHARES: u64 = 1024;

/// How much of its log the engine keeps.
const LOG: [(&str, &str); 2] = [("max-size", "10m"), ("max-file", "2")];

/// A container that is to be made.
#[derive(Clone, Debug)]
pub struct Blueprint {
    /// Its name, which no other container of the engine may have.
    pub name: String,
    /// Its image.
    pub image: String,
    /// Its environment, besides that of the image.
    pub environment: Vec<(String, String)>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// The port that it listens on.
    pub port: u16,
    /// The folder that it finds at [`SECRETS`], which it cannot write to.
    pub secrets: Option<PathBuf>,
    /// Whether its root file system is read-only. `/tmp` is writable in any case.
    pub read_only_root: bool,
    /// What it may use at most.
    pub limits: Resources,
    /// What it is to have when there is not enough for all.
    pub requests: Resources,
    /// How it is reached.
    pub reach: Reach,
    /// Where [`HOST_NAME`] leads in it, if it is reached at a published port.
    pub host: Host,
}

/// Where [`HOST_NAME`] leads in a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Host {
    /// To the machine, by the address that the engine finds. Podman does not know how before version 4.8.
    ByEngine,
    /// To this address.
    At(Ipv4Addr),
    /// Where the engine sets it to lead, if it does.
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
    /// At a free port of this machine's loopback address, which the engine chooses.
    Published,
    /// At its own address in this network, which whoever asks is in as well.
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
            // No more by swapping.
            memory_swap: self.limits.memory.map(|bytes| signed(bytes.max(LEAST_MEMORY))),
            memory_reservation: self.requests.memory.map(|bytes| signed(bytes.max(LEAST_MEMORY))),
            cpu_period: self.limits.cpu.map(|_| signed(PERIOD)),
            // The kernel takes no less than a hundredth of a processor.
            cpu_quota: self.limits.cpu.map(|cpu| signed((cpu * PERIOD / 1000).max(1000))),
            // Otherwise Docker keeps all that a container writes, for as long as it is there. This one can be read.
            log_config: Some(HostConfigLogConfig {
                typ: Some("json-file".to_owned()),
                config: Some(LOG.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()),
            }),
            // The kernel takes from 2 to 262,144.
            cpu_shares: self.requests.cpu.map(|cpu| signed((cpu * SHARES / 1000).clamp(2, 1 << 18))),
            ..HostConfig::default()
        };
        if self.read_only_root {
            host.tmpfs = Some(HashMap::from([("/tmp".to_owned(), "rw,exec,nosuid,nodev".to_owned())]));
        }
        if let Some(folder) = &self.secrets {
            // Of `binds`, Docker would make a folder that is missing, and the container would run without its secrets.
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

/// No machine has more than that.
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
    fn amounts_become_what_the_engine_takes() {
        let limits = Resources { memory: Some(5 << 20), cpu: Some(100) };
        let requests = Resources { memory: Some(1 << 20), cpu: Some(500) };
        let host = Blueprint { limits, requests, ..blueprint() }.body().host_config.unwrap();
        assert_eq!((host.memory, host.memory_swap), (Some(6 << 20), Some(6 << 20)));
        assert_eq!(host.memory_reservation, Some(6 << 20), "it may not be above the limit");
        assert_eq!((host.cpu_period, host.cpu_quota, host.cpu_shares), (Some(100_000), Some(10_000), Some(512)));
        let log = host.log_config.unwrap().config.unwrap();
        assert_eq!((log["max-size"].as_str(), log["max-file"].as_str()), ("10m", "2"));
        let none = blueprint().body().host_config.unwrap();
        assert_eq!((none.memory, none.cpu_quota, none.cpu_shares, none.tmpfs), (None, None, None, None));
    }

    #[test]
    fn only_loopback_reaches_a_published_port() {
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
