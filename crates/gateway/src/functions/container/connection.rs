//! The container engine, found and made ready once it is needed.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::Duration;

use faasflow_containers::{
    Bridge, Engine, EngineError, HOST_NAME, Host, Kind, Own, PODMAN_HOST_NAME, Place, Reach, usual_sockets,
};
use faasflow_http::HttpClient;
use futures_util::future::join_all;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::attempt::Attempt;
use super::mount::Mount;
use super::names::Names;
use crate::environment;
use crate::private_file;
use crate::stack::FunctionSpec;

/// On every container of a gateway: which gateway that is.
pub(super) const OWNER: &str = "faasflow.gateway";
/// And for people, its state folder and the function.
pub(super) const STATE_FOLDER: &str = "faasflow.state-folder";
pub(super) const FUNCTION: &str = "faasflow.function";

/// How many containers are made at a time.
const TURNS: usize = 4;
/// How long an engine that was found may take to tell what is asked of it at first.
const SETTLES: Duration = Duration::from_secs(5);

#[cfg(not(unix))]
const NO_ENGINE: &str = "images are not run on Windows: deploy a program that is on this machine, or run the gateway on Linux or \
     macOS, or in WSL";
#[cfg(unix)]
const NO_ENGINE: &str = "no container engine was found: start Docker or Podman, or set `DOCKER_HOST` to its socket, such as \
     `unix:///run/user/1000/podman/podman.sock`";

/// Which container engine runs images.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum EngineChoice {
    /// The one that `DOCKER_HOST` names, else the first that answers at one of the usual sockets.
    #[default]
    Find,
    /// The one at this socket.
    Socket(PathBuf),
    /// None: images are not run.
    None,
}

/// What opens a door for containers: it serves on this listener, for clients in this network.
pub(crate) type Door = Box<dyn Fn(TcpListener, Bridge) + Send + Sync>;

/// The containers of a gateway. Cloning yields the same.
#[derive(Clone)]
pub(crate) struct Containers(Arc<Shared>);

struct Shared {
    choice: EngineChoice,
    /// The gateway's state folder.
    state: PathBuf,
    /// Where the gateway listens.
    listens: SocketAddr,
    /// The gateway that functions are told of, where it is another one.
    behind: Option<String>,
    door: OnceLock<Door>,
    connected: OnceLock<Connected>,
    looking: Attempt,
    /// Whether the engine does not answer at the moment.
    is_away: AtomicBool,
    names: Arc<Names>,
    /// Taken by those who have a container made.
    turns: Semaphore,
    /// The secrets that containers see.
    mounts: Mutex<Vec<Weak<Mount>>>,
    client: HttpClient,
}

/// An engine that answers, and how its containers and this gateway reach each other.
#[derive(Clone, Debug)]
pub(crate) struct Connected {
    pub(crate) engine: Engine,
    /// The address of the gateway, as containers reach it.
    pub(super) gateway: String,
    pub(super) reach: Reach,
    pub(super) host: Host,
    /// What tells this gateway's containers from those of others.
    pub(super) owner: String,
    pub(super) state: PathBuf,
    own: Option<Own>,
}

impl Connected {
    /// Where the engine finds a folder of the state folder.
    pub(super) fn on_machine(&self, folder: &Path) -> Result<PathBuf, String> {
        let found = match &self.own {
            None => folder.to_owned(),
            Some(own) => own.on_machine(folder).ok_or_else(|| {
                format!(
                    "its secrets cannot be mounted: {} is inside of this container. Start the gateway with its state \
                     folder (`--state-dir`) in a volume",
                    folder.display()
                )
            })?,
        };
        Ok(found)
    }
}

impl fmt::Debug for Containers {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Containers").field("choice", &self.0.choice).finish_non_exhaustive()
    }
}

