//! A cluster of one node. The programs of Kubernetes are started as in its distributions.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::Instant;

use super::certificates::Authority;
use super::kubectl::Kubectl;
use super::machine::{NODE, PODS, SERVICES, write};
use super::node;
use super::programs::Programs;
use crate::server::{Recipe, Server};

/// The time limits for the start of the API server and then of the node.
const PATIENCE: Duration = Duration::from_secs(120);
/// The name of the only node.
pub(super) const NAME: &str = "node";

/// A running cluster. All of it ends with its namespaces.
pub(super) struct Cluster {
    pub(super) kubectl: Kubectl,
    pub(super) kubelet: Server,
    /// Whether network policies are enforced, or why not.
    pub(super) policies: Result<(), String>,
    containerd: PathBuf,
    pub(super) others: Vec<Server>,
}

impl Cluster {
    /// Starts the cluster. Returns when the node is ready.
    ///
    /// # Errors
    ///
    /// If a part does not start. The text has the end of its log.
    pub(super) async fn start(programs: &Programs, folder: &Path) -> Result<Cluster, String> {
        let logs = folder.join("logs");
        std::fs::create_dir_all(&logs).map_err(|error| format!("{}: {error}", logs.display()))?;
        let authority = Authority::new(&folder.join("certificates"))?;
        let admin = authority.admit("admin", "admin", Some("system:masters"))?;
        let starting = Starting { programs, authority: &authority, logs: &logs };
        let mut others = Vec::new();

        let client = "http://127.0.0.1:2379";
        // In memory, because a full or slow disk would stop it for good, and nothing restarts it here.
        let arguments = ["--data-dir", "/run/etcd", "--listen-client-urls", client, "--advertise-client-urls", client];
        others.push(starting.server(&programs.etcd, 2379, &arguments).await?);
        others.push(starting.api_server().await?);
        let kubectl = Kubectl::new(programs.kubernetes("kubectl"), admin.clone());
        until("the API server", || async { kubectl.run(&["get", "--raw", "/readyz"]).await.map(drop) }).await?;

        others.push(starting.controllers().await?);
        let config = authority.admit("scheduler", "system:kube-scheduler", None)?;
        let config = config.to_string_lossy();
        others.push(starting.part("kube-scheduler", 10259, &["--kubeconfig", &config]).await?);

        let containerd = node::containerd(&logs, folder).await?;
        others.push(containerd.server);
        let kubelet = starting.kubelet(folder, &containerd.socket).await?;
        until("the node", || async {
            let state = "jsonpath={.status.conditions[?(@.type==\"Ready\")].status}";
            let ready = kubectl.run(&["get", "node", NAME, "-o", state]).await?;
            if ready == "True" { Ok(()) } else { Err(format!("Ready is `{ready}`: {}", kubelet.tail())) }
        })
        .await?;
        let config = authority.admit("proxy", "system:kube-proxy", None)?;
        let arguments = [
            &format!("--kubeconfig={}", config.display()),
            "--proxy-mode=iptables",
            "--conntrack-max-per-core=0",
            &format!("--hostname-override={NAME}"),
            &format!("--cluster-cidr={PODS}"),
        ];
        others.push(starting.part("kube-proxy", 10256, &arguments).await?);
        others.push(starting.dns(&admin, folder).await?);
        let policies = match starting.policies(&admin).await {
            Ok(router) => {
                others.push(router);
                Ok(())
            }
            Err(why) => Err(why),
        };
        Ok(Cluster { kubectl, kubelet, policies, containerd: containerd.socket, others })
    }

    /// Imports an image into the node, from an OCI archive.
    ///
    /// # Errors
    ///
    /// If it cannot be read.
    pub(super) async fn import(&self, archive: &Path) -> Result<(), String> {
        node::import(&self.containerd, archive).await
    }
}

/// The inputs for the start of all parts.
struct Starting<'a> {
    programs: &'a Programs,
    authority: &'a Authority,
    logs: &'a Path,
}

