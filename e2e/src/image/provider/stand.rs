//! `faasflow up` without a stack file, beside an engine, and requests to it.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use axum::body::Body;
use http::Method;
use serde_json::{Value, json};
use tokio::process::Command;
use tokio::sync::Mutex;

use crate::client::{Answer, Client};
use crate::docker::Docker;
use crate::openfaas;
use crate::server::{Recipe, Server};

/// The time limit for a container to start or to end.
const PATIENCE: Duration = Duration::from_secs(60);
/// The path in which faas-cli finds programs.
const PATH: &str = "/usr/local/bin:/usr/bin:/bin";

pub(super) struct Stand {
    pub(super) docker: Docker,
    pub(super) client: Client,
    pub(super) url: String,
    folder: tempfile::TempDir,
    gateway: Mutex<Server>,
}

impl Stand {
    /// Starts a gateway that finds the engine by `DOCKER_HOST`.
    pub(super) async fn start(docker: &Docker, name: &str, port: u16) -> Result<Stand, String> {
        let prefix = format!("faasflow-e2e-{name}-");
        let folder = tempfile::Builder::new().prefix(&prefix).tempdir().map_err(|error| error.to_string())?;
        let own = std::env::current_exe().map_err(|error| error.to_string())?;
        let home = folder.path().to_string_lossy().into_owned();
        let gateway = Server::start(Recipe {
            program: own.with_file_name("faasflow"),
            arguments: ["up", "--no-stack", &home, "--port", &port.to_string()].map(str::to_owned).to_vec(),
            environment: vec![("DOCKER_HOST".to_owned(), docker.host())],
            port,
            ready: None,
            log: folder.path().join("faasflow-up.log"),
        })
        .await?;
        let url = format!("http://127.0.0.1:{port}");
        Ok(Stand { docker: docker.clone(), client: Client::new(), url, folder, gateway: Mutex::new(gateway) })
    }

    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Kills the gateway, as a power failure would.
    pub(super) async fn kill(&self) -> Result<(), String> {
        self.gateway.lock().await.kill().await
    }

    /// Stops it, and returns how long that took.
    pub(super) async fn stop(&self) -> Result<Duration, String> {
        let begun = Instant::now();
        let status = self.gateway.lock().await.terminate(PATIENCE).await?;
        if status.success() { Ok(begun.elapsed()) } else { Err(format!("the gateway ended with {status}")) }
    }

    pub(super) async fn again(&self) -> Result<(), String> {
        self.gateway.lock().await.again().await
    }

    /// The end of the gateway's log.
    pub(super) async fn tail(&self) -> String {
        self.gateway.lock().await.tail()
    }

    pub(super) async fn ask(&self, method: Method, path: &str, body: &Value) -> Result<Answer, String> {
        let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
        self.client.send(method, &format!("{}{path}", self.url), &[], body).await
    }

    /// Deploys a function as faas-cli does: PUT, then POST if the function does not exist.
    pub(super) async fn deploy(&self, deployment: &Value) -> Result<(), String> {
        let put = self.ask(Method::PUT, "/system/functions", deployment).await?;
        let answer = if put.status.as_u16() == 404 {
            self.ask(Method::POST, "/system/functions", deployment).await?
        } else {
            put
        };
        answer.expect(202).map(drop)
    }

    /// Deploys a function and waits until it accepts requests.
    pub(super) async fn serve(&self, deployment: &Value) -> Result<(), String> {
        self.deploy(deployment).await?;
        let name = deployment["service"].as_str().unwrap_or_default();
        self.until(name, "available", |status| status["availableReplicas"] != 0).await.map(drop)
    }

    pub(super) async fn remove(&self, name: &str) -> Result<(), String> {
        let body = json!({ "functionName": name, "namespace": "openfaas-fn" });
        self.ask(Method::DELETE, "/system/functions", &body).await?.expect(202).map(drop)
    }

    pub(super) async fn status(&self, name: &str) -> Result<Value, String> {
        let path = format!("/system/function/{name}?namespace=openfaas-fn");
        let answer = self.ask(Method::GET, &path, &Value::Null).await?.expect(200)?;
        serde_json::from_slice(&answer.body).map_err(|error| error.to_string())
    }

    /// Waits until the gateway's description of a function fulfils a condition.
    pub(super) async fn until(&self, name: &str, what: &str, holds: impl Fn(&Value) -> bool) -> Result<Value, String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let status = self.status(name).await?;
            if holds(&status) {
                return Ok(status);
            }
            if Instant::now() > deadline {
                return Err(format!("`{name}` is not {what} within {PATIENCE:?}: {status}; {}", self.tail().await));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    pub(super) async fn scale(&self, name: &str, replicas: u32) -> Result<Answer, String> {
        let body = json!({ "serviceName": name, "replicas": replicas, "namespace": "openfaas-fn" });
        self.ask(Method::POST, &format!("/system/scale-function/{name}"), &body).await
    }

    /// Sends a POST to a function. `target` is its name, optionally with a path and a query.
    pub(super) async fn invoke(&self, target: &str, body: &str) -> Result<Answer, String> {
        let url = format!("{}/function/{target}", self.url);
        self.client.send(Method::POST, &url, &[], body.to_owned()).await
    }

    /// Sends a POST to a function. It must answer with 200. Returns the text.
    pub(super) async fn text(&self, target: &str, body: &str) -> Result<String, String> {
        Ok(self.invoke(target, body).await?.expect(200)?.text())
    }

    /// The lines of a function's log.
    pub(super) async fn log(&self, name: &str) -> Result<String, String> {
        let path = format!("/system/logs?name={name}&namespace=openfaas-fn&follow=false");
        Ok(String::from_utf8_lossy(&self.ask(Method::GET, &path, &Value::Null).await?.expect(200)?.body).into_owned())
    }

    /// The ids of all containers of a function, running or not.
    pub(super) async fn containers(&self, name: &str) -> Result<Vec<String>, String> {
        let filter = format!("label=faasflow.function={name}");
        let folder = format!("label=faasflow.state-folder={}", self.folder().join(".faasflow").display());
        let ids = self.docker.run(&["ps", "--all", "--quiet", "--filter", &filter, "--filter", &folder]).await?;
        Ok(ids.lines().map(str::to_owned).collect())
    }

    /// Waits until a function has this number of containers.
    pub(super) async fn until_containers(&self, name: &str, count: usize) -> Result<Vec<String>, String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let found = self.containers(name).await?;
            if found.len() == count {
                return Ok(found);
            }
            if Instant::now() > deadline {
                return Err(format!("`{name}` has {} containers instead of {count}", found.len()));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Runs faas-cli in the gateway's folder. Returns both outputs.
    pub(super) async fn faas_cli(&self, line: &str) -> Result<String, String> {
        let program: PathBuf = openfaas::install_faas_cli().await?;
        let output = Command::new(&program)
            .args(line.split_whitespace())
            .current_dir(self.folder())
            .envs(self.docker.environment(PATH))
            .env("HOME", self.folder())
            .env("OPENFAAS_URL", &self.url)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await
            .map_err(|error| format!("{}: {error}", program.display()))?;
        let printed = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        if output.status.success() {
            Ok(printed)
        } else {
            Err(format!("`{line}` ended with {}: {printed}", output.status))
        }
    }
}
