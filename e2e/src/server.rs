//! Servers as child processes, which are killed when they are dropped.

use std::fs::File;
use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::Instant;

/// The time limit until a server accepts connections.
const START: Duration = Duration::from_secs(120);

/// How to start a server, also again.
pub(crate) struct Recipe {
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<String>,
    pub(crate) environment: Vec<(String, String)>,
    /// 0 if it does not listen.
    pub(crate) port: u16,
    /// A line in its log that says it is ready, if listening is not enough.
    pub(crate) ready: Option<&'static str>,
    /// The file of its output.
    pub(crate) log: PathBuf,
}

/// A running server. It is killed when this is dropped.
pub(crate) struct Server {
    recipe: Recipe,
    child: Option<Child>,
}

impl Server {
    pub(crate) async fn start(recipe: Recipe) -> Result<Server, String> {
        let mut server = Server { recipe, child: None };
        server.again().await?;
        Ok(server)
    }

    /// Kills it, as a power failure would.
    pub(crate) async fn kill(&mut self) -> Result<(), String> {
        if let Some(mut child) = self.child.take() {
            child.kill().await.map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    /// Asks it to stop, and kills it after half a minute.
    pub(crate) async fn stop(mut self) -> Result<(), String> {
        // Dropping it kills it if it has not stopped by itself.
        let _ = self.terminate(Duration::from_secs(30)).await;
        self.kill().await
    }

    /// Asks it to stop, and returns how it ended. It is an error if this takes longer than `patience`.
    pub(crate) async fn terminate(&mut self, patience: Duration) -> Result<ExitStatus, String> {
        let child = self.child.as_mut().ok_or("it does not run")?;
        if let Some(id) = child.id().and_then(|id| i32::try_from(id).ok()) {
            // SAFETY: kill(2) touches no memory; the process was started here and is not waited for yet.
            #[allow(unsafe_code, reason = "the standard library sends no signals")]
            let _ = unsafe { libc::kill(id, libc::SIGTERM) };
        }
        let waited = tokio::time::timeout(patience, child.wait()).await;
        let status = waited.map_err(|_| format!("it did not stop within {patience:?}: {}", self.tail()))?;
        self.child = None;
        status.map_err(|error| error.to_string())
    }

    /// Restarts it, with the same port and data.
    pub(crate) async fn again(&mut self) -> Result<(), String> {
        let Recipe { program, arguments, environment, port, ready, log } = &self.recipe;
        let logged_before = std::fs::metadata(log).map_or(0, |metadata| metadata.len());
        let output = File::options().create(true).append(true).open(log).map_err(|error| error.to_string())?;
        let errors = output.try_clone().map_err(|error| error.to_string())?;
        let mut child = Command::new(program)
            .args(arguments)
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| format!("{} cannot be started: {error}", program.display()))?;
        let deadline = Instant::now() + START;
        while *port != 0 && !listens(*port).await {
            if let Ok(Some(status)) = child.try_wait() {
                return Err(format!("{} ended with {status}: {}", program.display(), self.tail()));
            }
            if Instant::now() > deadline {
                return Err(format!("{} did not listen within {START:?}: {}", program.display(), self.tail()));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        while ready.is_some_and(|line| !logged(log, logged_before).contains(line)) {
            if Instant::now() > deadline {
                return Err(format!("{} was not ready within {START:?}: {}", program.display(), self.tail()));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.child = Some(child);
        Ok(())
    }

    pub(crate) fn id(&self) -> Option<u32> {
        self.child.as_ref().and_then(Child::id)
    }

    /// Its whole log.
    pub(crate) fn log(&self) -> String {
        logged(&self.recipe.log, 0)
    }

    /// The last lines of its log.
    pub(crate) fn tail(&self) -> String {
        let text = self.log();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }
}

/// Whether a server listens there. If none does, a connection to an ephemeral port can connect to itself.
async fn listens(port: u16) -> bool {
    let Ok(stream) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await else { return false };
    let itself = matches!((stream.local_addr(), stream.peer_addr()), (Ok(from), Ok(to)) if from == to);
    if itself {
        let _ = stream.set_zero_linger();
    }
    !itself
}

/// The text of a log from this byte on.
fn logged(log: &Path, from: u64) -> String {
    let text = std::fs::read(log).unwrap_or_default();
    let from = usize::try_from(from).unwrap_or(usize::MAX).min(text.len());
    String::from_utf8_lossy(&text[from..]).into_owned()
}

/// Linux takes no ports below 32768 for connections. Otherwise a client could get the port of a server that is killed and started
/// again, even by connecting to that port.
const PORTS: Range<u32> = 20_000..32_000;

/// A port that is free now, and that this has not returned before.
pub(crate) fn free_port() -> Result<u16, String> {
    static RETURNED: AtomicU32 = AtomicU32::new(0);
    // Programs that run at the same time begin with different ports.
    let first = std::process::id().wrapping_mul(97);
    for _ in PORTS {
        let number = first.wrapping_add(RETURNED.fetch_add(1, Ordering::Relaxed));
        let port = PORTS.start + number % (PORTS.end - PORTS.start);
        let port = u16::try_from(port).map_err(|error| error.to_string())?;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    Err(format!("no port from {} to {} is free", PORTS.start, PORTS.end - 1))
}
