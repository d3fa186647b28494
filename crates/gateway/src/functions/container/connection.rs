//! The connection to the container engine, made when an engine is first needed.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::Duration;

use faasflow_containers::{
    Address, Bridge, Engine, EngineError, HOST_NAME, Host, Kind, OwnContainer, PODMAN_HOST_NAME, Reach, usual_sockets,
};
use faasflow_core::{chain, code};
use faasflow_http::HttpClient;
use futures_util::future::join_all;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::attempt::Attempt;
use super::mount::Mount;
use super::names::Names;
use crate::environment;
use crate::functions::RunError;
use crate::private_file;
use crate::stack::FunctionSpec;

/// The label of a container with the identity of its gateway.
pub(super) const OWNER: &str = "faasflow.gateway";
/// Labels for people: the gateway's state folder, and the function.
pub(super) const STATE_FOLDER: &str = "faasflow.state-folder";
pub(super) const FUNCTION: &str = "faasflow.function";

/// How many containers are created at the same time.
const TURNS: usize = 4;
/// How long an engine may take to answer the first questions.
const SETUP_TIMEOUT: Duration = Duration::from_secs(5);

/// Which container engine runs images.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum EngineChoice {
    /// The engine that `DOCKER_HOST` names, or else the first that answers at one of the usual sockets.
    #[default]
    Find,
    /// The engine at this socket.
    Socket(PathBuf),
    /// None. Images are not run.
    None,
}

/// Serves the gateway on a listener for containers, to clients in this network.
pub(crate) type Door = Box<dyn Fn(TcpListener, Bridge) + Send + Sync>;

/// The containers of a gateway. Clones share everything.
#[derive(Clone)]
pub(crate) struct Containers(Arc<Shared>);

struct Shared {
    choice: EngineChoice,
    /// The gateway's state folder.
    state: PathBuf,
    /// Where the gateway listens.
    listens: SocketAddr,
    /// The gateway that functions should call, if it is another one.
    behind: Option<String>,
    door: OnceLock<Door>,
    connected: OnceLock<EngineConnection>,
    connecting: Attempt<RunError>,
    /// Whether the engine does not answer at the moment.
    unreachable: AtomicBool,
    names: Arc<Names>,
    /// Limits how many containers are created at once.
    turns: Semaphore,
    /// The secrets that containers see.
    mounts: Mutex<Vec<Weak<Mount>>>,
    client: HttpClient,
}

/// A connected engine, and how its containers and this gateway reach each other.
#[derive(Clone, Debug)]
pub(crate) struct EngineConnection {
    pub(crate) engine: Engine,
    /// The address by which containers reach the gateway.
    pub(super) gateway: String,
    /// The address by which containers reach this gateway, which has the store, even if functions use another gateway.
    pub(super) store: String,
    pub(super) reach: Reach,
    pub(super) host: Host,
    /// The identity of this gateway, which distinguishes its containers from others'.
    pub(super) owner: String,
    pub(super) state: PathBuf,
    own: Option<OwnContainer>,
}

