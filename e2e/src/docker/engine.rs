//! Starts the engine, sends it commands, and stops it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command as BlockingCommand, Stdio};
use std::time::{Duration, Instant};

use tokio::process::Command;

use super::leftovers;
use crate::apart::{Apart, PROXY};
use crate::tools;

/// The address of the machine on the engine's bridge. Containers reach the suite's servers there.
pub(crate) const GATEWAY: &str = "172.29.0.1";
/// Debian's client, which has the same version as the engine. Another client in the path may not be compatible.
const CLIENT: &str = "/usr/bin/docker";
/// Layers of builds that are not older than this are kept for the next run.
const KEPT: &str = "until=72h";
/// The time limits for the engine's start and stop.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running engine. Dropping it stops it and removes all its containers.
pub(crate) struct Engine {
    docker: Docker,
    log: PathBuf,
    child: Option<Child>,
    /// A lock on the data folder, because only one engine at a time may use it.
    _lock: File,
}

impl Engine {
    /// Starts an engine in the namespace of the suite.
    ///
    /// # Errors
    ///
    /// If another suite of this checkout runs an engine, or if the engine does not start. The text has the end of its
    /// log.
    pub(crate) async fn start(_apart: &Apart) -> Result<Engine, String> {
        let folder = tools::folder()?.join("docker");
        std::fs::create_dir_all(folder.join("config")).map_err(|error| format!("{}: {error}", folder.display()))?;
        let lock = File::create(folder.join("lock")).map_err(|error| error.to_string())?;
        lock.try_lock().map_err(|_| format!("another suite uses {}: wait for its end", folder.display()))?;
        let docker = Docker::new(folder.clone());
        leftovers::take_down(&folder, &docker.cgroup())?;
        docker.take_share();
        let log = folder.join("dockerd.log");
        let output = File::create(&log).map_err(|error| error.to_string())?;
        let errors = output.try_clone().map_err(|error| error.to_string())?;
        let place = |name: &str| folder.join(name).to_string_lossy().into_owned();
        // If the suite is killed, the kernel signals the engine to end. Its mounts are in its own namespace and end
        // with it.
        let child = BlockingCommand::new("setpriv")
            .args(["--pdeathsig", "TERM", "unshare", "--mount", "--propagation", "private", "dockerd"])
            .args(["--data-root", &place("data"), "--exec-root", &place("exec"), "--pidfile", &place("pid")])
            .args(["--host", &docker.host(), "--cgroup-parent", &docker.cgroup(), "--log-level", "warn"])
            .args(["--bip", &format!("{GATEWAY}/16"), "--default-address-pool", "base=172.30.0.0/16,size=24"])
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .spawn()
            .map_err(|error| format!("`setpriv` of util-linux cannot be run: {error}"))?;
        let mut engine = Engine { docker, log, child: Some(child), _lock: lock };
        engine.until_ready().await?;
        // Layers of old sources would fill the disk, because the dependencies of a flow take a gigabyte.
        engine.docker.run(&["image", "prune", "--force", "--filter", KEPT]).await?;
        Ok(engine)
    }

    async fn until_ready(&mut self) -> Result<(), String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let ended = self.child.as_mut().and_then(|child| child.try_wait().ok().flatten());
            let asked = self.docker.run(&["version", "--format", "{{.Server.Version}}"]).await;
            match (ended, asked) {
                (None, Ok(_)) => return Ok(()),
                (None, Err(_)) if Instant::now() < deadline => tokio::time::sleep(Duration::from_millis(100)).await,
                (ended, asked) => {
                    return Err(format!("dockerd does not answer ({ended:?}, {asked:?}): {}", self.tail()));
                }
            }
        }
    }

    /// A client of this engine.
    pub(crate) fn docker(&self) -> &Docker {
        &self.docker
    }

    /// The last lines of the engine's log.
    pub(crate) fn tail(&self) -> String {
        let text = std::fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text).into_owned();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(10)..].join("\n")
    }

    /// Removes all containers and their volumes, and stops the engine. Images are kept.
    ///
    /// # Errors
    ///
    /// If a part of the engine does not end.
    pub(crate) fn stop(mut self) -> Result<(), String> {
        self.take_down()
    }

    fn take_down(&mut self) -> Result<(), String> {
        let Some(mut child) = self.child.take() else { return Ok(()) };
        // All containers belong to the suite, because the engine does.
        let list = self.docker.blocking().args(["ps", "--all", "--quiet"]).output();
        let ids = list.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
        if !ids.trim().is_empty() {
            let _ = self.docker.blocking().args(["rm", "--force", "--volumes"]).args(ids.split_whitespace()).output();
        }
        super::end(&mut child, PATIENCE)?;
        leftovers::take_down(&self.docker.folder, &self.docker.cgroup())
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if let Err(why) = self.take_down() {
            eprintln!("the Docker engine of the suite: {why}");
        }
    }
}

