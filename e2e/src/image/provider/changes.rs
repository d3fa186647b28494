//! Updates, ends, kills and leftovers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use http::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::stand::Stand;
use crate::docker::stand_ins::functions::{PLAIN, WATCHDOG};
use crate::suite::{Suite, expect};

pub(super) async fn run(suite: &Suite, stand: &Arc<Stand>) {
    suite.check("replaced under a load without a failed request", replaced(stand.clone())).await;
    suite.check("scaled up and down under a load without a failed request", scaled(stand.clone())).await;
    suite.check("requests are spread over several containers", spread(stand.clone())).await;
    suite.check("one that ends is started again, after ever longer", ends(stand.clone())).await;
    suite.check("kill -9 of a container, and its removal or restart by somebody else", killed(stand.clone())).await;
    suite
        .check(
            "a killed gateway's containers are removed, another gateway's are not, and secrets are there again",
            leftovers(stand.clone()),
        )
        .await;
    suite.check("nothing is left after the stop", stopped(stand.clone())).await;
}

fn plain(name: &str) -> Value {
    json!({ "service": name, "image": PLAIN })
}

/// Sends requests without a pause, from four callers.
struct Load {
    over: Arc<AtomicBool>,
    callers: JoinSet<Result<u64, String>>,
}

impl Load {
    fn start(stand: &Arc<Stand>, target: &'static str) -> Load {
        let over = Arc::new(AtomicBool::new(false));
        let mut callers = JoinSet::new();
        for _ in 0..4 {
            let (stand, over) = (stand.clone(), over.clone());
            callers.spawn(async move {
                let mut answered = 0;
                while !over.load(Ordering::Relaxed) {
                    stand.invoke(target, "").await?.expect(200)?;
                    answered += 1;
                }
                Ok(answered)
            });
        }
        Load { over, callers }
    }

    /// The number of answers. All must be successes.
    async fn end(mut self) -> Result<u64, String> {
        self.over.store(true, Ordering::Relaxed);
        let mut answered = 0;
        while let Some(caller) = self.callers.join_next().await {
            answered += caller.map_err(|error| error.to_string())??;
        }
        Ok(answered)
    }
}