impl EngineConnection {
    /// The path by which the engine finds a folder of the state folder.
    pub(super) fn on_machine(&self, folder: &Path) -> Result<PathBuf, RunError> {
        match &self.own {
            None => Ok(folder.to_owned()),
            Some(own) => own.on_machine(folder).ok_or_else(|| RunError::FolderNotShared(folder.to_owned())),
        }
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
            connecting: Attempt::default(),
            unreachable: AtomicBool::new(false),
            names: Arc::default(),
            turns: Semaphore::new(TURNS),
            mounts: Mutex::default(),
            client,
        }))
    }

    /// The containers of a gateway that runs none, for tests.
    #[cfg(test)]
    pub(crate) fn none() -> Containers {
        let client = HttpClient::new(std::time::Duration::from_secs(1));
        Containers::new(EngineChoice::None, Path::new("."), SocketAddr::from(([127, 0, 0, 1], 8080)), None, client)
    }

    /// Removes the copies of secrets that an earlier run left behind. Call this only while no other gateway uses the state
    /// folder, and before the first function is served, because it would remove that function's copies too. Blocks on the
    /// disk.
    pub(crate) fn sweep_secrets(&self) {
        Mount::sweep(&self.0.state);
    }

    /// Sets how a listener for containers is served. Call this once.
    pub(crate) fn open_by(&self, door: Door) {
        let _ = self.0.door.set(door);
    }

    pub(super) fn client(&self) -> &HttpClient {
        &self.0.client
    }

    /// Waits until a container may be created. Otherwise the many containers of a function would all start at once.
    pub(super) async fn turn(&self) -> SemaphorePermit<'_> {
        self.0.turns.acquire().await.expect("the semaphore is never closed")
    }

    pub(super) fn names(&self) -> &Arc<Names> {
        &self.0.names
    }

    /// The engine, if it is connected.
    pub(super) fn connected_already(&self) -> Option<EngineConnection> {
        self.0.connected.get().cloned()
    }

    /// Connects to the engine if it is not connected yet. After the first connection, containers that an earlier run of this
    /// gateway left behind are removed.
    ///
    /// # Errors
    ///
    /// If there is no engine, or it does not answer.
    pub(crate) async fn connected(&self) -> Result<EngineConnection, RunError> {
        if let Some(connected) = self.0.connected.get() {
            return Ok(connected.clone());
        }
        let connecting = self.0.connecting.share(async {
            if let Some(connected) = self.0.connected.get() {
                return Ok(connected.clone());
            }
            let engine = self.0.find().await?;
            let address = engine.address().to_owned();
            let set_up = tokio::time::timeout(SETUP_TIMEOUT, self.0.set_up(engine)).await;
            let late = |_| EngineError::Timeout { address, limit: SETUP_TIMEOUT };
            let connected = set_up.map_err(late)??;
            self.0.names.suspect();
            Ok(self.0.connected.get_or_init(|| connected).clone())
        });
        connecting.await
    }

    /// Removes leftovers: first those of an earlier run, if it had containers, then those that could not be removed in time.
    /// Without an engine, nothing happens until there is one. Never returns.
    pub(crate) async fn sweep(&self) {
        if self.0.state.join(IDENTITY).is_file() {
            let _ = self.connected().await;
        }
        self.remove_leftovers().await;
    }

    /// Logs once that the engine does not answer.
    pub(super) fn engine_is_away(&self, error: &EngineError) {
        if !self.0.unreachable.swap(true, Ordering::Relaxed) {
            tracing::warn!(code = %error.code(), "{}; running containers are kept until it answers again", chain(error));
        }
    }

    /// Logs that the engine answers again, if it did not, and starts a search for leftovers.
    pub(super) fn engine_is_back(&self) {
        if self.0.unreachable.swap(false, Ordering::Relaxed) {
            tracing::info!("The container engine answers again");
            self.0.names.suspect();
        }
    }

    /// Chooses the folder with the copies of a function's secrets, which must then be [filled](Mount::fill). Returns `None`
    /// if the function names no secrets. From now on, secrets that change are copied again.
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

    /// Copies a secret that has changed for the containers that use it. Blocks on the disk.
    pub(crate) fn refresh(&self, secret: &str) {
        let mounts = self.0.mounts.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for mount in mounts.iter().filter_map(Weak::upgrade) {
            if let Err(error) = mount.refresh(secret) {
                tracing::error!(
                    "cannot copy the secret `{secret}` for containers, which still see the old one: {error}"
                );
            }
        }
    }
}

/// The file with the identity of the gateway, which distinguishes its containers from others'.
const IDENTITY: &str = "containers-id";