impl Containers {
    pub(crate) fn new(
        choice: EngineChoice,
        state: &Path,
        listens: SocketAddr,
        behind: Option<String>,
        client: HttpClient,
    ) -> Containers {
        Containers(Arc::new(Shared {
            choice,
            state: std::path::absolute(state).unwrap_or_else(|_| state.to_owned()),
            listens,
            behind,
            door: OnceLock::new(),
            connected: OnceLock::new(),
            looking: Attempt::default(),
            is_away: AtomicBool::new(false),
            names: Arc::default(),
            turns: Semaphore::new(TURNS),
            mounts: Mutex::default(),
            client,
        }))
    }

    /// Those of a gateway that runs none, for tests.
    #[cfg(test)]
    pub(crate) fn none() -> Containers {
        let client = HttpClient::new(std::time::Duration::from_secs(1));
        Containers::new(EngineChoice::None, Path::new("."), SocketAddr::from(([127, 0, 0, 1], 8080)), None, client)
    }

    /// Removes the copies of secrets that an earlier run has left. Only for who has the state folder alone, and before the
    /// first function is served: its copies would be removed with them. Waits for the disk.
    pub(crate) fn sweep_secrets(&self) {
        Mount::sweep(&self.0.state);
    }

    /// Says how a listener for containers is served. Once.
    pub(crate) fn open_by(&self, door: Door) {
        let _ = self.0.door.set(door);
    }

    pub(super) fn client(&self) -> &HttpClient {
        &self.0.client
    }

    /// Waits for the turn to have a container made: a function may have many, and they would all start at once.
    pub(super) async fn turn(&self) -> SemaphorePermit<'_> {
        self.0.turns.acquire().await.expect("it is never closed")
    }

    pub(super) fn names(&self) -> &Arc<Names> {
        &self.0.names
    }

    /// The engine, if it was found before.
    pub(super) fn connected_already(&self) -> Option<Connected> {
        self.0.connected.get().cloned()
    }

    /// The engine. Where there was none the last time, it is looked for again. Once there is one, what an earlier run of this
    /// gateway has left behind is removed.
    ///
    /// # Errors
    ///
    /// If there is none, or it does not answer: the text says what to do.
    pub(crate) async fn connected(&self) -> Result<Connected, String> {
        if let Some(connected) = self.0.connected.get() {
            return Ok(connected.clone());
        }
        let looking = self.0.looking.share(async {
            if let Some(connected) = self.0.connected.get() {
                return Ok(connected.clone());
            }
            let engine = self.0.find().await?;
            let place = engine.place().to_owned();
            let settled = tokio::time::timeout(SETTLES, self.0.settle(engine)).await;
            let late = |_| format!("the container engine at {place} does not tell of its networks within {SETTLES:?}");
            let made = settled.map_err(late)??;
            self.0.names.suspect();
            Ok(self.0.connected.get_or_init(|| made).clone())
        });
        looking.await
    }

    /// Removes what nobody looks after: first what an earlier run left behind, if there was one that had containers, then
    /// what could not be removed in time. Without an engine nothing happens until there is one. Never ends.
    pub(crate) async fn sweep(&self) {
        if self.0.state.join(IDENTITY).is_file() {
            let _ = self.connected().await;
        }
        self.remove_leftovers().await;
    }

    /// Says once that the engine does not answer.
    pub(super) fn engine_is_away(&self, error: &EngineError) {
        if !self.0.is_away.swap(true, Ordering::Relaxed) {
            tracing::warn!("{error}; containers that run are kept until it answers again");
        }
    }

    /// Says that it answers again, if it did not. Then leftovers are looked for.
    pub(super) fn engine_is_back(&self) {
        if self.0.is_away.swap(false, Ordering::Relaxed) {
            tracing::info!("the container engine answers again");
            self.0.names.suspect();
        }
    }

    /// The secrets of a function as its containers are to see them, which are to be [filled](Mount::fill) in; `None` if it
    /// names none. From now on those that are replaced are copied again.
    pub(super) fn mount(&self, spec: &FunctionSpec) -> Option<Arc<Mount>> {
        if spec.secrets.is_empty() {
            return None;
        }
        let mount = Arc::new(Mount::new(&self.0.state, spec));
        let mut mounts = self.0.mounts.lock().unwrap_or_else(PoisonError::into_inner);
        mounts.retain(|mount| mount.strong_count() > 0);
        mounts.push(Arc::downgrade(&mount));
        Some(mount)
    }

    /// Shows a secret that was changed to the containers that see it. Waits for the disk.
    pub(crate) fn refresh(&self, secret: &str) {
        let mounts = self.0.mounts.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for mount in mounts.iter().filter_map(Weak::upgrade) {
            if let Err(error) = mount.refresh(secret) {
                tracing::error!("containers still see the old secret `{secret}`: {error}");
            }
        }
    }
}