impl Starting<'_> {
    async fn server(&self, program: &Path, port: u16, arguments: &[&str]) -> Result<Server, String> {
        start(self.logs, program, port, arguments).await
    }

    /// A program of Kubernetes itself.
    async fn part(&self, name: &str, port: u16, arguments: &[&str]) -> Result<Server, String> {
        self.server(&self.programs.kubernetes(name), port, arguments).await
    }

    async fn api_server(&self) -> Result<Server, String> {
        let file = |option: &str, name: &str| format!("--{option}={}", self.authority.file(name));
        self.authority.admit("api-server", "kube-apiserver", Some("system:masters"))?;
        let arguments = [
            "--etcd-servers=http://127.0.0.1:2379",
            &format!("--service-cluster-ip-range={SERVICES}"),
            &format!("--advertise-address={NODE}"),
            "--authorization-mode=Node,RBAC",
            // The node's name cannot be resolved here.
            "--kubelet-preferred-address-types=InternalIP",
            "--enable-admission-plugins=NodeRestriction",
            &file("client-ca-file", "ca.crt"),
            &file("tls-cert-file", "server.crt"),
            &file("tls-private-key-file", "server.key"),
            &file("kubelet-client-certificate", "api-server.crt"),
            &file("kubelet-client-key", "api-server.key"),
            &file("service-account-key-file", "tokens.pub"),
            &file("service-account-signing-key-file", "tokens.key"),
            "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
        ];
        self.part("kube-apiserver", 6443, &arguments).await
    }

    async fn controllers(&self) -> Result<Server, String> {
        let config = self.authority.admit("controllers", "system:kube-controller-manager", None)?;
        let arguments = [
            &format!("--kubeconfig={}", config.display()),
            "--use-service-account-credentials=true",
            &format!("--service-account-private-key-file={}", self.authority.file("tokens.key")),
            &format!("--root-ca-file={}", self.authority.file("ca.crt")),
        ];
        self.part("kube-controller-manager", 10257, &arguments).await
    }

    async fn kubelet(&self, folder: &Path, containerd: &Path) -> Result<Server, String> {
        let config = self.authority.admit("kubelet", &format!("system:node:{NAME}"), Some("system:nodes"))?;
        let settings = node::kubelet_settings(folder, containerd, &self.authority.file("ca.crt"))?;
        let arguments = [
            format!("--config={}", settings.display()),
            format!("--kubeconfig={}", config.display()),
            format!("--root-dir={}", folder.join("kubelet").display()),
            format!("--cert-dir={}", folder.join("kubelet/certificates").display()),
            format!("--hostname-override={NAME}"),
            format!("--node-ip={NODE}"),
        ];
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        self.part("kubelet", 10248, &arguments).await
    }

    /// DNS for the names of Services, as in every cluster.
    async fn dns(&self, admin: &Path, folder: &Path) -> Result<Server, String> {
        let settings = folder.join("Corefile");
        let text = format!(
            "cluster.local:53 {{\n  errors\n  kubernetes cluster.local {{\n    kubeconfig {}\n  }}\n}}\n",
            admin.display()
        );
        write(&settings, &text)?;
        self.server(&self.programs.coredns, 53, &["-conf", &settings.to_string_lossy()]).await
    }

    /// The program that enforces network policies.
    async fn policies(&self, admin: &Path) -> Result<Server, String> {
        let program = self.programs.kube_router.clone()?;
        let arguments = [
            &format!("--kubeconfig={}", admin.display()),
            "--run-firewall=true",
            "--run-router=false",
            "--run-service-proxy=false",
            &format!("--hostname-override={NAME}"),
            &format!("--service-cluster-ip-range={SERVICES}"),
            "--iptables-sync-period=10s",
        ];
        self.server(&program, 20244, &arguments).await
    }
}

/// Starts a program of the cluster, with a log of the same name. Returns when it listens.
///
/// # Errors
///
/// If it does not listen in time. The text has the end of its log.
pub(super) async fn start(logs: &Path, program: &Path, port: u16, arguments: &[&str]) -> Result<Server, String> {
    let name = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Server::start(Recipe {
        program: program.to_owned(),
        arguments: arguments.iter().map(|&argument| argument.to_owned()).collect(),
        environment: Vec::new(),
        port,
        ready: None,
        log: logs.join(format!("{name}.log")),
    })
    .await
}

/// Waits for a condition.
///
/// # Errors
///
/// If it takes too long. The text is the last reason.
pub(super) async fn until<F>(what: &str, holds: impl Fn() -> F) -> Result<(), String>
where
    F: Future<Output = Result<(), String>>,
{
    until_within(PATIENCE, what, holds).await
}

/// Waits for a condition for at most this time.
///
/// # Errors
///
/// If it takes too long. The text is the last reason.
pub(super) async fn until_within<F>(patience: Duration, what: &str, holds: impl Fn() -> F) -> Result<(), String>
where
    F: Future<Output = Result<(), String>>,
{
    let deadline = Instant::now() + patience;
    loop {
        match holds().await {
            Ok(()) => return Ok(()),
            Err(why) if Instant::now() > deadline => return Err(format!("{what}, after {patience:?}: {why}")),
            Err(_) => tokio::time::sleep(Duration::from_millis(200)).await,
        }
    }
}
