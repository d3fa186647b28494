//! The environment of the flow's containers: a network of the engine, and `faasflow up` outside of it as the gateway.

use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::body::Body;
use http::Method;

use crate::client::{Answer, Client};
use crate::docker::{Container, Docker, GATEWAY};
use crate::recorder::Recorder;
use crate::server::{Recipe, Server};

/// The network of the containers.
const NETWORK: &str = "faasflow-suite";
const SUBNET: &str = "172.31.0.0/24";
/// The address to which the gateway sends requests for the flow.
pub(super) const ADDRESS: &str = "172.31.0.10";
/// The port of the gateway, on every address of the namespace.
const GATEWAY_PORT: u16 = 8080;
/// The port of a flow that runs outside a container.
pub(super) const PROCESS_PORT: u16 = 9090;
/// The time limit for a request.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);
/// The time limit for a container to become healthy. The engine checks every ten seconds.
const HEALTHY: Duration = Duration::from_secs(60);

/// The settings of a container.
#[derive(Clone, Copy, Default)]
pub(super) struct Setting<'a> {
    /// Its address, or `None` for any address of the network.
    pub(super) address: Option<&'a str>,
    pub(super) environment: &'a [&'a str],
    /// Whether the key for signing is mounted.
    pub(super) secret: bool,
    /// Whether `/tmp` can be written, as the watchdog needs.
    pub(super) tmp: bool,
    pub(super) restart: bool,
}

pub(super) struct Stand {
    pub(super) docker: Docker,
    pub(super) client: Client,
    pub(super) recorder: Recorder,
    pub(super) key: String,
    faasflow: PathBuf,
    folder: tempfile::TempDir,
    _gateway: Server,
}

impl Stand {
    pub(super) async fn start(docker: &Docker) -> Result<Stand, String> {
        let folder = tempfile::Builder::new().prefix("faasflow-e2e-").tempdir().map_err(|error| error.to_string())?;
        // An engine keeps its networks, even if it was interrupted.
        let _ = docker.run(&["network", "rm", NETWORK]).await;
        docker.run(&["network", "create", "--subnet", SUBNET, NETWORK]).await?;
        let recorder = Recorder::start().await?;
        let key = "5f".repeat(32);
        let secrets = folder.path().join("secrets");
        std::fs::create_dir(&secrets).map_err(|error| error.to_string())?;
        std::fs::write(secrets.join("faasflow-hmac-secret"), &key).map_err(|error| error.to_string())?;
        readable_by_all(folder.path())?;
        readable_by_all(&secrets)?;
        let mut stack = "version: 1.0\nprovider:\n  name: openfaas\n\nfunctions:\n".to_owned();
        for (name, url) in [
            ("one", recorder.url("one")),
            ("two", recorder.url("two")),
            ("my-flow", format!("http://{ADDRESS}:8080")),
            ("my-process", format!("http://127.0.0.1:{PROCESS_PORT}")),
        ] {
            stack.push_str(&format!("  {name}:\n    annotations: {{ faasflow.url: '{url}' }}\n"));
        }
        let path = folder.path().join("stack.yml");
        std::fs::write(&path, stack).map_err(|error| error.to_string())?;
        let own = std::env::current_exe().map_err(|error| error.to_string())?;
        let faasflow = own.with_file_name("faasflow");
        let mut arguments = vec!["up".to_owned(), path.to_string_lossy().into_owned()];
        arguments.extend(["--no-watch", "--host", "0.0.0.0", "--port"].map(str::to_owned));
        arguments.push(GATEWAY_PORT.to_string());
        let gateway = Server::start(Recipe {
            program: faasflow.clone(),
            arguments,
            environment: Vec::new(),
            port: GATEWAY_PORT,
            ready: None,
            log: folder.path().join("faasflow-up.log"),
        })
        .await?;
        let docker = docker.clone();
        Ok(Stand { docker, client: Client::new(), recorder, key, faasflow, folder, _gateway: gateway })
    }

    /// The URL of the gateway inside the namespace.
    pub(super) fn url(&self) -> String {
        format!("http://127.0.0.1:{GATEWAY_PORT}")
    }

