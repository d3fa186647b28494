//! How containers and this process reach each other.

use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};

use bollard::models::NetworkInspect;

use crate::answers;

/// The network that containers are in by default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Bridge {
    /// The address by which containers reach the machine that the engine runs on. If that is a virtual machine, this is not
    /// an address of this machine.
    pub host: Ipv4Addr,
    /// The length of the network prefix in bits.
    prefix: u32,
}

impl Bridge {
    pub(crate) fn read(found: NetworkInspect) -> Option<Bridge> {
        let configs = found.ipam?.config?;
        configs.into_iter().find_map(|config| {
            let host = config.gateway?.parse().ok()?;
            let (_, prefix) = config.subnet.as_deref()?.split_once('/')?;
            let prefix = prefix.parse().ok().filter(|prefix| (1..=32).contains(prefix))?;
            Some(Bridge { host, prefix })
        })
    }

    /// Whether an address is in the network.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = match address {
            IpAddr::V4(address) => address,
            IpAddr::V6(address) => match address.to_ipv4_mapped() {
                Some(address) => address,
                None => return false,
            },
        };
        let mask = u32::MAX << (32 - self.prefix);
        u32::from(address) & mask == u32::from(self.host) & mask
    }
}

/// The container that this process itself runs in.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OwnContainer {
    /// A network that it is in.
    pub network: String,
    /// Its address there.
    pub address: IpAddr,
    /// The folders that it shares with the machine: the path on the machine, and the path in this container.
    shared: Vec<(PathBuf, PathBuf)>,
}

impl OwnContainer {
    pub(crate) fn read(found: answers::Container) -> Option<OwnContainer> {
        let mounts = found.mounts.unwrap_or_default().into_iter();
        let shared = mounts.filter_map(|mount| Some((mount.source?.into(), mount.destination?.into()))).collect();
        let networks = found.network_settings?.networks?;
        // Any network works. The first by name, so that the choice is the same each time.
        let mut networks: Vec<_> = networks
            .into_iter()
            .filter_map(|(name, network)| Some((name, network.ip_address?.parse::<IpAddr>().ok()?)))
            .collect();
        networks.sort();
        let (network, address) = networks.into_iter().next()?;
        Some(OwnContainer { network, address, shared })
    }

    /// The path on the machine of a folder in this container, if the folder is shared with the machine.
    #[must_use]
    pub fn on_machine(&self, folder: &Path) -> Option<PathBuf> {
        let within = self.shared.iter().filter_map(|(there, here)| Some((there, folder.strip_prefix(here).ok()?)));
        within.min_by_key(|(_, rest)| rest.components().count()).map(|(there, rest)| there.join(rest))
    }
}

#[cfg(test)]
mod tests {
    use bollard::models::{Ipam, IpamConfig};

    use super::*;

    #[test]
    fn a_network_contains_the_addresses_of_its_subnet() {
        let config = |subnet: &str, gateway: &str| IpamConfig {
            subnet: Some(subnet.to_owned()),
            gateway: Some(gateway.to_owned()),
            ..IpamConfig::default()
        };
        let configs = vec![config("fd00::/64", "fd00::1"), config("172.17.0.0/16", "172.17.0.1")];
        let ipam = Some(Ipam { config: Some(configs), ..Ipam::default() });
        let bridge = Bridge::read(NetworkInspect { ipam, ..NetworkInspect::default() }).unwrap();
        assert_eq!(bridge.host, Ipv4Addr::new(172, 17, 0, 1));
        for within in ["172.17.0.2", "172.17.255.254", "::ffff:172.17.3.4"] {
            assert!(bridge.contains(within.parse().unwrap()), "{within}");
        }
        for without in ["172.18.0.2", "127.0.0.1", "192.168.0.7", "fd00::2"] {
            assert!(!bridge.contains(without.parse().unwrap()), "{without}");
        }
        assert_eq!(Bridge::read(NetworkInspect::default()), None);
    }

    #[test]
    fn a_folder_is_found_on_the_machine_by_the_nearest_mount() {
        let answer = serde_json::json!({
            "Mounts": [
                { "Source": "/srv", "Destination": "/data" }, { "Source": "/vol/_data", "Destination": "/data/state" },
            ],
            "NetworkSettings": { "Networks": { "web": { "IPAddress": "172.20.0.3" } } },
        });
        let own = OwnContainer::read(serde_json::from_value(answer).unwrap()).unwrap();
        assert_eq!((own.network.as_str(), own.address.to_string().as_str()), ("web", "172.20.0.3"));
        let at = |folder: &str| own.on_machine(Path::new(folder));
        assert_eq!(at("/data/state/mounts/f"), Some(PathBuf::from("/vol/_data/mounts/f")));
        assert_eq!(at("/data/other"), Some(PathBuf::from("/srv/other")));
        assert_eq!(at("/tmp"), None);
    }
}