impl Shared {
    /// Finds an engine that answers.
    async fn find(&self) -> Result<Engine, RunError> {
        if cfg!(not(unix)) {
            return Err(RunError::NoImages);
        }
        let sockets = match &self.choice {
            EngineChoice::None => return Err(RunError::NoEngine),
            EngineChoice::Socket(path) => vec![path.clone()],
            EngineChoice::Find => {
                if let Some(named) = environment::variable("DOCKER_HOST").filter(|named| !named.is_empty()) {
                    return Ok(Engine::connect(&Address::parse(&named)?).await?);
                }
                let folder = |name| environment::variable(name).filter(|path| !path.is_empty()).map(PathBuf::from);
                let usual = usual_sockets(folder("HOME").as_deref(), folder("XDG_RUNTIME_DIR").as_deref());
                usual.into_iter().filter(|path| path.exists()).collect()
            }
        };
        let mut errors = Vec::new();
        // All at once, so that one that hangs does not delay the others.
        let connecting = sockets.into_iter().map(|socket| Engine::connect(&Address::Socket(socket)));
        for connected in join_all(connecting).await {
            match connected {
                Ok(engine) => return Ok(engine),
                Err(error) => errors.push(error),
            }
        }
        match errors.len() {
            0 => Err(RunError::NoEngine),
            1 => Err(errors.remove(0).into()),
            _ => Err(RunError::Engines(errors)),
        }
    }

    /// Finds out how containers and this gateway reach each other.
    async fn set_up(&self, engine: Engine) -> Result<EngineConnection, RunError> {
        let file = self.state.join(IDENTITY);
        let reading = file.clone();
        let read = tokio::task::spawn_blocking(move || identity(&reading)).await;
        let owner = read
            .unwrap_or_else(|error| Err(io::Error::other(error)))
            .map_err(|error| RunError::StateFile { path: file, source: Arc::new(error) })?;
        let own = own_container(&engine).await?;
        let bridge = match &own {
            Some(_) => None,
            None => engine.bridge().await?,
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
            tracing::warn!(
                "functions in containers cannot reach this gateway, because it listens only inside its own container; let \
                 it listen on all addresses (0.0.0.0)"
            );
        }
        let store = gateway.clone();
        let gateway = self.behind.as_ref().map_or(gateway, |behind| address_for_containers(behind, host_name));
        tracing::info!(
            "Running images with the container engine at {}, version {}",
            engine.address(),
            engine.version()
        );
        Ok(EngineConnection { engine, gateway, store, reach, host, owner, state: self.state.clone(), own })
    }