/// The file that tells a gateway's containers from those of others.
const IDENTITY: &str = "containers-id";

impl Shared {
    async fn find(&self) -> Result<Engine, String> {
        if cfg!(not(unix)) {
            return Err(NO_ENGINE.to_owned());
        }
        let sockets = match &self.choice {
            EngineChoice::None => return Err(NO_ENGINE.to_owned()),
            EngineChoice::Socket(path) => vec![path.clone()],
            EngineChoice::Find => {
                if let Some(named) = environment::variable("DOCKER_HOST").filter(|named| !named.is_empty()) {
                    let place = Place::parse(&named)?;
                    return Engine::connect(&place).await.map_err(|error| error.to_string());
                }
                let folder = |name| environment::variable(name).filter(|path| !path.is_empty()).map(PathBuf::from);
                let usual = usual_sockets(folder("HOME").as_deref(), folder("XDG_RUNTIME_DIR").as_deref());
                usual.into_iter().filter(|path| path.exists()).collect()
            }
        };
        let mut faults = Vec::new();
        // All at once, so that one that hangs does not keep the others waiting.
        let connecting = sockets.into_iter().map(|socket| Engine::connect(&Place::Socket(socket)));
        for connected in join_all(connecting).await {
            match connected {
                Ok(engine) => return Ok(engine),
                Err(error) => faults.push(error.to_string()),
            }
        }
        if faults.is_empty() { Err(NO_ENGINE.to_owned()) } else { Err(faults.join("; ")) }
    }

    async fn settle(&self, engine: Engine) -> Result<Connected, String> {
        let file = self.state.join(IDENTITY);
        let reading = file.clone();
        let read = tokio::task::spawn_blocking(move || identity(&reading)).await;
        let owner = read
            .unwrap_or_else(|error| Err(io::Error::other(error)))
            .map_err(|error| format!("{} cannot be written: {error}", file.display()))?;
        let own = own(&engine).await.map_err(|error| error.to_string())?;
        let bridge = match &own {
            Some(_) => None,
            None => engine.bridge().await.map_err(|error| error.to_string())?,
        };
        let (host_name, host) = names_of_machine(engine.kind(), bridge);
        let (gateway, reach) = match &own {
            Some(own) => {
                (SocketAddr::new(own.address, self.listens.port()).to_string(), Reach::Network(own.network.clone()))
            }
            None => {
                let port = self.open(bridge, host).unwrap_or(self.listens.port());
                (format!("{host_name}:{port}"), Reach::Published)
            }
        };
        if own.is_some() && self.listens.ip().is_loopback() {
            tracing::warn!("functions in containers cannot reach this gateway, which is in one: use `--host 0.0.0.0`");
        }
        let gateway = self.behind.as_ref().map_or(gateway, |behind| as_seen_from_inside(behind, host_name));
        tracing::info!("images are run by the container engine at {}, version {}", engine.place(), engine.version());
        Ok(Connected { engine, gateway, reach, host, owner, state: self.state.clone(), own })
    }