    /// The setting `gateway` of a flow, for a container or a process.
    pub(super) fn gateway() -> String {
        format!("{GATEWAY}:{GATEWAY_PORT}")
    }

    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// `faasflow`, built beside this program.
    pub(super) fn faasflow(&self) -> &Path {
        &self.faasflow
    }

    /// Starts a flow with the restrictions of a careful operator: a read-only root, no capabilities, no way to gain
    /// any, and 64 MB of memory.
    pub(super) async fn run(&self, image: &str, setting: Setting<'_>) -> Result<Container, String> {
        let gateway = format!("gateway={}", Stand::gateway());
        let secrets = format!("{}:/var/openfaas/secrets:ro", self.folder().join("secrets").display());
        let mut arguments = vec!["--network", NETWORK, "--read-only", "--cap-drop", "ALL"];
        arguments.extend(["--security-opt", "no-new-privileges", "--memory", "64m", "--memory-swap", "64m"]);
        arguments.extend(["--env", &gateway, "--env", "workflow_name=my-flow"]);
        if let Some(address) = setting.address {
            arguments.extend(["--ip", address]);
        }
        for variable in setting.environment {
            arguments.extend(["--env", variable]);
        }
        if setting.secret {
            arguments.extend(["--volume", &secrets]);
        }
        if setting.tmp {
            arguments.extend(["--tmpfs", "/tmp"]);
        }
        if setting.restart {
            arguments.extend(["--restart", "always"]);
        }
        arguments.push(image);
        Container::run(&self.docker, &arguments).await
    }

    /// Starts the flow at the address that the gateway uses, and waits until it accepts requests.
    pub(super) async fn serve(&self, image: &str, setting: Setting<'_>) -> Result<Container, String> {
        let container = self.run(image, Setting { address: Some(ADDRESS), ..setting }).await?;
        let ready = self.until_ready(ADDRESS).await;
        if let Err(why) = ready {
            let log = container.log().await.unwrap_or_default();
            container.remove().await?;
            return Err(format!("{why}; its log: {log}"));
        }
        Ok(container)
    }

    pub(super) async fn until_ready(&self, address: &str) -> Result<(), String> {
        let url = format!("http://{address}:8080/_/ready");
        let mut last = String::new();
        for _ in 0..300 {
            match self.client.get(&url).await {
                Ok(answer) if answer.status.is_success() => return Ok(()),
                Ok(answer) => last = answer.status.to_string(),
                Err(why) => last = why,
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Err(format!("{url} is not ready: {last}"))
    }

    pub(super) async fn until_healthy(&self, container: &Container) -> Result<(), String> {
        let healthy = |inspect: &serde_json::Value| inspect["State"]["Health"]["Status"] == "healthy";
        container.until("healthy", HEALTHY, healthy).await.map(drop)
    }

    /// Sends a synchronous request through the gateway.
    pub(super) async fn call(&self, function: &str, body: impl Into<Body>) -> Result<Answer, String> {
        self.client.send(Method::POST, &format!("{}/function/{function}", self.url()), &[], body).await
    }

    /// Sends an asynchronous request through the gateway. Its end is posted to the recorder's `ended`.
    pub(super) async fn queue(&self, function: &str, body: &str) -> Result<(), String> {
        let url = format!("{}/async-function/{function}", self.url());
        let headers = [("x-callback-url", self.recorder.url("ended"))];
        let headers = headers.each_ref().map(|(name, value)| (*name, value.as_str()));
        self.client.send(Method::POST, &url, &headers, body.to_owned()).await?.expect(202).map(drop)
    }

    /// Sends one request of each kind to a flow that greets.
    pub(super) async fn each_kind(&self, function: &str, who: &str) -> Result<(), String> {
        let answer = self.call(function, who.to_owned()).await?.expect(200)?;
        let greeting = format!("Hello, {who}!");
        if answer.text() != greeting {
            return Err(format!("it answered `{}`", answer.text()));
        }
        let queued = format!("{who}, queued");
        self.queue(function, &queued).await?;
        self.recorder.until_sent("ended", &format!("Hello, {queued}!"), 1, PATIENCE).await.map(drop)
    }
}

/// The user of a container does not exist on this machine.
fn readable_by_all(folder: &Path) -> Result<(), String> {
    use std::os::unix::fs::PermissionsExt as _;
    let permissions = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(folder, permissions).map_err(|error| format!("{}: {error}", folder.display()))
}