    /// Listens where containers reach this machine, if the gateway does not do so already. Returns the port.
    ///
    /// On Linux, each container has its own `127.0.0.1`, so there is a second listener at the address that this machine has in
    /// the containers' network. If the engine runs in a virtual machine, as on macOS, this machine does not have that address,
    /// and `host.docker.internal` leads to its `127.0.0.1`.
    fn open(&self, bridge: Option<Bridge>, host: Host) -> Option<u16> {
        let (door, bridge) = (self.door.get()?, bridge?);
        if !self.listens.ip().is_loopback() {
            return None;
        }
        let at = |port| SocketAddr::from((bridge.host, port));
        // Podman creates its bridge with the first container, which needs to know the port before that.
        let may_come_later = matches!(host, Host::At(_));
        let mut bound = listen(at(self.listens.port()), may_come_later);
        if bound.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::AddrInUse) {
            bound = listen(at(0), may_come_later);
        }
        let listener = match bound {
            Ok(listener) => listener,
            Err(error) => {
                let at = at(self.listens.port());
                if error.kind() == io::ErrorKind::AddrNotAvailable {
                    tracing::info!(
                        "{at} is not an address of this machine; the container engine probably runs in a virtual machine \
                         or without root. If functions in containers cannot call others, let the gateway listen on all \
                         addresses (0.0.0.0)"
                    );
                } else {
                    tracing::warn!(
                        code = %code::GATEWAY_CANNOT_LISTEN,
                        "functions in containers cannot reach this gateway, because it cannot listen on {at}: {error}; let \
                         it listen on all addresses (0.0.0.0)"
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

/// Listens at an address of this machine, or at one that it will have later.
fn listen(address: SocketAddr, may_come_later: bool) -> io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    #[cfg(target_os = "linux")]
    if may_come_later {
        rustix::net::sockopt::set_ip_freebind(&socket, true)?;
    }
    #[cfg(not(target_os = "linux"))]
    let _ = may_come_later;
    socket.bind(address)?;
    socket.listen(1024)
}

/// The name by which containers reach this machine, and how the name is resolved.
///
/// Podman's own name always works. With root on Linux, the machine's address is known, so Docker's name can be used there as
/// well.
fn names_of_machine(kind: Kind, bridge: Option<Bridge>) -> (&'static str, Host) {
    match (kind, bridge) {
        (Kind::Podman { rootless: false }, Some(bridge)) if cfg!(target_os = "linux") => {
            (HOST_NAME, Host::At(bridge.host))
        }
        (Kind::Podman { .. }, _) => (PODMAN_HOST_NAME, Host::Unset),
        _ => (HOST_NAME, Host::ByEngine),
    }
}

/// Looks up the container that this process runs in, if there is one and the engine knows it.
async fn own_container(engine: &Engine) -> Result<Option<OwnContainer>, EngineError> {
    let inside = ["/.dockerenv", "/run/.containerenv"].iter().any(|file| Path::new(file).exists());
    if !inside {
        return Ok(None);
    }
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    match id_in(&mounts) {
        Some(id) => engine.own_container(id).await,
        None => Ok(None),
    }
}

/// Finds the id of the container that has these mounts. The engine mounts some files, such as `/etc/hostname`, from a folder
/// that is named after the id.
fn id_in(mounts: &str) -> Option<&str> {
    let of_hostname = mounts.lines().find(|line| line.contains(" /etc/hostname "))?;
    let is_id = |part: &&str| part.len() == 64 && part.bytes().all(|byte| byte.is_ascii_hexdigit());
    of_hostname.split(['/', ' ']).find(is_id)
}

/// Reads the identity of this gateway, or creates one if there is none that can be used.
///
/// The file also contains its own path. If that differs, the file was moved with its folder, or copied. A copy whose original
/// still exists gets a new identity, because the two gateways would otherwise remove each other's containers.
fn identity(file: &Path) -> io::Result<String> {
    let stored = match std::fs::read_to_string(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        read => Some(read?),
    };
    let place = std::fs::canonicalize(file.parent().unwrap_or(Path::new("."))).unwrap_or_default().join(IDENTITY);
    let write = |identity: &str| private_file::replace(file, format!("{identity}\n{}\n", place.display()).as_bytes());
    let is_identity = |text: &str| text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    match stored.as_deref().map(|stored| stored.trim().split_once('\n').unwrap_or((stored.trim(), ""))) {
        Some((stored, there)) if is_identity(stored) && Path::new(there) == place => return Ok(stored.to_owned()),
        Some((stored, there)) if is_identity(stored) => {
            let original = std::fs::read_to_string(there).unwrap_or_default();
            if there.is_empty() || !original.starts_with(stored) {
                write(stored)?;
                return Ok(stored.to_owned());
            }
        }
        Some(_) => tracing::warn!(
            "{} is damaged, and is replaced. Containers that an earlier run left behind can no longer be found; remove \
             them by hand, for example with `docker rm -f`",
            file.display()
        ),
        None => {}
    }
    let new = format!("{:032x}", rand::random::<u128>());
    write(&new)?;
    Ok(new)
}

/// Translates an address that is meant for processes on this machine into one that a container can use.
fn address_for_containers(address: &str, host_name: &str) -> String {
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
        // Moved with its folder, or written by a version that did not store the path.
        std::fs::write(&file, format!("{made}\n/no/such/folder/{IDENTITY}\n")).unwrap();
        assert_eq!(identity(&file).unwrap(), made);
        std::fs::write(&file, &made).unwrap();
        assert_eq!(identity(&file).unwrap(), made);
        // Copied, while the original still exists.
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
    fn the_mounts_of_a_container_have_its_id() {
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
    fn loopback_is_translated_for_containers() {
        for (address, inside) in [
            ("127.0.0.1:8080", "host.docker.internal:8080"),
            ("localhost:31112", "host.docker.internal:31112"),
            ("[::1]:80", "host.docker.internal:80"),
            ("10.0.0.5:8080", "10.0.0.5:8080"),
            ("gateway.openfaas:8080", "gateway.openfaas:8080"),
        ] {
            assert_eq!(address_for_containers(address, HOST_NAME), inside);
        }
    }
}
