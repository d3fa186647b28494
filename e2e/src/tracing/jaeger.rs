//! Jaeger's server, and traces from its API.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use super::trace::Trace;
use crate::client::Client;
use crate::server::{Recipe, Server, free_port};
use crate::suite::expect;
use crate::tools;

/// The last version that is a single program with flags. Its module replaces others.
const MODULE: &str = "github.com/jaegertracing/jaeger";
const PACKAGE: &str = "github.com/jaegertracing/jaeger/cmd/all-in-one";
const VERSION: &str = "v1.73.0";

/// The time limit for a trace to reach the API. A batch of spans may wait for five seconds.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

pub(super) async fn install() -> Result<PathBuf, String> {
    tools::go_package(MODULE, PACKAGE, VERSION).await
}

/// A server with its traces in memory.
pub(super) struct Jaeger {
    server: tokio::sync::Mutex<Server>,
    client: Client,
    api: String,
    grpc: u16,
    http: u16,
    /// The traces that checks have read, and their numbers of spans.
    looked_at: Mutex<Vec<(String, usize)>>,
}

impl Jaeger {
    pub(super) async fn start(program: &Path, folder: &Path) -> Result<Jaeger, String> {
        let (api, grpc, http) = (free_port()?, free_port()?, free_port()?);
        // The other ports are not used here, and their defaults could be taken.
        let mut arguments = vec!["--log-level=warn".to_owned()];
        for (flag, port) in [
            ("query.http-server", api),
            ("collector.otlp.grpc", grpc),
            ("collector.otlp.http", http),
            ("query.grpc-server", free_port()?),
            ("admin.http", free_port()?),
            ("collector.grpc-server", free_port()?),
            ("collector.http-server", free_port()?),
        ] {
            arguments.push(format!("--{flag}.host-port=127.0.0.1:{port}"));
        }
        let server = Server::start(Recipe {
            program: program.to_owned(),
            arguments,
            environment: vec![("SPAN_STORAGE_TYPE".to_owned(), "memory".to_owned())],
            // The port that it opens last.
            port: api,
            ready: None,
            log: folder.join("jaeger.log"),
        })
        .await?;
        let api = format!("http://127.0.0.1:{api}/api");
        Ok(Jaeger { server: server.into(), client: Client::new(), api, grpc, http, looked_at: Mutex::default() })
    }

    /// The setting `trace_server` for OTLP over gRPC.
    pub(super) fn grpc(&self) -> String {
        format!("127.0.0.1:{}", self.grpc)
    }

    /// The setting `trace_server` for OTLP over HTTP.
    pub(super) fn http(&self) -> String {
        format!("http://127.0.0.1:{}", self.http)
    }

    /// Kills it. Its traces in memory are lost.
    pub(super) async fn kill(&self) -> Result<(), String> {
        self.server.lock().await.kill().await
    }

    /// Restarts it on the same ports.
    pub(super) async fn again(&self) -> Result<(), String> {
        self.server.lock().await.again().await
    }

    fn looked_at(&self) -> MutexGuard<'_, Vec<(String, usize)>> {
        self.looked_at.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Checks that the traces that were read got no more spans afterwards.
    pub(super) async fn expect_no_more(&self) -> Result<(), String> {
        let looked_at = self.looked_at().clone();
        expect(!looked_at.is_empty(), || "no trace was looked at".to_owned())?;
        for (id, spans) in looked_at {
            let now = self.trace(&id).await?.ok_or_else(|| format!("the trace {id} is gone"))?;
            expect(now.spans.len() == spans, || format!("{id} had {spans} spans, and then more:\n{now}"))?;
        }
        Ok(())
    }

    async fn ask(&self, path: &str) -> Result<Value, String> {
        let answer = self.client.get(&format!("{}/{path}", self.api)).await?;
        // Jaeger answers 404 and an empty list for a trace that does not exist yet.
        if !answer.status.is_success() && answer.status != http::StatusCode::NOT_FOUND {
            return Err(format!("Jaeger answered {} to {path}: {}", answer.status, answer.text()));
        }
        serde_json::from_slice(&answer.body).map_err(|error| format!("Jaeger's answer to {path}: {error}"))
    }

    /// The trace of this id in its present state, if there is one.
    pub(super) async fn trace(&self, id: &str) -> Result<Option<Trace>, String> {
        self.ask(&format!("traces/{id}")).await?["data"].get(0).map(Trace::read).transpose()
    }

    /// Waits until the trace of this id has this many spans. If it takes too long, returns the trace as it is.
    pub(super) async fn until(&self, id: &str, spans: usize) -> Result<Trace, String> {
        self.within(PATIENCE, id, spans).await
    }

    pub(super) async fn within(&self, patience: Duration, id: &str, spans: usize) -> Result<Trace, String> {
        let deadline = Instant::now() + patience;
        loop {
            let found = self.trace(id).await?;
            if let Some(trace) = found.as_ref().filter(|trace| trace.spans.len() >= spans) {
                let mut looked_at = self.looked_at();
                looked_at.retain(|(other, _)| other != id);
                looked_at.push((id.to_owned(), trace.spans.len()));
                return Ok(trace.clone());
            }
            if Instant::now() > deadline {
                let found = found.map_or_else(|| "no trace".to_owned(), |trace| trace.to_string());
                return Err(format!("Jaeger does not have {spans} spans of {id} within {patience:?}:\n{found}"));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The traces of a service with this attribute in a span, as the search of its page finds them. Waits until there
    /// is one.
    pub(super) async fn search(&self, service: &str, key: &str, value: &str) -> Result<Vec<Trace>, String> {
        let tags: String = format!(r#"{{"{key}":"{value}"}}"#).bytes().map(|byte| format!("%{byte:02X}")).collect();
        let deadline = Instant::now() + PATIENCE;
        loop {
            let found = self.ask(&format!("traces?service={service}&tags={tags}")).await?;
            let found = found["data"].as_array().map(Vec::as_slice).unwrap_or_default();
            if !found.is_empty() {
                return found.iter().map(Trace::read).collect();
            }
            if Instant::now() > deadline {
                return Err(format!("Jaeger finds no trace of {service} with {key}={value} within {PATIENCE:?}"));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The services with spans.
    pub(super) async fn services(&self) -> Result<Vec<String>, String> {
        let found = self.ask("services").await?;
        let found = found["data"].as_array().cloned().unwrap_or_default();
        Ok(found.iter().filter_map(|name| name.as_str().map(str::to_owned)).collect())
    }
}
