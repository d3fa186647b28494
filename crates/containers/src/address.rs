//! Where an engine listens.

use std::fmt;
use std::path::{Path, PathBuf};

use faasflow_core::code::{self, Code};

/// The port that engines use for unencrypted connections.
const PORT: u16 = 2375;

/// Where an engine listens.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Address {
    /// At a socket of this machine.
    Socket(PathBuf),
    /// At a port of this machine, as `host:port`.
    Port(String),
}

/// A value of `DOCKER_HOST` that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddressError {
    /// It names another machine. The ports of containers would be on that machine, where the gateway cannot reach them.
    #[error("`DOCKER_HOST` is `{0}`, an engine on another machine, whose containers cannot be reached from here")]
    OtherMachine(String),
    /// It is neither a socket nor a port.
    #[error("`DOCKER_HOST` is `{0}`, which is neither a socket nor a port of this machine")]
    Unknown(String),
}

impl AddressError {
    /// The code of the error.
    #[must_use]
    pub fn code(&self) -> Code {
        code::BAD_DOCKER_HOST
    }

    /// What to do about the error.
    #[must_use]
    pub fn help(&self) -> &'static str {
        "name a socket of this machine, such as `unix:///var/run/docker.sock`"
    }
}

impl Address {
    /// Parses a value of `DOCKER_HOST`.
    ///
    /// # Errors
    ///
    /// If it names another machine, or is neither a socket nor a port.
    pub fn parse(text: &str) -> Result<Address, AddressError> {
        let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
        match scheme {
            "unix" | "" if rest.starts_with('/') => Ok(Address::Socket(PathBuf::from(rest))),
            "tcp" | "http" => {
                let mut address = rest.trim_end_matches('/').to_owned();
                // An IPv6 address in brackets has colons of its own.
                let after = address.rfind(']').map_or(0, |bracket| bracket + 1);
                if !address[after..].contains(':') {
                    address = format!("{address}:{PORT}");
                }
                let host = address.rsplit_once(':').map_or("", |(host, _)| host);
                let bare = host.trim_matches(['[', ']']);
                let is_here =
                    bare == "localhost" || bare.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
                if is_here { Ok(Address::Port(address)) } else { Err(AddressError::OtherMachine(text.to_owned())) }
            }
            _ => Err(AddressError::Unknown(text.to_owned())),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Socket(path) => write!(formatter, "{}", path.display()),
            Address::Port(address) => formatter.write_str(address),
        }
    }
}

/// The sockets at which engines usually listen, the most likely first: those of the machine's Docker and Podman, then those
/// that Docker Desktop, Colima, OrbStack and Podman create in the user's home folder.
#[must_use]
pub fn usual_sockets(home: Option<&Path>, runtime: Option<&Path>) -> Vec<PathBuf> {
    let mut sockets = vec![PathBuf::from("/var/run/docker.sock")];
    if let Some(runtime) = runtime {
        sockets.extend([runtime.join("docker.sock"), runtime.join("podman/podman.sock")]);
    }
    sockets.push(PathBuf::from("/run/podman/podman.sock"));
    if let Some(home) = home {
        let named = [
            ".docker/run/docker.sock",
            ".docker/desktop/docker.sock",
            ".colima/default/docker.sock",
            ".colima/docker.sock",
            ".orbstack/run/docker.sock",
            ".rd/docker.sock",
            ".local/share/containers/podman/machine/podman.sock",
        ];
        sockets.extend(named.map(|name| home.join(name)));
    }
    sockets
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn docker_host_names_an_engine_on_this_machine() {
        let socket = |path: &str| Ok(Address::Socket(PathBuf::from(path)));
        assert_eq!(
            Address::parse("unix:///run/user/1000/podman/podman.sock"),
            socket("/run/user/1000/podman/podman.sock")
        );
        assert_eq!(Address::parse("/var/run/docker.sock"), socket("/var/run/docker.sock"));
        for here in ["127.0.0.1:2375", "localhost:2375", "[::1]:2375"] {
            assert_eq!(Address::parse(&format!("tcp://{here}")), Ok(Address::Port(here.to_owned())));
        }
        for here in ["127.0.0.1", "localhost", "[::1]"] {
            assert_eq!(Address::parse(&format!("tcp://{here}/")), Ok(Address::Port(format!("{here}:2375"))));
        }
        for elsewhere in ["tcp://10.0.0.7:2375", "tcp://docker.example:2376"] {
            let error = Address::parse(elsewhere).unwrap_err();
            assert!(matches!(&error, AddressError::OtherMachine(text) if text == elsewhere), "{error}");
            assert!(error.to_string().contains(elsewhere) && error.help().contains("unix://"), "{error}");
        }
        for other in ["ssh://me@server", "npipe:////./pipe/docker_engine", "unix://docker.sock", ""] {
            assert!(matches!(Address::parse(other), Err(AddressError::Unknown(_))), "{other}");
        }
    }

    #[test]
    fn the_machine_s_engine_comes_before_the_user_s() {
        let sockets = usual_sockets(Some(Path::new("/users/ada")), Some(Path::new("/run/user/1000")));
        assert_eq!(sockets[0], Path::new("/var/run/docker.sock"));
        let at = |path: &str| sockets.iter().position(|socket| socket == Path::new(path)).unwrap();
        assert!(at("/run/user/1000/podman/podman.sock") < at("/users/ada/.colima/default/docker.sock"));
        assert_eq!(usual_sockets(None, None).len(), 2);
    }
}
