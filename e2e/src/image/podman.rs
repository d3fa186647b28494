//! Functions that are images, with Podman as the engine. Its service is started here, with separate data.

use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command as BlockingCommand, Output, Stdio};
use std::time::{Duration, Instant};

use crate::docker::{Docker, stand_ins};
use crate::suite::Suite;
use crate::tools;

/// A server without a watchdog. The name is that of Podman's local builds.
pub(super) const PLAIN: &str = "localhost/faasflow-e2e/plain:1";
/// The time limits for the start and the stop of the service.
const PATIENCE: Duration = Duration::from_secs(30);

/// Podman's settings. Its default limits are higher than some machines allow.
const CONFIGURATION: &str = "[network]\nnetwork_backend = \"netavark\"\ndefault_subnet = \"172.28.0.0/16\"\n\
                             [engine]\ncgroup_manager = \"cgroupfs\"\nevents_logger = \"file\"\n\
                             [containers]\ndefault_ulimits = [\"nofile=4096:4096\", \"nproc=4096:4096\"]\n";

/// Installs Debian's Podman and what its networks need.
pub(super) async fn install() -> Result<(), String> {
    for (package, program) in [("podman", "podman"), ("netavark", "/usr/lib/podman/netavark")] {
        tools::debian(package, program).await?;
    }
    Ok(())
}

/// Podman's service. Dropping it removes its containers and stops it.
pub(super) struct Podman {
    folder: PathBuf,
    child: Option<Child>,
    _lock: File,
}

impl Podman {
    /// Starts the service in the namespace of the suite, and makes the image of the functions.
    pub(super) async fn start(suite: &Suite) -> Result<Podman, String> {
        let text = |error: std::io::Error| error.to_string();
        let folder = tools::folder()?.join("podman");
        std::fs::create_dir_all(folder.join("tmp")).map_err(text)?;
        let lock = File::create(folder.join("lock")).map_err(text)?;
        lock.try_lock().map_err(|_| format!("another suite uses {}: wait for its end", folder.display()))?;
        std::fs::write(folder.join("containers.conf"), CONFIGURATION).map_err(text)?;
        let mut podman = Podman { folder, child: None, _lock: lock };
        // Left by a suite that was killed.
        podman.podman(&["rm", "--all", "--force", "--time", "0"])?;
        podman.import().await?;
        podman.serve()?;
        suite.not_done("rootless Podman", "the suite runs as root, which its namespaces need");
        Ok(podman)
    }

    /// Docker's client, connected to the service.
    pub(super) fn client(&self) -> Docker {
        Docker::new(self.folder.clone())
    }

    /// Restarts the service. Its containers keep running.
    pub(super) fn restart(&mut self) -> Result<(), String> {
        self.end()?;
        self.serve()
    }

    fn serve(&mut self) -> Result<(), String> {
        let socket = self.client().socket();
        let _ = std::fs::remove_file(&socket);
        let log = File::create(self.folder.join("podman.log")).map_err(|error| error.to_string())?;
        let child = self
            .command()
            .args(["system", "service", "--time", "0", &self.client().host()])
            .stdin(Stdio::null())
            .stderr(log)
            .spawn()
            .map_err(|error| format!("podman: {error}"))?;
        self.child = Some(child);
        let deadline = Instant::now() + PATIENCE;
        while !socket.exists() {
            if Instant::now() > deadline {
                let log = std::fs::read_to_string(self.folder.join("podman.log")).unwrap_or_default();
                return Err(format!("Podman's service does not listen within {PATIENCE:?}: {log}"));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    fn end(&mut self) -> Result<(), String> {
        let Some(mut child) = self.child.take() else { return Ok(()) };
        crate::docker::end(&mut child, PATIENCE)
    }

    async fn import(&self) -> Result<(), String> {
        let root = stand_ins::functions::install().await?;
        let archive = self.folder.join("functions.tar");
        let text = |error: std::io::Error| error.to_string();
        let made = BlockingCommand::new("tar").arg("-C").arg(&root).arg("-cf").arg(&archive).arg(".").status();
        if !made.map_err(text)?.success() {
            return Err(format!("tar cannot write {}", archive.display()));
        }
        let file = archive.to_string_lossy().into_owned();
        self.podman(&["import", "--change", r#"CMD ["/bin/plain"]"#, &file, PLAIN])?;
        std::fs::remove_file(archive).map_err(text)
    }

    fn command(&self) -> BlockingCommand {
        let place = |name: &str| self.folder.join(name);
        let mut command = BlockingCommand::new("podman");
        command.env("CONTAINERS_CONF", place("containers.conf"));
        for (option, name) in
            [("--root", "root"), ("--runroot", "run"), ("--tmpdir", "tmp"), ("--network-config-dir", "networks")]
        {
            command.arg(option).arg(place(name));
        }
        command.args(["--cgroup-manager", "cgroupfs"]);
        command
    }

    fn podman(&self, arguments: &[&str]) -> Result<(), String> {
        let output: Output =
            self.command().args(arguments).output().map_err(|error| format!("podman cannot be run: {error}"))?;
        if output.status.success() {
            return Ok(());
        }
        let errors = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Err(format!("`podman {}` ended with {}: {errors}", arguments.join(" "), output.status))
    }

    /// Removes its containers and stops it. The image is kept.
    pub(super) fn stop(mut self) -> Result<(), String> {
        self.take_down()
    }

    fn take_down(&mut self) -> Result<(), String> {
        if self.child.is_none() {
            return Ok(());
        }
        let removed = self.podman(&["rm", "--all", "--force", "--time", "0"]);
        self.end()?;
        removed
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        if let Err(why) = self.take_down() {
            eprintln!("the Podman of the suite: {why}");
        }
    }
}
