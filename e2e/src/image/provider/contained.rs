//! What a function's container has, and what it may do.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::Method;
use serde_json::{Value, json};

use super::stand::Stand;
use crate::docker::stand_ins::functions::{BROKEN, CHECKED, PLAIN, WATCHDOG};
use crate::suite::{Suite, expect};

pub(super) async fn run(suite: &Suite, stand: &Arc<Stand>) {
    suite.check("faas-cli up, list, describe, invoke, logs, remove, word for word", word_for_word(stand.clone())).await;
    suite.check("no request before it is ready", readiness(stand.clone())).await;
    suite.check("a server without a watchdog, on a port of its own", without_a_watchdog(stand.clone())).await;
    suite.check("an image's health check: waited for, and heeded later", health_check(stand.clone())).await;
    suite.check("limits and requests", limits(stand.clone())).await;
    suite.check("a read-only root, with a writable /tmp", read_only(stand.clone())).await;
    suite.check("a container reaches functions, and not the gateway's API", gateway(stand.clone())).await;
    suite.check("what it uses is told", usage(stand.clone())).await;
    suite.check("errors: no such image, no such program, nothing listens", faults(stand.clone())).await;
}

fn plain(name: &str, image: &str) -> Value {
    json!({ "service": name, "image": image })
}

async fn word_for_word(stand: Arc<Stand>) -> Result<(), String> {
    let write = |file: &str, text: &str| {
        let path = stand.folder().join(file);
        std::fs::create_dir_all(path.parent().unwrap_or(&path)).map_err(|error| error.to_string())?;
        std::fs::write(&path, text).map_err(|error| error.to_string())
    };
    // A template like those of other languages. Its program is on this machine as well, but the image takes precedence.
    let template =
        |process: &str| write("template/echo/template.yml", &format!("language: echo\nfprocess: {process}\n"));
    template("cat")?;
    write("template/echo/Dockerfile", &format!("FROM {WATCHDOG}\nCOPY function /function\n"))?;
    write("shout/handler.txt", "of the handler")?;
    let stack = "version: 1.0\nprovider:\n  name: openfaas\n  gateway: http://127.0.0.1:8080\nfunctions:\n  shout:\n    \
                 lang: echo\n    handler: ./shout\n    image: shout:latest\n    labels:\n      team: a\n";
    write("shout.yml", stack)?;
    let gateway = stand.url.clone();
    let printed = stand.faas_cli(&format!("up --skip-push -f shout.yml --gateway {gateway}")).await?;
    expect(printed.contains("Deployed. 202 Accepted."), || printed.clone())?;
    stand.until("shout", "ready", |status| status["availableReplicas"] == 1).await?;
    let printed = stand.faas_cli("list").await?;
    expect(printed.contains("shout"), || printed.clone())?;
    let printed = stand.faas_cli("describe shout").await?;
    expect(printed.contains("Ready") && printed.contains("shout:latest") && printed.contains("team"), || {
        printed.clone()
    })?;
    expect(stand.text("shout", "hello").await? == "hello", || "it does not echo".to_owned())?;
    // A line passes through the engine, which takes a moment.
    let deadline = Instant::now() + Duration::from_secs(30);
    while !stand.faas_cli("logs shout --tail=false").await?.contains("Forking fprocess") {
        expect(Instant::now() < deadline, || "the log has nothing of the watchdog's".to_owned())?;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // Build it again with another program, and deploy it over the old one.
    template("cat /function/handler.txt")?;
    stand.faas_cli(&format!("up --skip-push -f shout.yml --gateway {gateway}")).await?;
    let deadline = Instant::now() + Duration::from_secs(30);
    while stand.text("shout", "").await? != "of the handler" {
        expect(Instant::now() < deadline, || "the new image does not serve".to_owned())?;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    stand.faas_cli("remove shout").await?;
    stand.until_containers("shout", 0).await.map(drop)
}

async fn readiness(stand: Arc<Stand>) -> Result<(), String> {
    let mut deployment = plain("late", WATCHDOG);
    deployment["envProcess"] = "cat".into();
    deployment["envVars"] = json!({ "delay": "2s" });
    let begun = Instant::now();
    stand.deploy(&deployment).await?;
    // The request waits for the container, and does not reach one that is not ready.
    let text = stand.text("late", "body").await?;
    let took = begun.elapsed();
    expect(text == "body" && took >= Duration::from_secs(2), || format!("{text} after {took:?}"))?;
    stand.remove("late").await
}

async fn without_a_watchdog(stand: Arc<Stand>) -> Result<(), String> {
    let mut deployment = plain("bare", PLAIN);
    deployment["envVars"] = json!({ "port": "9000" });
    stand.serve(&deployment).await?;
    let name = stand.text("bare/hostname", "").await?;
    let ids = stand.containers("bare").await?;
    expect(ids.iter().any(|id| id.starts_with(&name[..12])), || format!("{name} is none of {ids:?}"))?;
    let published = stand.docker.run(&["port", &ids[0]]).await?;
    expect(published.starts_with("9000/tcp -> 127.0.0.1:"), || published.clone())?;
    stand.remove("bare").await
}

async fn health_check(stand: Arc<Stand>) -> Result<(), String> {
    stand.serve(&plain("checked", CHECKED)).await?;
    let before = stand.containers("checked").await?;
    let health = stand.docker.run(&["inspect", "--format", "{{.State.Health.Status}}", &before[0]]).await?;
    expect(health == "healthy", || format!("it took requests while it was {health}"))?;
    stand.text("checked/fall-sick", "").await?;
    let deadline = Instant::now() + Duration::from_secs(40);
    loop {
        let now = stand.containers("checked").await?;
        if now.len() == 1 && now != before && stand.status("checked").await?["availableReplicas"] == 1 {
            break;
        }
        expect(Instant::now() < deadline, || format!("{before:?} is not replaced: {now:?}"))?;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    stand.remove("checked").await
}

async fn limits(stand: Arc<Stand>) -> Result<(), String> {
    let mut deployment = plain("limited", PLAIN);
    deployment["limits"] = json!({ "memory": "64Mi", "cpu": "500m" });
    deployment["requests"] = json!({ "memory": "16Mi", "cpu": "0.1" });
    stand.serve(&deployment).await?;
    let id = stand.containers("limited").await?.remove(0);
    let format = "{{.HostConfig.Memory}} {{.HostConfig.MemorySwap}} {{.HostConfig.MemoryReservation}} \
                  {{.HostConfig.CpuQuota}} {{.HostConfig.CpuShares}}";
    let inspected = stand.docker.run(&["inspect", "--format", format, &id]).await?;
    expect(inspected == "67108864 67108864 16777216 50000 102", || inspected.clone())?;
    // The limits in the kernel, if the container can see them.
    let seen = stand.text("limited/cgroup", "").await?;
    let memory = seen.lines().find(|line| line.starts_with("memory"));
    expect(memory.is_none_or(|line| line.ends_with(" 67108864")), || seen.clone())?;
    // Docker requires at least 6 MiB, and the log says so.
    let mut small = plain("small", PLAIN);
    small["limits"] = json!({ "memory": "5Mi" });
    stand.deploy(&small).await?;
    stand.until_containers("small", 1).await?;
    let log = stand.log("small").await?;
    expect(log.contains("raised to 6291456"), || log.clone())?;
    let wrong = json!({ "service": "wrong", "image": PLAIN, "limits": { "memory": "a lot" } });
    let answer = stand.ask(Method::POST, "/system/functions", &wrong).await?.expect(400)?;
    expect(answer.text().contains("`a lot` is not an amount of memory"), || answer.text())?;
    stand.remove("limited").await?;
    stand.remove("small").await
}

async fn read_only(stand: Arc<Stand>) -> Result<(), String> {
    // Its user is root, which may write everywhere.
    stand.serve(&plain("writes", CHECKED)).await?;
    let wrote = stand.text("writes/write?folder=/", "").await?;
    expect(wrote.contains("nil"), || format!("without it: {wrote}"))?;
    let mut deployment = plain("writes", CHECKED);
    deployment["readOnlyRootFilesystem"] = true.into();
    let before = stand.containers("writes").await?;
    stand.deploy(&deployment).await?;
    let deadline = Instant::now() + Duration::from_secs(30);
    while stand.containers("writes").await?.iter().any(|id| before.contains(id)) {
        expect(Instant::now() < deadline, || "the old one goes on".to_owned())?;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let wrote = stand.text("writes/write?folder=/", "").await?;
    expect(wrote.contains("read-only file system"), || format!("with it: {wrote}"))?;
    let wrote = stand.text("writes/write?folder=/tmp", "").await?;
    expect(wrote.contains("nil"), || format!("in /tmp: {wrote}"))?;
    stand.remove("writes").await
}

async fn gateway(stand: Arc<Stand>) -> Result<(), String> {
    let mut echo = plain("echo", WATCHDOG);
    echo["envProcess"] = "cat".into();
    stand.serve(&echo).await?;
    stand.serve(&plain("asks", PLAIN)).await?;
    let echoed = stand.text("asks/gateway?path=/function/echo", "through the gateway").await?;
    expect(echoed == "through the gateway", || echoed.clone())?;
    stand.invoke("asks/gateway?path=/async-function/echo", "later").await?.expect(202)?;
    let api = stand.invoke("asks/gateway?path=/system/functions", "").await?;
    expect(api.status.as_u16() == 404, || format!("{}: {}", api.status, api.text()))?;
    stand.remove("asks").await?;
    stand.remove("echo").await
}

async fn usage(stand: Arc<Stand>) -> Result<(), String> {
    stand.serve(&plain("used", PLAIN)).await?;
    let answer = stand.ask(Method::GET, "/system/function/used?usage=1", &Value::Null).await?.expect(200)?;
    let status: Value = serde_json::from_slice(&answer.body).map_err(|error| error.to_string())?;
    let bytes = status["usage"]["totalMemoryBytes"].as_u64().unwrap_or(0);
    expect((500_000..500_000_000).contains(&bytes), || status.to_string())?;
    stand.remove("used").await
}

async fn faults(stand: Arc<Stand>) -> Result<(), String> {
    // It would have to be pulled, which is impossible here.
    let absent = plain("absent", "faasflow-e2e/absent:1");
    let answer = stand.ask(Method::POST, "/system/functions", &absent).await?.expect(400)?;
    expect(answer.text().contains("cannot pull image `faasflow-e2e/absent:1`"), || answer.text())?;
    stand.deploy(&plain("broken", BROKEN)).await?;
    let answer = stand.invoke("broken", "").await?.expect(503)?;
    expect(answer.text().contains("/bin/absent"), || answer.text())?;
    expect(stand.status("broken").await?["availableReplicas"] == 0, || "it is told as available".to_owned())?;
    stand.remove("broken").await?;
    stand.until_containers("broken", 0).await?;
    // It ends at once, and its log says why.
    let mut ends = plain("ends", WATCHDOG);
    ends["envVars"] = json!({ "port": "99" });
    ends["labels"] = json!({ "com.openfaas.scale.min": "1" });
    stand.serve(&ends).await?;
    stand.remove("ends").await
}
