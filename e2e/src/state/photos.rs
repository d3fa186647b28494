//! The asynchronous photo pipeline with state and payloads in the backend.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use faasflow_core::headers;
use faasflow_gateway::stack::Kind;
use faasflow_gateway::{GatewayOptions, RunningGateway, Stack};
use faasflow_http::{HttpClient, read_body};
use tokio::sync::mpsc::unbounded_channel;

use super::backend::Backend;
use super::large::reports;
use crate::suite::Suite;

/// Each photo, and how its request must end.
const PHOTOS: [(&str, &str); 4] = [
    ("portrait.jpg", "success"),
    ("portrait-bw.jpg", "success"),
    ("two-faces.jpg", "failure"),
    ("rocket.jpg", "failure"),
];
/// How long the check may take, which builds the functions first.
const BUILD: Duration = Duration::from_secs(1200);
/// No photo fits into an envelope of this size.
const ENVELOPE_LIMIT: &str = "20000";

pub(super) async fn run(suite: &Suite, backend: &Arc<Backend>) {
    let name = "the asynchronous photo pipeline, with envelopes too small for a photo";
    suite.check_within(BUILD, name, photos(backend.clone())).await;
}

async fn photos(backend: Arc<Backend>) -> Result<(), String> {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/upload-pipeline");
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let gateway = start(&backend, &example, folder.path()).await?;
    gateway.ready().await.map_err(|error| error.to_string())?;
    let (report, mut reports, _reporting) = reports().await?;
    let client = HttpClient::new(Duration::from_secs(5));
    let mut faults = Vec::new();
    for (photo, expected) in PHOTOS {
        let body = std::fs::read(example.join("photos").join(photo)).map_err(|error| error.to_string())?;
        let request = http::Request::post(format!("{}/function/upload-pipeline-async?file={photo}", gateway.url()))
            .header(headers::CALLBACK_URL, &report)
            .header("content-type", "image/jpeg")
            .body(Bytes::from(body).into())
            .map_err(|error| error.to_string())?;
        client.send(request).await.map_err(|error| error.to_string())?;
        let end = tokio::time::timeout(Duration::from_secs(60), reports.recv()).await;
        let (outcome, body) = end.map_err(|_| format!("{photo}: no end in time"))?.ok_or("no report")?;
        if outcome != expected {
            faults.push(format!("{photo}: {outcome}: {:.200}", String::from_utf8_lossy(&body)));
        }
        if expected == "success" {
            let stored = get(&client, &format!("{}/function/file-storage/{photo}", gateway.url())).await?;
            if !stored.starts_with(&[0xff, 0xd8, 0xff]) {
                faults.push(format!("{photo}: what file-storage has is no JPEG"));
            }
        }
    }
    gateway.stop().await;
    if faults.is_empty() { Ok(()) } else { Err(faults.join("; ")) }
}

async fn start(backend: &Backend, example: &Path, folder: &Path) -> Result<RunningGateway, String> {
    let mut stack = Stack::read(example).map_err(|error| error.to_string())?;
    let (settings, secrets) = backend.settings();
    if let Some(flow) = stack.functions.get_mut("upload-pipeline-async") {
        let settings = settings.into_iter().chain([("envelope_limit", ENVELOPE_LIMIT.to_owned())]);
        flow.environment.extend(settings.map(|(name, value)| (name.to_owned(), value)));
        flow.secrets.extend(secrets.iter().map(|(name, _)| (*name).to_owned()));
        let program = std::env::current_exe().map_err(|error| error.to_string())?.with_file_name("e2e-photos-flow");
        flow.kind = Kind::Program(vec![program.to_string_lossy().into_owned()]);
    }
    if let Some(storage) = stack.functions.get_mut("file-storage") {
        storage.environment.insert("storage_dir".to_owned(), folder.join("storage").to_string_lossy().into_owned());
    }
    let place = folder.join("state/secrets");
    std::fs::create_dir_all(&place).map_err(|error| error.to_string())?;
    for (name, text) in secrets {
        std::fs::write(place.join(name), text).map_err(|error| error.to_string())?;
    }
    let mut options = GatewayOptions::new(stack);
    options.listen = ([127, 0, 0, 1], 0).into();
    options.state_dir = folder.join("state");
    options.watch = false;
    let (events, _) = unbounded_channel();
    options.start(events).await.map_err(|error| error.to_string())
}

async fn get(client: &HttpClient, url: &str) -> Result<Bytes, String> {
    let request = http::Request::get(url).body(axum::body::Body::empty()).map_err(|error| error.to_string())?;
    let response = client.send(request).await.map_err(|error| error.to_string())?;
    read_body(response.into_body(), 1 << 24, Duration::from_secs(10)).await.map_err(|error| error.to_string())
}