    /// Listens where containers reach this machine, if the gateway does not already. Yields the port.
    ///
    /// On Linux, each container has a `127.0.0.1` of its own, so there is a second listener, at the address that this machine
    /// has in the containers' network. Where the engine runs in a virtual machine, as on macOS, this machine does not have that
    /// address, and `host.docker.internal` leads to its `127.0.0.1`.
    fn open(&self, bridge: Option<Bridge>, host: Host) -> Option<u16> {
        let (door, bridge) = (self.door.get()?, bridge?);
        if !self.listens.ip().is_loopback() {
            return None;
        }
        let at = |port| SocketAddr::from((bridge.host, port));
        // Podman makes its bridge with the first container, which is told of the port before.
        let is_to_come = matches!(host, Host::At(_));
        let mut bound = listen(at(self.listens.port()), is_to_come);
        if bound.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::AddrInUse) {
            bound = listen(at(0), is_to_come);
        }
        let listener = match bound {
            Ok(listener) => listener,
            Err(error) => {
                let at = at(self.listens.port());
                if error.kind() == io::ErrorKind::AddrNotAvailable {
                    tracing::info!(
                        "{at} is not an address of this machine, as where the container engine runs in a virtual machine \
                         or without root; if functions in containers cannot call others, use `--host 0.0.0.0`"
                    );
                } else {
                    tracing::warn!(
                        "functions in containers cannot reach this gateway: {at} cannot be listened on: {error}; use \
                         `--host 0.0.0.0`"
                    );
                }
                return None;
            }
        };
        let port = listener.local_addr().ok()?.port();
        door(listener, bridge);
        Some(port)
    }
}

/// Listens at an address of this machine, or at one that it will only have later.
fn listen(address: SocketAddr, is_to_come: bool) -> io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    #[cfg(target_os = "linux")]
    if is_to_come {
        rustix::net::sockopt::set_ip_freebind(&socket, true)?;
    }
    #[cfg(not(target_os = "linux"))]
    let _ = is_to_come;
    socket.bind(address)?;
    socket.listen(1024)
}

/// The name under which containers reach this machine, and how it is made to lead there.
///
/// Podman's own name works however it runs. But the machine's address is known where it runs with root on Linux, so that the
/// name that Docker has leads there as well.
fn names_of_machine(kind: Kind, bridge: Option<Bridge>) -> (&'static str, Host) {
    match (kind, bridge) {
        (Kind::Podman { rootless: false }, Some(bridge)) if cfg!(target_os = "linux") => {
            (HOST_NAME, Host::At(bridge.host))
        }
        (Kind::Podman { .. }, _) => (PODMAN_HOST_NAME, Host::Unset),
        _ => (HOST_NAME, Host::ByEngine),
    }
}

/// The container that this process runs in, if it does and the engine knows it.
async fn own(engine: &Engine) -> Result<Option<Own>, EngineError> {
    let inside = ["/.dockerenv", "/run/.containerenv"].iter().any(|file| Path::new(file).exists());
    if !inside {
        return Ok(None);
    }
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    match id_in(&mounts) {
        Some(id) => engine.own(id).await,
        None => Ok(None),
    }
}

/// The id of the container whose mounts these are: the engine mounts files of its own, such as `/etc/hostname`, out of a
/// folder of that name.
fn id_in(mounts: &str) -> Option<&str> {
    let of_hostname = mounts.lines().find(|line| line.contains(" /etc/hostname "))?;
    let is_id = |part: &&str| part.len() == 64 && part.bytes().all(|byte| byte.is_ascii_hexdigit());
    of_hostname.split(['/', ' ']).find(is_id)
}

