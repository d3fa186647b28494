//! The parts that run pods: containerd, the network of pods, and kubelet's settings.

use std::path::{Path, PathBuf};

use super::cluster::start;
use super::images::PAUSE;
use super::machine::{NODE, PODS, run, write};
use super::namespaces::CGROUP;
use crate::server::Server;

/// A running containerd, and its socket.
pub(super) struct Containerd {
    pub(super) server: Server,
    pub(super) socket: PathBuf,
}

/// Starts Debian's containerd with a separate configuration.
///
/// # Errors
///
/// If it does not start.
pub(super) async fn containerd(logs: &Path, folder: &Path) -> Result<Containerd, String> {
    let place = folder.join("containerd");
    let networks = place.join("networks");
    std::fs::create_dir_all(&networks).map_err(|error| format!("{}: {error}", networks.display()))?;
    // Each pod has a pair of devices, and traffic between pods is routed, so that the rules of Services and policies
    // apply to it.
    let network = serde_json::json!({
        "cniVersion": "0.4.0",
        "name": "pods",
        "plugins": [{
            "type": "ptp",
            "ipam": {
                "type": "host-local",
                "ranges": [[{"subnet": PODS}]],
                "routes": [{"dst": "0.0.0.0/0"}],
                "dataDir": place.join("addresses"),
            },
        }],
    });
    write(&networks.join("10-pods.conflist"), &network.to_string())?;
    // Short, because the path of a socket may have about a hundred characters. It is in /run of the namespace.
    let socket = PathBuf::from("/run/containerd.sock");
    // Without `restrict_oom_score_adj`, no pod starts on machines where root may not lower the OOM score of processes.
    let settings = format!(
        "version = 2\nroot = {root:?}\nstate = \"/run/containerd\"\n\n[grpc]\naddress = {socket:?}\n\n\
         [plugins.\"io.containerd.grpc.v1.cri\"]\nsandbox_image = {PAUSE:?}\nrestrict_oom_score_adj = true\n\
         netns_mounts_under_state_dir = true\n\n[plugins.\"io.containerd.grpc.v1.cri\".cni]\nbin_dir = \"/usr/lib/cni\"\n\
         conf_dir = {networks:?}\n",
        root = place.join("root"),
    );
    let path = place.join("config.toml");
    write(&path, &settings)?;
    let program = Path::new("/usr/bin/containerd");
    let server = start(logs, program, 0, &["--config", &path.to_string_lossy()]).await?;
    super::cluster::until("containerd", || async { ctr(&socket, &["version"]).await.map(drop) }).await?;
    Ok(Containerd { server, socket })
}

/// Imports an archive of an image.
///
/// # Errors
///
/// If it cannot be read.
pub(super) async fn import(socket: &Path, archive: &Path) -> Result<(), String> {
    ctr(socket, &["--namespace", "k8s.io", "images", "import", &archive.to_string_lossy()]).await.map(drop)
}

async fn ctr(socket: &Path, arguments: &[&str]) -> Result<String, String> {
    let socket = socket.to_string_lossy();
    let arguments: Vec<&str> = ["--address", &socket].into_iter().chain(arguments.iter().copied()).collect();
    run("ctr", &arguments).await
}

/// Writes kubelet's settings. Returns their path.
///
/// # Errors
///
/// If a file cannot be written.
pub(super) fn kubelet_settings(folder: &Path, containerd: &Path, authority: &str) -> Result<PathBuf, String> {
    let resolver = folder.join("resolv.conf");
    // No names outside the cluster can be resolved here.
    write(&resolver, "")?;
    let settings = serde_json::json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": false},
            "webhook": {"enabled": true},
            "x509": {"clientCAFile": authority},
        },
        "authorization": {"mode": "Webhook"},
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": format!("/{CGROUP}"),
        "clusterDNS": [NODE],
        "clusterDomain": "cluster.local",
        "containerRuntimeEndpoint": format!("unix://{}", containerd.display()),
        // For this kind of machine: cgroups version 1, perhaps swap, and a shared disk.
        "failCgroupV1": false,
        "failSwapOn": false,
        "imageGCHighThresholdPercent": 100,
        "evictionHard": {"memory.available": "50Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
        "resolvConf": resolver,
        "podLogsDir": folder.join("pods"),
        "volumePluginDir": folder.join("volume-plugins"),
    });
    let path = folder.join("kubelet.json");
    write(&path, &settings.to_string())?;
    Ok(path)
}
