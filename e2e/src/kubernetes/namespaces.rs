//! Separate namespaces for networks, mounts and processes. When their first process ends, the kernel ends all others
//! and removes devices, rules and mounts. Only files and cgroups are left.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use tokio::process::Command;

use crate::tools;

/// The cgroup that all pods are in.
pub(super) const CGROUP: &str = "faasflow-e2e-kubernetes";
/// How long cgroups may stay in use after their processes were killed.
const PATIENCE: Duration = Duration::from_secs(20);

/// The things that a run leaves outside its namespaces: a folder and cgroups. They are removed when this is dropped. A
/// lock ensures that only one run uses them, so leftovers come from a run that was killed.
pub(super) struct Footprint {
    folder: PathBuf,
    _lock: File,
}

impl Footprint {
    /// Locks the folder, and removes leftovers.
    ///
    /// # Errors
    ///
    /// If another run holds the lock.
    pub(super) fn take() -> Result<Footprint, String> {
        let tools = tools::folder()?;
        let path = tools.join("kubernetes.lock");
        let lock = File::create(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        lock.try_lock().map_err(|_| format!("another run holds {}: wait for its end", path.display()))?;
        let footprint = Footprint { folder: tools.join("kubernetes-run"), _lock: lock };
        if footprint.is_there() {
            println!("Removing leftovers of a run that was killed");
            footprint.remove()?;
        }
        std::fs::create_dir_all(&footprint.folder).map_err(|error| error.to_string())?;
        Ok(footprint)
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    fn is_there(&self) -> bool {
        self.folder.exists() || !cgroups().is_empty()
    }

    /// Removes everything.
    ///
    /// # Errors
    ///
    /// If something is still in use.
    pub(super) fn remove(&self) -> Result<(), String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            for group in cgroups() {
                let _ = std::fs::remove_dir(group);
            }
            let removed = match std::fs::remove_dir_all(&self.folder) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.to_string()),
                _ => Ok(()),
            };
            match (removed, cgroups().first()) {
                (Ok(()), None) => return Ok(()),
                (removed, group) if Instant::now() > deadline => {
                    return Err(format!("{}: {removed:?}; cgroup {group:?}", self.folder.display()));
                }
                _ => std::thread::sleep(Duration::from_millis(100)),
            }
        }
    }
}

impl Drop for Footprint {
    fn drop(&mut self) {
        if let Err(why) = self.remove() {
            eprintln!("the cluster was not removed completely: {why}");
        }
    }
}

/// The cgroup in each hierarchy, and those below it, the deepest first.
fn cgroups() -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> =
        hierarchies().into_iter().map(|path| path.join(CGROUP)).filter(|path| path.is_dir()).collect();
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        let inside = std::fs::read_dir(&folder).into_iter().flatten().flatten().map(|entry| entry.path());
        folders.extend(inside.filter(|path| path.is_dir()));
        found.push(folder);
    }
    found.sort_by_key(|path| std::cmp::Reverse(path.components().count()));
    found
}

/// The roots of the hierarchies of cgroups: several with version 1, one with version 2.
pub(super) fn hierarchies() -> Vec<PathBuf> {
    let root = Path::new("/sys/fs/cgroup");
    if root.join("cgroup.controllers").exists() {
        return vec![root.to_owned()];
    }
    std::fs::read_dir(root)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.is_dir())
        .collect()
}

/// Runs a program in new namespaces until it ends. Its child processes end with it, and it ends with this process,
/// however that ends.
///
/// # Errors
///
/// If util-linux is not installed.
pub(super) async fn run(program: &Path, arguments: &[&str]) -> Result<ExitStatus, String> {
    // The first process of a namespace inherits orphaned processes and has to wait for them. A shell does that.
    Command::new("setpriv")
        .args(["--pdeathsig", "KILL", "unshare", "--net", "--mount", "--ipc", "--pid", "--fork", "--kill-child"])
        .args(["--mount-proc", "sh", "-c", "\"$@\" & wait $!", "sh"])
        .arg(program)
        .args(arguments)
        .kill_on_drop(true)
        .status()
        .await
        .map_err(|error| format!("`setpriv` of util-linux cannot be run: {error}"))
}
