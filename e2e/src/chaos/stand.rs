//! What is attacked: `faasflow up` with a flow and a function; and who is told of the ends.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use faasflow_runtime::http::{ServerOptions, read_body, serve};
use http::StatusCode;
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

use super::schedule::Target;
use super::tally::{Reported, Tally};
use crate::client::Client;
use crate::server::{Recipe, Server, free_port};

pub(super) struct Stand {
    gateway: Server,
    url: String,
    reports: String,
    folder: PathBuf,
    client: Client,
    _reports: AbortOnDropHandle<()>,
}

impl Stand {
    pub(super) async fn start(folder: &Path, tally: &Arc<Tally>) -> Result<Stand, String> {
        let (address, receiving) = receive(tally.clone()).await?;
        // Programs of our own, in this folder alone: whoever runs one of them was started by this run.
        let mut text = "version: 1.0\nprovider:\n  name: openfaas\n\nfunctions:\n".to_owned();
        for role in ["flow", "function"] {
            let program = folder.join(role);
            std::fs::copy(beside("e2e-chaos")?, &program).map_err(|error| error.to_string())?;
            text.push_str(&format!(
                "  chaos-{role}:\n    fprocess: {}\n    secrets: [faasflow-hmac-secret]\n    environment:\n      mode: http\n      \
                 E2E_ROLE: {role}\n      E2E_KEYS: {}\n      write_debug: 'false'\n",
                program.display(),
                folder.join("keys").display()
            ));
        }
        std::fs::write(folder.join("stack.yml"), text).map_err(|error| error.to_string())?;
        std::fs::write(folder.join("keys"), "").map_err(|error| error.to_string())?;
        let port = free_port()?;
        let arguments = ["up", &folder.to_string_lossy(), "--no-watch", "--port", &port.to_string()].map(str::to_owned);
        let gateway = Server::start(Recipe {
            program: beside("faasflow")?,
            arguments: arguments.into(),
            environment: Vec::new(),
            port,
            ready: None,
            log: folder.join("up.log"),
        })
        .await?;
        let (client, url) = (Client::new(), format!("http://127.0.0.1:{port}"));
        if let Err(why) = client.until_ready(&url).await {
            return Err(format!("{why}; the log of faasflow up ends: {}", gateway.tail()));
        }
        let reports = format!("http://{address}/");
        Ok(Stand { gateway, url, reports, folder: folder.to_owned(), client, _reports: receiving })
    }

    /// Where the flow is invoked through the queue.
    pub(super) fn flow(&self) -> String {
        format!("{}/async-function/chaos-flow", self.url)
    }

    pub(super) fn report_url(&self) -> String {
        self.reports.clone()
    }

    /// Where the function writes its keys.
    pub(super) fn keys(&self) -> PathBuf {
        self.folder.join("keys")
    }

    /// Kills the gateway, and with it what it has started, and starts it again after so long on the same port and state.
    pub(super) async fn restart_gateway(&mut self, pause: Duration) -> Result<(), String> {
        self.gateway.kill().await?;
        tokio::time::sleep(pause).await;
        self.gateway.again().await
    }

    /// Kills the flow or the function; `false` if it does not run at the moment.
    pub(super) fn kill(&self, target: Target) -> Result<bool, String> {
        let program = self.folder.join(target.as_str());
        let Some(id) = running(&program)? else { return Ok(false) };
        // SAFETY: kill(2) touches no memory. The process runs a program that is in this run's folder alone.
        #[allow(unsafe_code, reason = "the standard library sends no signals")]
        let sent = unsafe { libc::kill(id, libc::SIGKILL) };
        Ok(sent == 0)
    }

    pub(super) async fn dead_letters(&self) -> Result<u64, String> {
        let answer = self.client.get(&format!("{}/system/queue", self.url)).await?.expect(200)?;
        let stats: serde_json::Value = serde_json::from_slice(&answer.body).map_err(|error| error.to_string())?;
        stats["dead_letters"].as_u64().ok_or_else(|| format!("no number of dead letters in {stats}"))
    }
}

fn beside(program: &str) -> Result<PathBuf, String> {
    let own = std::env::current_exe().map_err(|error| error.to_string())?;
    Ok(own.with_file_name(program))
}

/// The number of a process that runs this program.
fn running(program: &Path) -> Result<Option<i32>, String> {
    let program = program.canonicalize().map_err(|error| error.to_string())?;
    let processes = std::fs::read_dir("/proc").map_err(|error| format!("processes cannot be listed: {error}"))?;
    let numbers = processes.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    // Those that end meanwhile, or are others', cannot be looked at.
    let runs = |id: &i32| std::fs::read_link(format!("/proc/{id}/exe")).is_ok_and(|found| found == program);
    Ok(numbers.into_iter().find(runs))
}

/// Takes the reports of how requests ended.
async fn receive(tally: Arc<Tally>) -> Result<(std::net::SocketAddr, AbortOnDropHandle<()>), String> {
    let listener = TcpListener::bind("127.0.0.1:0").await.map_err(|error| error.to_string())?;
    let address = listener.local_addr().map_err(|error| error.to_string())?;
    let router = Router::new().fallback(report).with_state(tally);
    let receiving = tokio::spawn(async move {
        let _ = serve(listener, router, ServerOptions::default(), std::future::pending()).await;
    });
    Ok((address, AbortOnDropHandle::new(receiving)))
}

async fn report(State(tally): State<Arc<Tally>>, request: axum::extract::Request) -> StatusCode {
    let (parts, body) = request.into_parts();
    // A report that breaks off is none: it comes again.
    let Ok(body) = read_body(body, 1 << 20, Duration::from_secs(60)).await else { return StatusCode::BAD_REQUEST };
    let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let number = header("x-faasflow-request-id").strip_prefix("chaos-").and_then(|text| text.parse().ok());
    let Some(number) = number else { return StatusCode::BAD_REQUEST };
    let text = String::from_utf8_lossy(&body);
    let reported = match header("x-faasflow-outcome") {
        "success" if text == format!("{number}:123456") => Reported::Success,
        "success" => Reported::Wrong,
        _ => Reported::Failure,
    };
    tally.report(number, header("idempotency-key"), reported, &text);
    StatusCode::OK
}
