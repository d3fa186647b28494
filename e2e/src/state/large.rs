//! Sends 60 MB through an asynchronous flow of five phases, on a gateway whose queue accepts 256,000 bytes. The flow
//! function is a separate process, so that its memory can be measured.

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::routing::post;
use bytes::Bytes;
use faasflow_core::headers;
use faasflow_gateway::{GatewayOptions, RunningGateway, Stack};
use faasflow_http::{HttpClient, ServerOptions, read_body, serve as serve_http};
use http::HeaderMap;
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio_util::task::AbortOnDropHandle;

use super::backend::Backend;
use super::flows::payload;
use crate::server::free_port;
use crate::suite::Suite;

const SIZE: usize = 60_000_000;

pub(super) async fn run(suite: &Suite, backend: &Arc<Backend>) {
    suite.check("60 MB through five phases, in memory for less than three of it", large(backend.clone())).await;
    suite.check("a flow function with wrong credentials does not start, and says why", refused(backend.clone())).await;
}

/// A server on any free port.
async fn listen(router: Router) -> Result<(String, AbortOnDropHandle<()>), String> {
    let listener = TcpListener::bind("127.0.0.1:0").await.map_err(|error| error.to_string())?;
    let address = listener.local_addr().map_err(|error| error.to_string())?;
    let serving = tokio::spawn(async move {
        let _ = serve_http(listener, router, ServerOptions::default(), std::future::pending()).await;
    });
    Ok((format!("http://{address}/"), AbortOnDropHandle::new(serving)))
}

/// Receives the report of a request: outcome and payload.
async fn report_to(
    State(heard): State<UnboundedSender<(String, Bytes)>>,
    headers: HeaderMap,
    request: axum::extract::Request,
) {
    let body = read_body(request.into_body(), u64::MAX, Duration::from_secs(60)).await.unwrap_or_default();
    let outcome = headers.get(headers::OUTCOME).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let _ = heard.send((outcome, body));
}

pub(super) async fn reports() -> Result<(String, UnboundedReceiver<(String, Bytes)>, AbortOnDropHandle<()>), String> {
    let (heard, reports) = unbounded_channel();
    let (url, serving) = listen(Router::new().route("/", post(report_to)).with_state(heard)).await?;
    Ok((url, reports, serving))
}

async fn gateway(folder: &Path, echo: &str, flow_port: u16) -> Result<RunningGateway, String> {
    let stack = format!(
        "functions:\n  echo:\n    annotations: {{ faasflow.url: '{echo}' }}\n  large:\n    annotations: \
         {{ faasflow.url: 'http://127.0.0.1:{flow_port}' }}\n"
    );
    std::fs::write(folder.join("stack.yml"), stack).map_err(|error| error.to_string())?;
    let stack = Stack::read(folder).map_err(|error| error.to_string())?;
    let mut options = GatewayOptions::new(stack);
    options.listen = ([127, 0, 0, 1], 0).into();
    let (events, _) = unbounded_channel();
    options.start(events).await.map_err(|error| error.to_string())
}

/// Starts the flow function, whose program is beside this one.
fn flow_process(
    folder: &Path,
    backend: &Backend,
    gateway: &str,
    port: u16,
    password: Option<&str>,
) -> Result<Child, String> {
    let secrets = folder.join("secrets");
    std::fs::create_dir_all(&secrets).map_err(|error| error.to_string())?;
    let (settings, mut texts) = backend.settings();
    texts.push(("faasflow-hmac-secret", "a key".to_owned()));
    for (name, mut text) in texts {
        if let Some(password) = password {
            text = text.replace("e2e-secret-key", password);
        }
        std::fs::write(secrets.join(name), text).map_err(|error| error.to_string())?;
    }
    let program = std::env::current_exe().map_err(|error| error.to_string())?.with_file_name("e2e-large-flow");
    Command::new(program)
        .env("workflow_name", "large")
        .env("gateway", gateway)
        .env("host", "127.0.0.1")
        .env("port", port.to_string())
        .env("secret_mount_path", &secrets)
        .envs(settings)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(if password.is_some() { Stdio::piped() } else { Stdio::null() })
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| error.to_string())
}

async fn large(backend: Arc<Backend>) -> Result<(), String> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let echo = Router::new().fallback(|request: axum::extract::Request| async move { request.into_body() });
    let (echo, _echoing) = listen(echo).await?;
    let (report, mut reports, _reporting) = reports().await?;
    let port = free_port()?;
    let gateway = gateway(folder.path(), &echo, port).await?;
    let flow = flow_process(folder.path(), &backend, &gateway.url(), port, None)?;
    let client = HttpClient::new(Duration::from_secs(5));
    until_healthy(&client, port).await?;

    let sent = payload(SIZE, 9);
    let request = http::Request::post(format!("{}/function/large", gateway.url()))
        .header(headers::CALLBACK_URL, report)
        .body(sent.clone().into())
        .map_err(|error| error.to_string())?;
    let response = client.send(request).await.map_err(|error| error.to_string())?;
    if response.status() != 202 {
        let status = response.status();
        let text = read_body(response.into_body(), 10_000, Duration::from_secs(5)).await.unwrap_or_default();
        return Err(format!("it was answered with {status}: {}", String::from_utf8_lossy(&text)));
    }
    let end = tokio::time::timeout(Duration::from_secs(120), reports.recv()).await;
    let (outcome, body) = end.map_err(|_| "the end was not reported in time")?.ok_or("the end was not reported")?;
    let peak = peak_memory(flow.id().ok_or("the flow function has ended")?)?;
    gateway.stop().await;
    if outcome != "success" || body != sent {
        return Err(format!(
            "{outcome}: {} bytes: {:.200}",
            body.len(),
            String::from_utf8_lossy(&body[..body.len().min(200)])
        ));
    }
    let ratio = peak as f64 / SIZE as f64;
    println!(
        "          (the flow function's memory at its peak: {:.1} MB, {ratio:.2} times the payload)",
        peak as f64 / 1e6
    );
    if ratio < 3.0 { Ok(()) } else { Err(format!("the flow function took {peak} bytes, {ratio:.2} times the payload")) }
}

async fn refused(backend: Arc<Backend>) -> Result<(), String> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let flow = flow_process(folder.path(), &backend, "127.0.0.1:1", free_port()?, Some("not-the-password"))?;
    let output = tokio::time::timeout(Duration::from_secs(30), flow.wait_with_output()).await;
    let output = output.map_err(|_| "it goes on running")?.map_err(|error| error.to_string())?;
    let errors = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() && errors.contains("access is denied") && !errors.contains("not-the-password") {
        Ok(())
    } else {
        Err(format!("it ended with {} and said: {errors}", output.status))
    }
}

async fn until_healthy(client: &HttpClient, port: u16) -> Result<(), String> {
    for _ in 0..2400 {
        let request = http::Request::get(format!("http://127.0.0.1:{port}/_/health")).body(axum::body::Body::empty());
        let request = request.map_err(|error| error.to_string())?;
        if client.send(request).await.is_ok_and(|response| response.status().is_success()) {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Err("the flow function does not get healthy".to_owned())
}

/// The peak resident memory of a process, in bytes.
fn peak_memory(id: u32) -> Result<u64, String> {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).map_err(|error| error.to_string())?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("there is no VmHWM in its status")?;
    let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse().map_err(|_| format!("VmHWM is {line}"))?;
    Ok(kilobytes * 1024)
}