async fn replaced(stand: Arc<Stand>) -> Result<(), String> {
    stand.serve(&plain("swap")).await?;
    let load = Load::start(&stand, "swap/slow?wait=20ms");
    for version in 1..=3 {
        let before = stand.containers("swap").await?;
        let mut next = plain("swap");
        next["envVars"] = json!({ "version": version.to_string() });
        stand.deploy(&next).await?;
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let now = stand.containers("swap").await?;
            if now.len() == 1 && now != before {
                break;
            }
            expect(Instant::now() < deadline, || format!("{before:?} is not replaced: {now:?}"))?;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    let answered = load.end().await?;
    expect(answered > 100, || format!("only {answered} requests"))?;
    println!("          {answered} requests during three replacements, all answered with 200");
    stand.remove("swap").await
}

async fn scaled(stand: Arc<Stand>) -> Result<(), String> {
    stand.serve(&plain("wide")).await?;
    let load = Load::start(&stand, "wide/slow?wait=20ms");
    for count in [3, 1, 2, 1] {
        stand.scale("wide", count).await?.expect(202)?;
        stand.until("wide", "scaled", |status| status["availableReplicas"] == count).await?;
        stand.until_containers("wide", count as usize).await?;
    }
    let answered = load.end().await?;
    println!("          {answered} requests while it had 1, 3, 1, 2 and 1 containers, all answered with 200");
    stand.remove("wide").await
}

async fn spread(stand: Arc<Stand>) -> Result<(), String> {
    let mut deployment = plain("spread");
    deployment["labels"] = json!({ "com.openfaas.scale.min": "3" });
    stand.deploy(&deployment).await?;
    stand.until("spread", "whole", |status| status["availableReplicas"] == 3).await?;
    let mut calls = JoinSet::new();
    for _ in 0..30 {
        let stand = stand.clone();
        calls.spawn(async move { stand.text("spread/slow?wait=500ms", "").await });
    }
    let mut by_host = BTreeMap::<String, u32>::new();
    while let Some(call) = calls.join_next().await {
        *by_host.entry(call.map_err(|error| error.to_string())??).or_default() += 1;
    }
    expect(by_host.len() == 3 && by_host.values().all(|&count| count == 10), || format!("{by_host:?}"))?;
    stand.remove("spread").await
}

async fn ends(stand: Arc<Stand>) -> Result<(), String> {
    stand.serve(&plain("ends")).await?;
    for _ in 0..2 {
        let before = stand.containers("ends").await?;
        let answer = stand.invoke("ends/end", "").await?;
        expect(answer.status.is_server_error(), || format!("it was answered with {}", answer.status))?;
        // The engine notices after a moment. Until then, requests still go to the old container.
        let deadline = Instant::now() + Duration::from_secs(30);
        while stand.invoke("ends/hostname", "").await?.status.as_u16() != 200 {
            expect(Instant::now() < deadline, || "the new one does not serve".to_owned())?;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let now = stand.until_containers("ends", 1).await?;
        expect(now != before, || "it is the old one".to_owned())?;
    }
    let log = stand.log("ends").await?;
    expect(log.matches("told to end").count() == 2, || log.clone())?;
    stand.remove("ends").await
}

async fn killed(stand: Arc<Stand>) -> Result<(), String> {
    stand.serve(&plain("killed")).await?;
    for by in [&["kill", "--signal", "KILL"][..], &["rm", "--force"], &["restart", "--time", "1"]] {
        let before = stand.until_containers("killed", 1).await?.remove(0);
        stand.docker.run(&[by, &[&before]].concat()).await?;
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let now = stand.containers("killed").await?;
            if now.len() == 1 && now[0] != before && stand.status("killed").await?["availableReplicas"] == 1 {
                break;
            }
            expect(Instant::now() < deadline, || format!("after {by:?}: {now:?}"))?;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        stand.text("killed/hostname", "").await?;
    }
    stand.remove("killed").await
}

async fn leftovers(stand: Arc<Stand>) -> Result<(), String> {
    let other = Stand::start(&stand.docker, "other", 8091).await?;
    other.serve(&plain("theirs")).await?;
    let theirs = other.until_containers("theirs", 1).await?;
    stand.serve(&plain("stays")).await?;
    let secret = json!({ "name": "kept", "value": "still there" });
    stand.ask(Method::POST, "/system/secrets", &secret).await?.expect(202)?;
    let mut reads = json!({ "service": "reads", "image": WATCHDOG, "envProcess": "cat /var/openfaas/secrets/kept" });
    reads["secrets"] = json!(["kept"]);
    stand.serve(&reads).await?;
    let mut echo = json!({ "service": "echo", "image": WATCHDOG, "envProcess": "cat" });
    echo["labels"] = json!({ "com.openfaas.scale.min": "2" });
    stand.serve(&echo).await?;
    stand.until("echo", "whole", |status| status["availableReplicas"] == 2).await?;
    let before = [stand.until_containers("stays", 1).await?, stand.until_containers("echo", 2).await?].concat();
    stand.kill().await?;
    let left = stand.docker.run(&["ps", "--quiet"]).await?;
    expect(before.iter().all(|id| left.contains(id.as_str())), || format!("after the kill: {left}"))?;
    stand.again().await?;
    stand.until("echo", "back", |status| status["availableReplicas"] == 2).await?;
    stand.until("stays", "back", |status| status["availableReplicas"] == 1).await?;
    let now = stand.docker.run(&["ps", "--all", "--quiet"]).await?;
    expect(!before.iter().any(|id| now.contains(id.as_str())), || format!("{before:?} of {now}"))?;
    stand.until("reads", "back", |status| status["availableReplicas"] == 1).await?;
    let read = stand.text("reads", "").await?;
    expect(read == "still there", || format!("after the restart, the secret is {read:?}"))?;
    stand.remove("reads").await?;
    expect(other.containers("theirs").await? == theirs, || "another gateway's container was removed".to_owned())?;
    other.text("theirs/hostname", "").await?;
    other.stop().await?;
    other.until_containers("theirs", 0).await?;
    stand.remove("stays").await?;
    stand.remove("echo").await
}

async fn stopped(stand: Arc<Stand>) -> Result<(), String> {
    stand.serve(&plain("last")).await?;
    let waits = {
        let stand = stand.clone();
        tokio::spawn(async move { stand.invoke("last/slow?wait=2s", "").await })
    };
    tokio::time::sleep(Duration::from_millis(500)).await;
    let took = stand.stop().await?;
    let answer = waits.await.map_err(|error| error.to_string())??;
    expect(answer.status.as_u16() == 200, || format!("what was under way was answered with {}", answer.status))?;
    let left = stand.containers("last").await?;
    expect(left.is_empty(), || format!("left are {left:?}"))?;
    expect(took < Duration::from_secs(20), || format!("the stop took {took:?}"))?;
    let mounts = std::fs::read_dir(stand.folder().join(".faasflow/mounts")).map_or(0, Iterator::count);
    expect(mounts == 0, || format!("{mounts} folders of secrets are left"))?;
    // Deployed functions are there again after the next start.
    stand.again().await?;
    stand.until("last", "back", |status| status["availableReplicas"] == 1).await?;
    stand.ask(Method::GET, "/healthz", &Value::Null).await?.expect(200)?;
    stand.stop().await.map(drop)
}
