//! Servers as child processes, which end with their handle.

use std::fs::File;
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::Instant;

/// How long a server may take until it accepts connections.
const START: Duration = Duration::from_secs(60);

/// How to start a server, so that it can be started again.
pub(crate) struct Recipe {
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<String>,
    pub(crate) environment: Vec<(String, String)>,
    pub(crate) port: u16,
    /// Where its output goes.
    pub(crate) log: PathBuf,
}

/// A server that runs; killed when dropped.
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

    /// Starts it again, on the same port and data.
    pub(crate) async fn again(&mut self) -> Result<(), String> {
        let Recipe { program, arguments, environment, port, log } = &self.recipe;
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
        while TcpStream::connect((Ipv4Addr::LOCALHOST, *port)).await.is_err() {
            if let Ok(Some(status)) = child.try_wait() {
                return Err(format!("{} ended with {status}: {}", program.display(), self.tail()));
            }
            if Instant::now() > deadline {
                return Err(format!("{} did not listen within {START:?}: {}", program.display(), self.tail()));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.child = Some(child);
        Ok(())
    }

    pub(crate) fn id(&self) -> Option<u32> {
        self.child.as_ref().and_then(Child::id)
    }

    /// The last lines of its log.
    pub(crate) fn tail(&self) -> String {
        let text = std::fs::read_to_string(&self.recipe.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }
}

/// A port that is free now.
pub(crate) fn free_port() -> Result<u16, String> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(|error| error.to_string())?;
    Ok(listener.local_addr().map_err(|error| error.to_string())?.port())
}
