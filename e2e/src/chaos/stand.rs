//! The programs under attack: `faasflow up`, a flow and a function. Also the server that receives reports of the ends.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use faasflow_http::{ServerOptions, now_ms, read_body, serve};
use http::StatusCode;
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

use super::backing::Backing;
use super::keys::KillTime;
use super::schedule::Target;
use super::shape::Shape;
use super::tally::{ReportedEnd, Tally};
use crate::client::Client;
use crate::server::{Recipe, Server, free_port};

pub(super) struct Stand {
    gateway: Server,
    flow: Server,
    function: Server,
    url: String,
    reports: String,
    folder: PathBuf,
    client: Client,
    _backing: Backing,
    _reports: AbortOnDropHandle<()>,
}

impl Stand {
    /// Starts each of the three separately, as on a cluster. The flow and the function outlive the gateway and have to
    /// live with its absence; as its children, they would end with it.
    pub(super) async fn start(folder: &Path, shape: Shape, tally: &Arc<Tally>) -> Result<Stand, String> {
        let (address, receiving) = receive(tally.clone(), shape).await?;
        let text = |error: std::io::Error| error.to_string();
        let (port, url) = (free_port()?, |port| format!("http://127.0.0.1:{port}"));
        std::fs::create_dir(folder.join("secrets")).map_err(text)?;
        std::fs::write(folder.join("secrets/faasflow-hmac-secret"), "of this run alone").map_err(text)?;
        std::fs::write(folder.join("keys"), "").map_err(text)?;
        let mut stack = "version: 1.0\nprovider:\n  name: openfaas\n\nfunctions:\n".to_owned();
        let mut started = Vec::new();
        let backing = Backing::start(shape, folder).await?;
        for role in ["flow", "function"] {
            let own = free_port()?;
            stack.push_str(&format!("  chaos-{role}:\n    annotations:\n      faasflow.url: {}\n", url(own)));
            let program = if role == "flow" { shape.role() } else { role };
            let environment = [
                ("E2E_ROLE", program.to_owned()),
                ("E2E_KEYS", folder.join("keys").display().to_string()),
                ("port", own.to_string()),
                ("host", "127.0.0.1".to_owned()),
                ("workflow_name", format!("chaos-{role}")),
                ("gateway", url(port)),
                ("secret_mount_path", folder.join("secrets").display().to_string()),
                ("write_debug", "false".to_owned()),
            ];
            let recipe = Recipe {
                program: beside("e2e-chaos")?,
                arguments: Vec::new(),
                environment: environment
                    .map(|(name, value)| (name.to_owned(), value))
                    .into_iter()
                    .chain(backing.settings())
                    .collect(),
                port: own,
                ready: None,
                log: folder.join(format!("{role}.log")),
            };
            started.push(Server::start(recipe).await?);
        }
        let [flow, function] = <[Server; 2]>::try_from(started).map_err(|_| "there are two")?;
        std::fs::write(folder.join("stack.yml"), stack).map_err(text)?;
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
        let (client, url) = (Client::new(), url(port));
        if let Err(why) = client.until_ready(&url).await {
            return Err(format!("{why}; the log of faasflow up ends: {}", gateway.tail()));
        }
        let reports = format!("http://{address}/");
        let folder = folder.to_owned();
        Ok(Stand { gateway, flow, function, url, reports, folder, client, _backing: backing, _reports: receiving })
    }

    /// The URL that invokes the flow through the queue.
    pub(super) fn flow(&self) -> String {
        format!("{}/async-function/chaos-flow", self.url)
    }

    pub(super) fn report_url(&self) -> String {
        self.reports.clone()
    }

    /// The file to which the function writes its keys.
    pub(super) fn keys(&self) -> PathBuf {
        self.folder.join("keys")
    }

    /// Kills one of the three, and restarts it on the same port after this time. Returns when it was killed.
    pub(super) async fn restart(&mut self, target: Target, pause: Duration) -> Result<KillTime, String> {
        let server = match target {
            Target::Gateway => &mut self.gateway,
            Target::Flow => &mut self.flow,
            Target::Function => &mut self.function,
        };
        let from_ms = now_ms();
        server.kill().await?;
        let until_ms = now_ms();
        tokio::time::sleep(pause).await;
        server.again().await?;
        Ok(KillTime { from_ms, until_ms, back_ms: now_ms() })
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

/// Receives the reports about how requests ended.
async fn receive(tally: Arc<Tally>, shape: Shape) -> Result<(std::net::SocketAddr, AbortOnDropHandle<()>), String> {
    let listener = TcpListener::bind("127.0.0.1:0").await.map_err(|error| error.to_string())?;
    let address = listener.local_addr().map_err(|error| error.to_string())?;
    let router = Router::new().fallback(report).with_state((tally, shape));
    let receiving = tokio::spawn(async move {
        let _ = serve(listener, router, ServerOptions::default(), std::future::pending()).await;
    });
    Ok((address, AbortOnDropHandle::new(receiving)))
}

async fn report(State((tally, shape)): State<(Arc<Tally>, Shape)>, request: axum::extract::Request) -> StatusCode {
    let (parts, body) = request.into_parts();
    // A truncated report is ignored, because it is sent again.
    let Ok(body) = read_body(body, 1 << 20, Duration::from_secs(60)).await else { return StatusCode::BAD_REQUEST };
    let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let number = header("x-faasflow-request-id").strip_prefix("chaos-").and_then(|text| text.parse().ok());
    let Some(number) = number else { return StatusCode::BAD_REQUEST };
    let text = String::from_utf8_lossy(&body);
    let reported = match header("x-faasflow-outcome") {
        "success" if text == shape.result(number) => ReportedEnd::Success,
        "success" => ReportedEnd::Wrong,
        _ => ReportedEnd::Failure,
    };
    tally.report(number, header("idempotency-key"), reported, &text);
    StatusCode::OK
}
