//! The network, folders and cgroups of the node, inside its namespaces.

use std::path::Path;

use tokio::process::Command;

use super::namespaces::{CGROUP, hierarchies};

/// The node's address, on a bridge that leads nowhere.
pub(super) const NODE: &str = "10.87.0.1";
/// The addresses of pods.
pub(super) const PODS: &str = "10.88.0.0/24";
/// The addresses of services, and those of the API server and of the cluster's DNS.
pub(super) const SERVICES: &str = "10.96.0.0/16";
pub(super) const API: &str = "10.96.0.1";

/// Makes the network, folders and cgroups that a node needs.
///
/// # Errors
///
/// If the kernel lacks a feature that containers need. The text names it.
pub(super) async fn prepare(folder: &Path) -> Result<(), String> {
    let address = format!("{NODE}/24");
    for line in [
        "link set lo up",
        "link add name node type bridge",
        &format!("address add {address} dev node"),
        "link set node up",
        // No device has the addresses of Services. kube-proxy rewrites them when a packet is on its way.
        "route add default dev node",
    ] {
        run("ip", &line.split(' ').collect::<Vec<_>>()).await?;
    }
    write(Path::new("/proc/sys/net/ipv4/ip_forward"), "1")?;
    // These mounts are visible only in this namespace.
    run("mount", &["--make-rshared", "/"]).await?;
    run("mount", &["-t", "tmpfs", "tmpfs", "/run"]).await?;
    for (place, name) in [("/var/log", "log"), ("/var/lib", "lib")] {
        let own = folder.join(name);
        std::fs::create_dir_all(&own).map_err(|error| format!("{}: {error}", own.display()))?;
        run("mount", &["--bind", &own.to_string_lossy(), place]).await?;
    }
    for hierarchy in hierarchies() {
        // kubelet does not need those that cannot be mounted, or it says so.
        let _ = std::fs::create_dir(hierarchy.join(CGROUP));
    }
    Ok(())
}

/// Writes a file.
///
/// # Errors
///
/// If it cannot be written. The text has its path.
pub(super) fn write(path: &Path, text: &str) -> Result<(), String> {
    std::fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}

/// Runs a program, and returns its standard output.
///
/// # Errors
///
/// If it fails. The text is its output.
pub(super) async fn run(program: impl AsRef<std::ffi::OsStr>, arguments: &[&str]) -> Result<String, String> {
    let program = program.as_ref();
    let shown = || format!("`{} {}`", program.to_string_lossy(), arguments.join(" "));
    let output = Command::new(program).args(arguments).kill_on_drop(true).output().await;
    let output = output.map_err(|error| format!("{} cannot be run: {error}", shown()))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        let errors = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Err(format!("{} ended with {}: {errors}", shown(), output.status))
    }
}
