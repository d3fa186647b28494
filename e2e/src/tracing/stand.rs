//! The environment of the checks: flows that trace to Jaeger, behind `faasflow up` or as single processes.

use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use axum::body::Body;
use http::Method;
use tokio::sync::Mutex;

use super::jaeger::Jaeger;
use super::separate::SeparateFlow;
use crate::client::{Answer, Client};
use crate::photos;
use crate::recorder::Recorder;
use crate::server::{Recipe, Server, free_port};

/// The time limit for a request.
pub(super) const PATIENCE: Duration = Duration::from_secs(40);
/// A secret that requests send everywhere. No trace may contain it.
pub(super) const SECRET: &str = "e2e-secret-marker";

/// The flows, and whether each traces with OTLP over HTTP instead of gRPC.
const FLOWS: [(&str, &str, bool); 5] = [
    ("relay", "relay", false),
    ("relay-http", "relay", true),
    ("guarded", "guarded", false),
    ("graph", "graph", false),
    ("graph-direct", "graph-direct", false),
];

pub(super) struct Stand {
    pub(super) url: String,
    pub(super) jaeger: Jaeger,
    pub(super) recorder: Recorder,
    pub(super) client: Client,
    pub(super) separate: SeparateFlow,
    up: Mutex<Server>,
    metrics: Vec<(String, u16)>,
    folder: PathBuf,
    ids: AtomicU16,
}

pub(super) fn beside(program: &str) -> Result<PathBuf, String> {
    let own = std::env::current_exe().map_err(|error| error.to_string())?;
    Ok(own.with_file_name(program))
}

impl Stand {
    pub(super) async fn start(jaeger: &Path, folder: &Path) -> Result<Arc<Stand>, String> {
        let jaeger = Jaeger::start(jaeger, folder).await?;
        let recorder = Recorder::start().await?;
        let mut metrics = Vec::new();
        let mut text = "version: 1.0\nprovider:\n  name: openfaas\n\nfunctions:\n".to_owned();
        for name in ["one", "two", "three"] {
            let url = recorder.url(name);
            text.push_str(&format!("  {name}:\n    annotations: {{ faasflow.url: '{url}' }}\n"));
        }
        text.push_str(&photos::functions()?);
        let mut settings = |name: &str, server: String| {
            let port = free_port()?;
            metrics.push((name.to_owned(), port));
            Ok::<_, String>(tracing(server, port))
        };
        for name in photos::FLOWS {
            let mut settings = settings(name, jaeger.grpc())?;
            // The traces say how large the envelopes are, and the gateway's store would take large payloads out of them.
            settings.push(("state_manager", "envelope".to_owned()));
            text.push_str(&photos::flow(name, &settings)?);
        }
        let program = beside("e2e-flow")?;
        for (name, flow, over_http) in FLOWS {
            let server = if over_http { jaeger.http() } else { jaeger.grpc() };
            text.push_str(&format!(
                "  {name}:\n    lang: faasflow\n    fprocess: {}\n    secrets: [faasflow-hmac-secret]\n    environment:\n      \
                 mode: http\n      E2E_FLOW: {flow}\n      E2E_SECRET: {SECRET}\n      E2E_CALLBACK: {}\n",
                program.display(),
                recorder.url("hook")
            ));
            for (name, value) in settings(name, server)? {
                text.push_str(&format!("      {name}: '{value}'\n"));
            }
        }
        let port = free_port()?;
        let separate = SeparateFlow::start(folder, port, jaeger.grpc()).await?;
        text.push_str(&separate.function());
        let stack = folder.join("stack.yml");
        std::fs::write(&stack, text).map_err(|error| error.to_string())?;
        let up = Server::start(Recipe {
            program: beside("faasflow")?,
            arguments: ["up", &stack.to_string_lossy(), "--no-watch", "--port", &port.to_string()]
                .map(str::to_owned)
                .into(),
            environment: Vec::new(),
            port,
            ready: None,
            log: folder.join("faasflow-up.log"),
        })
        .await?;
        let (client, url) = (Client::new(), format!("http://127.0.0.1:{port}"));
        if let Err(why) = client.until_ready(&url).await {
            return Err(format!("{why}; the log of faasflow up ends: {}", up.tail()));
        }
        let folder = folder.to_owned();
        let ids = AtomicU16::new(1);
        Ok(Arc::new(Stand { url, jaeger, recorder, client, separate, up: up.into(), metrics, folder, ids }))
    }

