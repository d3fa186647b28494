//! The same with Podman, where it may behave differently from Docker.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::Method;
use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::stand::Stand;
use crate::image::podman::{PLAIN, Podman};
use crate::suite::{Suite, expect};

/// Runs the checks on the suite's Podman.
pub(in crate::image) async fn run(suite: &Suite) -> Result<(), String> {
    suite.heading("Functions that are images, with Podman");
    let podman = Podman::start(suite).await?;
    let stand = Arc::new(Stand::start(&podman.client(), "podman", 8094).await?);
    let podman = Arc::new(Mutex::new(podman));
    suite.check("environment, secret, limits, a read-only root, logs", made(stand.clone())).await;
    suite.check("a container reaches functions, and not the gateway's API", gateway(stand.clone())).await;
    suite.check("killed: how it ended is told, and another comes", killed(stand.clone())).await;
    suite.check("paused: no requests, until it goes on", paused(stand.clone())).await;
    suite.check("several, none, and back on demand", scaled(stand.clone())).await;
    suite.check("a restart of Podman's service", restarted(stand.clone(), podman.clone())).await;
    suite.check("what a killed gateway leaves is removed; a stop leaves nothing", left(stand.clone())).await;
    drop(stand);
    match Arc::try_unwrap(podman) {
        Ok(podman) => podman.into_inner().stop(),
        Err(_) => Err("a check of Podman goes on".to_owned()),
    }
}

fn plain(name: &str) -> Value {
    json!({ "service": name, "image": PLAIN })
}

async fn made(stand: Arc<Stand>) -> Result<(), String> {
    let secret = json!({ "name": "pod-key", "value": "secret" });
    stand.ask(Method::POST, "/system/secrets", &secret).await?.expect(202)?;
    let mut deployment = plain("made");
    deployment["envVars"] = json!({ "port": "9000" });
    deployment["labels"] = json!({ "own": "label" });
    deployment["secrets"] = json!(["pod-key"]);
    deployment["limits"] = json!({ "memory": "64Mi", "cpu": "500m" });
    deployment["readOnlyRootFilesystem"] = true.into();
    stand.serve(&deployment).await?;
    let wrote = stand.text("made/write?folder=/", "").await?;
    expect(wrote.contains("read-only file system"), || wrote.clone())?;
    let wrote = stand.text("made/write?folder=/tmp", "").await?;
    expect(wrote.contains("nil"), || wrote.clone())?;
    let id = stand.containers("made").await?.remove(0);
    let format = "{{.HostConfig.Memory}} {{.HostConfig.CpuQuota}} {{index .Config.Labels \"own\"}} \
                  {{range .Mounts}}{{.Destination}}{{end}}";
    let inspected = stand.docker.run(&["inspect", "--format", format, &id]).await?;
    expect(inspected.starts_with("67108864 50000 label") && inspected.contains("/var/openfaas/secrets"), || {
        inspected.clone()
    })?;
    stand.remove("made").await?;
    stand.until_containers("made", 0).await.map(drop)
}

async fn gateway(stand: Arc<Stand>) -> Result<(), String> {
    stand.serve(&plain("answers")).await?;
    stand.serve(&plain("asks")).await?;
    let own = stand.text("answers/hostname", "").await?;
    let asked = stand.text("asks/gateway?path=/function/answers/hostname", "").await?;
    expect(asked == own, || format!("through the gateway: {asked}"))?;
    let api = stand.invoke("asks/gateway?path=/system/functions", "").await?;
    expect(api.status.as_u16() == 404, || format!("{}: {}", api.status, api.text()))?;
    stand.remove("asks").await?;
    stand.remove("answers").await
}

/// Waits until a function has one container that is new and accepts requests.
async fn replaced(stand: &Stand, name: &str, before: &str) -> Result<(), String> {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let now = stand.containers(name).await?;
        if now.len() == 1 && now[0] != before && stand.status(name).await?["availableReplicas"] == 1 {
            return Ok(());
        }
        expect(Instant::now() < deadline, || format!("{before} is not replaced: {now:?}"))?;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn killed(stand: Arc<Stand>) -> Result<(), String> {
    stand.serve(&plain("dies")).await?;
    let id = stand.containers("dies").await?.remove(0);
    stand.docker.run(&["kill", &id]).await?;
    replaced(&stand, "dies", &id).await?;
    let log = stand.tail().await;
    expect(log.contains("it ended with status 137"), || log.clone())?;
    stand.remove("dies").await
}

async fn paused(stand: Arc<Stand>) -> Result<(), String> {
    stand.serve(&plain("rests")).await?;
    let id = stand.containers("rests").await?.remove(0);
    stand.docker.run(&["pause", &id]).await?;
    stand.until("rests", "unavailable", |status| status["availableReplicas"] == 0).await?;
    let answer = stand.invoke("rests/hostname", "").await?.expect(503)?;
    expect(answer.text().contains("is paused"), || answer.text())?;
    stand.docker.run(&["unpause", &id]).await?;
    stand.until("rests", "available", |status| status["availableReplicas"] == 1).await?;
    stand.text("rests/hostname", "").await?;
    stand.remove("rests").await
}

async fn scaled(stand: Arc<Stand>) -> Result<(), String> {
    stand.serve(&plain("many")).await?;
    stand.scale("many", 3).await?.expect(202)?;
    stand.until("many", "three", |status| status["availableReplicas"] == 3).await?;
    stand.scale("many", 0).await?.expect(202)?;
    stand.until_containers("many", 0).await?;
    stand.text("many/hostname", "").await?;
    stand.until_containers("many", 1).await?;
    stand.remove("many").await
}

async fn restarted(stand: Arc<Stand>, podman: Arc<Mutex<Podman>>) -> Result<(), String> {
    stand.serve(&plain("stays")).await?;
    let before = stand.containers("stays").await?;
    podman.lock().await.restart()?;
    stand.text("stays/hostname", "").await?;
    // The gateway looks again later.
    tokio::time::sleep(Duration::from_secs(3)).await;
    expect(stand.containers("stays").await? == before, || format!("{before:?} is gone"))?;
    stand.docker.run(&["kill", &before[0]]).await?;
    replaced(&stand, "stays", &before[0]).await?;
    stand.remove("stays").await
}

async fn left(stand: Arc<Stand>) -> Result<(), String> {
    stand.serve(&plain("last")).await?;
    let before = stand.containers("last").await?.remove(0);
    stand.kill().await?;
    stand.again().await?;
    replaced(&stand, "last", &before).await?;
    let took = stand.stop().await?;
    expect(took < Duration::from_secs(12), || format!("the stop took {took:?}"))?;
    stand.until_containers("last", 0).await.map(drop)
}
