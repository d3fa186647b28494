//! Runs `kubectl` as a user would.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

/// The namespace of the manifests.
pub(super) const NAMESPACE: &str = "faasflow";

/// Runs `kubectl` as the cluster's administrator.
#[derive(Clone, Debug)]
pub(super) struct Kubectl {
    program: PathBuf,
    config: PathBuf,
}

impl Kubectl {
    pub(super) fn new(program: PathBuf, config: PathBuf) -> Kubectl {
        Kubectl { program, config }
    }

    /// Runs `kubectl` with these arguments. Returns its standard output.
    ///
    /// # Errors
    ///
    /// If it fails. The text is its output.
    pub(super) async fn run(&self, arguments: &[&str]) -> Result<String, String> {
        self.run_with(arguments, "").await
    }

    /// Runs `kubectl` in the namespace of the manifests.
    ///
    /// # Errors
    ///
    /// If it fails. The text is its output.
    pub(super) async fn ours(&self, arguments: &[&str]) -> Result<String, String> {
        let arguments: Vec<&str> = ["--namespace", NAMESPACE].into_iter().chain(arguments.iter().copied()).collect();
        self.run(&arguments).await
    }

    /// Runs `kubectl` with this standard input.
    ///
    /// # Errors
    ///
    /// If it fails. The text is its output.
    pub(super) async fn run_with(&self, arguments: &[&str], input: &str) -> Result<String, String> {
        let mut child = Command::new(&self.program)
            .args(arguments)
            .env("KUBECONFIG", &self.config)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| format!("{}: {error}", self.program.display()))?;
        let mut stdin = child.stdin.take().ok_or("kubectl has no input")?;
        let input = input.to_owned();
        let (written, output) = tokio::join!(
            async move {
                let written = stdin.write_all(input.as_bytes()).await;
                drop(stdin);
                written
            },
            child.wait_with_output()
        );
        let output = output.map_err(|error| error.to_string())?;
        if output.status.success() {
            written.map_err(|error| error.to_string())?;
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let errors = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Err(format!("`kubectl {}` ended with {}: {errors}", arguments.join(" "), output.status))
    }

    /// Applies a folder of manifests.
    ///
    /// # Errors
    ///
    /// If the API server refuses a manifest.
    pub(super) async fn apply(&self, folder: &Path, more: &[&str]) -> Result<String, String> {
        let folder = folder.to_string_lossy();
        let arguments: Vec<&str> = ["apply", "-k", &folder].into_iter().chain(more.iter().copied()).collect();
        self.run(&arguments).await
    }

    /// Waits until all replicas have the newest version and are ready.
    ///
    /// # Errors
    ///
    /// If that takes longer than three minutes.
    pub(super) async fn rolled_out(&self, what: &str) -> Result<(), String> {
        let waited = self.ours(&["rollout", "status", what, "--timeout=180s"]).await;
        match waited {
            Ok(_) => Ok(()),
            Err(why) => Err(format!("{why}\n{}", self.pods().await)),
        }
    }

    /// The pods and the last events, for messages.
    pub(super) async fn pods(&self) -> String {
        let pods = self.ours(&["get", "pods", "-o", "wide"]).await.unwrap_or_else(|why| why);
        let events = self.ours(&["get", "events", "--sort-by=.lastTimestamp"]).await.unwrap_or_else(|why| why);
        let lines: Vec<&str> = events.lines().collect();
        format!("{pods}{}", lines[lines.len().saturating_sub(12)..].join("\n"))
    }
}