/// A client of the suite's engine.
#[derive(Clone, Debug)]
pub(crate) struct Docker {
    folder: PathBuf,
}

impl Docker {
    /// A client of the engine whose socket is `docker.sock` in this folder.
    pub(crate) fn new(folder: PathBuf) -> Docker {
        Docker { folder }
    }

    /// The value of `DOCKER_HOST` for the engine.
    pub(crate) fn host(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    /// The engine's socket.
    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.join("docker.sock")
    }

    /// The cgroup of its containers. Each checkout has another one.
    fn cgroup(&self) -> String {
        format!("/faasflow-e2e-{:016x}", stable_hash(self.folder.as_os_str().as_encoded_bytes()))
    }

    /// Gives containers as much processor time as the same programs would get outside. By default, a cgroup competes as
    /// if it were one process, so a build takes several times as long beside other work. If this fails, builds are only
    /// slow.
    fn take_share(&self) {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let cgroup = self.cgroup();
        let first = Path::new("/sys/fs/cgroup/cpu");
        let (group, file, of_one) = if first.is_dir() {
            (format!("{}{cgroup}", first.display()), "cpu.shares", 1024)
        } else {
            (format!("/sys/fs/cgroup{cgroup}"), "cpu.weight", 100)
        };
        let _ = std::fs::create_dir(&group);
        let _ = std::fs::write(Path::new(&group).join(file), (processors * of_one).to_string());
    }

    /// The processor time of all containers so far, including those of builds.
    ///
    /// # Errors
    ///
    /// If the kernel does not report it.
    pub(crate) fn processor_time(&self) -> Result<Duration, String> {
        let cgroup = self.cgroup();
        let first = format!("/sys/fs/cgroup/cpuacct{cgroup}/cpuacct.usage");
        if let Ok(text) = std::fs::read_to_string(&first) {
            return text.trim().parse().map(Duration::from_nanos).map_err(|_| format!("{first}: {text}"));
        }
        let second = format!("/sys/fs/cgroup{cgroup}/cpu.stat");
        let text = std::fs::read_to_string(&second).map_err(|error| format!("{second}: {error}"))?;
        let usage = text.lines().find_map(|line| line.strip_prefix("usage_usec ")?.trim().parse().ok());
        usage.map(Duration::from_micros).ok_or_else(|| format!("{second} has no usage"))
    }

    /// The environment for programs that run `docker` themselves. It puts this engine and its client first, selects the
    /// classic builder, and sets the proxy for builds.
    pub(crate) fn environment(&self, path: &str) -> Vec<(&'static str, String)> {
        let client = Path::new(CLIENT).parent().unwrap_or(Path::new("/usr/bin"));
        let proxy = format!("http://{GATEWAY}:{PROXY}");
        vec![
            ("DOCKER_HOST", self.host()),
            ("DOCKER_BUILDKIT", "0".to_owned()),
            ("DOCKER_CONFIG", self.folder.join("config").to_string_lossy().into_owned()),
            ("PATH", format!("{}:{path}", client.display())),
            // faas-cli passes both to builds, and cargo reads them there.
            ("http_proxy", proxy.clone()),
            ("https_proxy", proxy),
            ("no_proxy", "127.0.0.1,localhost".to_owned()),
        ]
    }

    /// A command that runs `docker` with these arguments.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::from(self.blocking());
        command.args(arguments).stdin(Stdio::null()).kill_on_drop(true);
        command
    }

    fn blocking(&self) -> BlockingCommand {
        let mut command = BlockingCommand::new(CLIENT);
        command
            .env("DOCKER_HOST", self.host())
            .env("DOCKER_BUILDKIT", "0")
            .env("DOCKER_CONFIG", self.folder.join("config"));
        command
    }

    /// Runs `docker`, and returns its standard output without surrounding white space.
    ///
    /// # Errors
    ///
    /// If it fails. The text is its output.
    pub(crate) async fn run(&self, arguments: &[&str]) -> Result<String, String> {
        let output = self.command(arguments).output().await.map_err(|error| format!("{CLIENT}: {error}"))?;
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
        } else {
            let printed = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).trim().to_owned();
            Err(format!("`docker {}` ended with {}: {printed}", arguments.join(" "), output.status))
        }
    }
}

/// FNV-1a, whose result does not change between builds.
pub(super) fn stable_hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}