    /// A new request id (a UUID), and the same without dashes, which is the id of the trace.
    pub(super) fn id(&self) -> (String, String) {
        let number = self.ids.fetch_add(1, Ordering::Relaxed);
        let id = format!("01890a5d-ac96-774b-bcce-b302099a{number:04x}");
        let trace = id.replace('-', "");
        (id, trace)
    }

    /// Invokes a function, synchronously or through the queue. `target` is its name and what follows it in the path.
    pub(super) async fn invoke(
        &self,
        route: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Result<Answer, String> {
        self.client.send(Method::POST, &format!("{}/{route}/{target}", self.url), headers, body).await
    }

    /// The sum of all series of a metric of a flow.
    pub(super) async fn metric(&self, flow: &str, name: &str) -> Result<f64, String> {
        let port = self.metrics.iter().find(|(of, _)| of == flow).map(|(_, port)| *port);
        metric(&self.client, port.ok_or("there is no such flow")?, name).await
    }

    /// The last log lines of a function.
    pub(super) async fn logs(&self, function: &str) -> Result<String, String> {
        let answer =
            self.client.get(&format!("{}/system/logs?name={function}&tail=2000", self.url)).await?.expect(200)?;
        Ok(String::from_utf8_lossy(&answer.body).into_owned())
    }

    /// Stops `faasflow up` and all its flows, as Ctrl-C does.
    pub(super) async fn stop(&self) -> Result<ExitStatus, String> {
        self.up.lock().await.terminate(Duration::from_secs(30)).await
    }

    /// Starts a flow of one phase with this name as a single process, which traces to this server.
    pub(super) async fn process(
        &self,
        name: &str,
        trace_server: String,
        settings: &[(&str, &str)],
    ) -> Result<Process, String> {
        let (port, metrics) = (free_port()?, free_port()?);
        let gateway = self.url.trim_start_matches("http://").to_owned();
        let mut environment = tracing(trace_server, metrics);
        environment.extend([
            ("E2E_FLOW", "direct".to_owned()),
            ("workflow_name", name.to_owned()),
            ("gateway", gateway),
            ("host", "127.0.0.1".to_owned()),
            ("port", port.to_string()),
            ("write_timeout", format!("{}s", GRACE.as_secs())),
        ]);
        environment.extend(settings.iter().map(|(name, value)| (*name, (*value).to_owned())));
        let server = Server::start(Recipe {
            program: beside("e2e-flow")?,
            arguments: Vec::new(),
            environment: environment.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
            port,
            ready: None,
            log: self.folder.join(format!("{name}.log")),
        })
        .await?;
        let url = format!("http://127.0.0.1:{port}/");
        Ok(Process { server, client: self.client.clone(), url, metrics })
    }
}

/// The time limit for a flow function to stop: its `write_timeout`.
pub(super) const GRACE: Duration = Duration::from_secs(10);

/// The settings of a flow that traces.
pub(super) fn tracing(server: String, metrics_port: u16) -> Vec<(&'static str, String)> {
    vec![
        ("enable_tracing", "true".to_owned()),
        ("trace_server", server),
        ("metrics_port", metrics_port.to_string()),
        ("write_debug", "false".to_owned()),
    ]
}

/// A flow function as a single process.
pub(super) struct Process {
    pub(super) server: Server,
    client: Client,
    url: String,
    metrics: u16,
}

impl Process {
    pub(super) async fn request(&self, headers: &[(&str, &str)], body: &'static str) -> Result<Answer, String> {
        self.client.send(Method::POST, &self.url, headers, body).await
    }

    pub(super) async fn metric(&self, name: &str) -> Result<f64, String> {
        metric(&self.client, self.metrics, name).await
    }

    /// Asks it to stop. It must end by itself and with success.
    pub(super) async fn stop(&mut self) -> Result<(), String> {
        let status = self.server.terminate(GRACE + Duration::from_secs(5)).await?;
        if status.success() { Ok(()) } else { Err(format!("it ended with {status}: {}", self.server.tail())) }
    }
}

/// The sum of all series of a metric.
async fn metric(client: &Client, port: u16, name: &str) -> Result<f64, String> {
    let answer = client.get(&format!("http://127.0.0.1:{port}/metrics")).await?.expect(200)?;
    let text = String::from_utf8_lossy(&answer.body);
    let series = text
        .lines()
        .filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with('{') || rest.starts_with(' ')));
    Ok(series.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum())
}
