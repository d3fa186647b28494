//! Where an engine listens.

use std::fmt;
use std::path::{Path, PathBuf};

/// Where engines listen that listen at a port.
const PORT: u16 = 2375;

/// Where an engine listens.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Place {
    /// At a socket of this machine.
    Socket(PathBuf),
    /// At a port of this machine, as `host:port`.
    Port(String),
}

impl Place {
    /// Reads what `DOCKER_HOST` says.
    ///
    /// # Errors
    ///
    /// If it names another machine, or a way of reaching one: the ports of containers would be on that machine, where
    /// nobody here can reach them. The text says what to write.
    pub fn parse(text: &str) -> Result<Place, String> {
        let fault = |why: &str| Err(format!("`DOCKER_HOST` is `{text}`: {why}"));
        let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
        match scheme {
            "unix" if rest.starts_with('/') => Ok(Place::Socket(PathBuf::from(rest))),
            "" if rest.starts_with('/') => Ok(Place::Socket(PathBuf::from(rest))),
            "tcp" | "http" => {
                let mut address = rest.trim_end_matches('/').to_owned();
                // The colons of an address in brackets are its own.
                let after = address.rfind(']').map_or(0, |bracket| bracket + 1);
                if !address[after..].contains(':') {
                    address = format!("{address}:{PORT}");
                }
                let host = address.rsplit_once(':').map_or("", |(host, _)| host);
                let bare = host.trim_matches(['[', ']']);
                let is_here =
                    bare == "localhost" || bare.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
                if !is_here {
                    return fault(
                        "an engine on another machine cannot be used, since the ports of containers would be on that \
                         machine; name a socket of this one, such as `unix:///var/run/docker.sock`",
                    );
                }
                Ok(Place::Port(address))
            }
            _ => fault("name a socket, such as `unix:///var/run/docker.sock`, or a port of this machine"),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Socket(path) => write!(formatter, "{}", path.display()),
            Place::Port(address) => formatter.write_str(address),
        }
    }
}

/// The sockets at which engines usually listen, the likeliest first: Docker's and Podman's of the machine, then those of the
/// user, which Docker Desktop, Colima, OrbStack and Podman make in the home folder.
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
        let socket = |path: &str| Ok(Place::Socket(PathBuf::from(path)));
        assert_eq!(
            Place::parse("unix:///run/user/1000/podman/podman.sock"),
            socket("/run/user/1000/podman/podman.sock")
        );
        assert_eq!(Place::parse("/var/run/docker.sock"), socket("/var/run/docker.sock"));
        for here in ["127.0.0.1:2375", "localhost:2375", "[::1]:2375"] {
            assert_eq!(Place::parse(&format!("tcp://{here}")), Ok(Place::Port(here.to_owned())));
        }
        for here in ["127.0.0.1", "localhost", "[::1]"] {
            assert_eq!(Place::parse(&format!("tcp://{here}/")), Ok(Place::Port(format!("{here}:2375"))));
        }
        for elsewhere in ["tcp://10.0.0.7:2375", "tcp://docker.example:2376"] {
            let why = Place::parse(elsewhere).unwrap_err();
            assert!(why.contains(elsewhere) && why.contains("on another machine"), "{why}");
        }
        for other in ["ssh://me@server", "npipe:////./pipe/docker_engine", "unix://docker.sock", ""] {
            assert!(Place::parse(other).unwrap_err().contains("name a socket"), "{other}");
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
