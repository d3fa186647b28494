//! Tests the manifests of `deploy/kubernetes` on a real cluster of one node: Kubernetes' own programs, containerd and
//! runc. They run in separate namespaces, so that nothing is visible from outside or stays.
//!
//! [`run`] builds everything, enters the namespaces and cleans up; [`inside`] runs in the namespaces.

mod certificates;
mod checks;
mod cluster;
mod images;
mod kubectl;
mod machine;
mod manifests;
mod namespaces;
mod node;
mod programs;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use self::cluster::Cluster;
use self::namespaces::Footprint;
use self::programs::Programs;
use crate::suite::Suite;

/// Builds programs and images, runs the suite in its own namespaces, and removes what is left.
///
/// # Errors
///
/// If the cluster cannot be built, or if a part of it is left.
pub(crate) async fn run() -> Result<ExitCode, String> {
    may_run()?;
    let footprint = Footprint::take()?;
    let before = Surroundings::look().await?;
    images::install().await?;
    let programs = Programs::install().await?;
    println!("Building the images");
    let images = footprint.folder().join("images");
    std::fs::create_dir_all(&images).map_err(|error| format!("{}: {error}", images.display()))?;
    images::build(&images, &programs.pause).await?;
    let own = std::env::current_exe().map_err(|error| error.to_string())?;
    let begun = Instant::now();
    let folder = footprint.folder().to_string_lossy().into_owned();
    let status = namespaces::run(&own, &["kubernetes", "inside", &folder]).await?;
    footprint.remove()?;
    let after = Surroundings::look().await?;
    if let Some(left) = after.beyond(&before) {
        return Err(format!("this is left of the cluster: {left}"));
    }
    println!("Nothing is left of the cluster: no process, mount, device, rule or cgroup ({:?})", begun.elapsed());
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Only root can create namespaces, cgroups and mounts.
fn may_run() -> Result<(), String> {
    use std::os::unix::fs::MetadataExt as _;
    let root = std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0);
    if root && !namespaces::hierarchies().is_empty() {
        return Ok(());
    }
    Err("a cluster needs Linux, root, and cgroups at /sys/fs/cgroup: nothing was run".to_owned())
}

/// The things that a cluster could leave on the machine.
struct Surroundings {
    mounts: Vec<String>,
    devices: Vec<String>,
    rules: Vec<String>,
    processes: Vec<String>,
}

impl Surroundings {
    async fn look() -> Result<Surroundings, String> {
        let lines = |text: String| -> Vec<String> { text.lines().map(str::to_owned).collect() };
        let mounts = std::fs::read_to_string("/proc/self/mounts").map_err(|error| error.to_string())?;
        let devices = machine::run("ip", &["-o", "link"]).await?;
        let names = devices.lines().filter_map(|line| line.split(": ").nth(1)).map(str::to_owned).collect();
        let rules = machine::run("iptables-save", &[]).await.unwrap_or_default();
        let rules = rules.lines().filter(|line| line.starts_with("-A")).map(str::to_owned).collect();
        Ok(Surroundings { mounts: lines(mounts), devices: names, rules, processes: of_cluster() })
    }

    /// New things that look like those of a cluster. Other programs make mounts and devices too.
    fn beyond(&self, before: &Surroundings) -> Option<String> {
        let new = |now: &[String], then: &[String], marks: &[&str]| -> Vec<String> {
            let new = now.iter().filter(|line| !then.contains(line));
            new.filter(|line| marks.iter().any(|mark| line.contains(mark))).cloned().collect()
        };
        let left = [
            new(&self.mounts, &before.mounts, &["kubernetes-run", "kubelet", "containerd"]),
            new(&self.devices, &before.devices, &["node"]),
            new(&self.rules, &before.rules, &["KUBE-"]),
            self.processes.clone(),
        ]
        .concat();
        if left.is_empty() { None } else { Some(left.join("; ")) }
    }
}

/// Processes that run a program of the cluster, or run in its folder.
fn of_cluster() -> Vec<String> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let lines = entries.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    let texts = lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " "));
    texts.filter(|line| line.contains("tools/kubernetes-run/")).collect()
}

/// The suite itself, in its own namespaces.
///
/// # Errors
///
/// If the cluster does not start.
pub(crate) async fn inside(suite: Suite, folder: PathBuf) -> Result<(), String> {
    // They were installed outside, with access to the network.
    let programs = Programs::install().await?;
    machine::prepare(&folder).await?;
    suite.heading("A cluster of one node");
    let begun = Instant::now();
    let cluster = match Cluster::start(&programs, &folder).await {
        Ok(cluster) => cluster,
        Err(why) => return Err(format!("the cluster does not come up: {why}")),
    };
    suite.note("the cluster comes up", Ok(()), begun.elapsed());
    let result = checks::run(&suite, cluster, &programs, &folder).await;
    keep_logs(&folder);
    result
}

/// Copies the logs to a folder that outlives the run.
fn keep_logs(folder: &Path) {
    let Some(tools) = folder.parent() else { return };
    let logs = tools.join("kubernetes-logs");
    let _ = std::fs::remove_dir_all(&logs);
    let _ = std::fs::create_dir_all(&logs);
    for entry in std::fs::read_dir(folder.join("logs")).into_iter().flatten().flatten() {
        let _ = std::fs::copy(entry.path(), logs.join(entry.file_name()));
    }
    println!("\nThe logs of the cluster are in {}", logs.display());
}