/// What tells the containers of this gateway from others, made where there is none that can be used.
///
/// The file also says where it is. One that says otherwise was moved with its folder, or copied: if the first is still there,
/// two gateways would remove each other's containers.
fn identity(file: &Path) -> io::Result<String> {
    let kept = match std::fs::read_to_string(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        read => Some(read?),
    };
    let place = std::fs::canonicalize(file.parent().unwrap_or(Path::new("."))).unwrap_or_default().join(IDENTITY);
    let write = |identity: &str| private_file::replace(file, format!("{identity}\n{}\n", place.display()).as_bytes());
    let is_identity = |text: &str| text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    match kept.as_deref().map(|kept| kept.trim().split_once('\n').unwrap_or((kept.trim(), ""))) {
        Some((kept, there)) if is_identity(kept) && Path::new(there) == place => return Ok(kept.to_owned()),
        Some((kept, there)) if is_identity(kept) => {
            let first = std::fs::read_to_string(there).unwrap_or_default();
            if there.is_empty() || !first.starts_with(kept) {
                write(kept)?;
                return Ok(kept.to_owned());
            }
        }
        Some(_) => tracing::warn!(
            "{} is damaged and made anew: containers that an earlier run has left are not found any more, and have to be \
             removed by hand, as by `docker rm -f`",
            file.display()
        ),
        None => {}
    }
    let made = format!("{:032x}", rand::random::<u128>());
    write(&made)?;
    Ok(made)
}

/// An address that is given for processes on this machine, as a container reaches it.
fn as_seen_from_inside(address: &str, host_name: &str) -> String {
    let (host, port) = address.rsplit_once(':').unwrap_or((address, "8080"));
    let bare = host.trim_matches(['[', ']']);
    let is_here = bare == "localhost" || bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    if is_here { format!("{host_name}:{port}") } else { address.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gateway_keeps_its_identity() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(IDENTITY);
        let made = identity(&file).unwrap();
        assert!(made.len() == 32 && identity(&file).unwrap() == made);
        assert_ne!(identity(&folder.path().join("other")).unwrap(), made);
        // Moved with its folder, or written before it said where it is.
        std::fs::write(&file, format!("{made}\n/no/such/folder/{IDENTITY}\n")).unwrap();
        assert_eq!(identity(&file).unwrap(), made);
        std::fs::write(&file, &made).unwrap();
        assert_eq!(identity(&file).unwrap(), made);
        // Copied: the first is still there.
        let copy = tempfile::tempdir().unwrap();
        std::fs::copy(&file, copy.path().join(IDENTITY)).unwrap();
        let other = identity(&copy.path().join(IDENTITY)).unwrap();
        assert!(other != made && identity(&copy.path().join(IDENTITY)).unwrap() == other);
        assert_eq!(identity(&file).unwrap(), made);
        for damaged in ["", "\n", "0123", "not of hexadecimal digits, is it?"] {
            std::fs::write(&file, damaged).unwrap();
            let anew = identity(&file).unwrap();
            assert!(anew.len() == 32 && anew != made && identity(&file).unwrap() == anew, "{damaged}");
        }
    }

    #[test]
    fn a_container_knows_its_id_by_its_mounts() {
        let id = "9f0c".repeat(16);
        let docker = format!("1 2 254:0 /var/lib/docker/containers/{id}/hostname /etc/hostname rw - ext4 /dev/vda rw");
        let podman =
            format!("1 2 0:9 /containers/overlay-containers/{id}/userdata/hostname /etc/hostname rw - tmpfs x rw");
        let layer = "ab01".repeat(16);
        for of_hostname in [docker, podman] {
            let mounts = format!("0 1 0:50 / / rw - overlay overlay rw,lowerdir=/{layer}\n{of_hostname}\n");
            assert_eq!(id_in(&mounts), Some(id.as_str()));
        }
        assert_eq!(id_in("1 2 254:0 / / rw - ext4 /dev/vda rw\n"), None);
    }

    #[test]
    fn loopback_is_another_one_inside() {
        for (address, inside) in [
            ("127.0.0.1:8080", "host.docker.internal:8080"),
            ("localhost:31112", "host.docker.internal:31112"),
            ("[::1]:80", "host.docker.internal:80"),
            ("10.0.0.5:8080", "10.0.0.5:8080"),
            ("gateway.openfaas:8080", "gateway.openfaas:8080"),
        ] {
            assert_eq!(as_seen_from_inside(address, HOST_NAME), inside);
        }
    }
}
