//! The requirements of OpenFaaS's certifier for a provider, reimplemented. Those about an autoscaler are missing,
//! because there is none.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use http::Method;
use serde_json::{Value, json};

use super::stand::Stand;
use crate::docker::stand_ins::functions::{REDIRECTOR, WATCHDOG};
use crate::suite::{Suite, expect};

pub(super) async fn run(suite: &Suite, stand: &Arc<Stand>) {
    suite.check("deploy with metadata, describe, list", metadata(stand.clone())).await;
    suite.check("namespaces, health, info", about(stand.clone())).await;
    suite.check("invoke with every method", methods(stand.clone())).await;
    suite
        .check("redirects, query strings, variables, and a function that is not there", invocations(stand.clone()))
        .await;
    suite.check("logs", logs(stand.clone())).await;
    suite.check("secrets: create, mounted content, list, update, remove", secrets(stand.clone())).await;
    suite.check("scale minimum, and as many under a load", minimum(stand.clone())).await;
    suite.check("scale up and down", up_and_down(stand.clone())).await;
    suite.check("from zero during an invocation", from_zero(stand.clone())).await;
    suite.not_done("scaling by load and to zero when idle", "there is no autoscaler, by decision 0021");
}

/// A function with the watchdog, as the certifier deploys it.
fn watchdog(name: &str, process: &str) -> Value {
    let image = format!("docker.io/{WATCHDOG}");
    json!({ "service": name, "image": image, "envProcess": process, "namespace": "openfaas-fn" })
}

async fn metadata(stand: Arc<Stand>) -> Result<(), String> {
    let text = "{\n\t\"glossary\": { \"title\": \"a \\\"quoted\\\" one\" }\n}";
    let mut cases = [
        watchdog("stronghash", "sha512sum"),
        watchdog("env-test-labels", "env"),
        watchdog("env-test-annotations", "env"),
        watchdog("memory-limit", "env"),
    ];
    cases[0]["labels"] = json!({});
    cases[1]["labels"] = json!({ "upstream_uri": "example.com", "canary_build": "true" });
    cases[2]["annotations"] = json!({ "important-date": "Fri Aug 10 08:21:00 BST 2018", "some-json": text });
    cases[3]["limits"] = json!({ "memory": "5Mi", "cpu": "100m" });
    for deployment in &cases {
        stand.deploy(deployment).await?;
    }
    let answer = stand.ask(Method::GET, "/system/functions?namespace=openfaas-fn", &Value::Null).await?.expect(200)?;
    let list: Vec<Value> = serde_json::from_slice(&answer.body).map_err(|error| error.to_string())?;
    for deployment in &cases {
        let name = deployment["service"].as_str().unwrap_or_default();
        let described = stand.status(name).await?;
        let listed = list.iter().find(|function| function["name"] == name).ok_or_else(|| format!("no `{name}`"))?;
        for reported in [&described, listed] {
            let differs = || format!("`{name}` is told as {reported}, deployed as {deployment}");
            for key in ["image", "envProcess", "namespace"] {
                expect(reported[key] == deployment[key], differs)?;
            }
            // Absent if nothing was given.
            for key in ["limits", "requests", "envVars", "secrets", "constraints"] {
                expect(reported.get(key) == deployment.get(key), differs)?;
            }
            expect(reported["labels"]["faas_function"] == name, differs)?;
            for key in ["labels", "annotations"] {
                let given = deployment[key].as_object().cloned().unwrap_or_default();
                expect(
                    reported[key].is_object() && given.iter().all(|(name, value)| reported[key][name] == *value),
                    differs,
                )?;
            }
        }
    }
    expect(list.len() == cases.len(), || format!("listed are {list:?}"))?;
    for deployment in &cases {
        stand.remove(deployment["service"].as_str().unwrap_or_default()).await?;
    }
    Ok(())
}

async fn about(stand: Arc<Stand>) -> Result<(), String> {
    let namespaces = stand.ask(Method::GET, "/system/namespaces", &Value::Null).await?.expect(200)?;
    expect(namespaces.text() == r#"["openfaas-fn"]"#, || namespaces.text())?;
    stand.ask(Method::GET, "/healthz", &Value::Null).await?.expect(200)?;
    let info = stand.ask(Method::GET, "/system/info", &Value::Null).await?.expect(200)?;
    let info: Value = serde_json::from_slice(&info.body).map_err(|error| error.to_string())?;
    for path in [
        "/provider/provider",
        "/provider/orchestration",
        "/provider/version/release",
        "/provider/version/sha",
        "/version/release",
        "/version/sha",
    ] {
        let text = info.pointer(path).and_then(Value::as_str).unwrap_or_default();
        expect(!text.is_empty(), || format!("{path} of {info}"))?;
    }
    Ok(())
}

async fn methods(stand: Arc<Stand>) -> Result<(), String> {
    stand.serve(&watchdog("env-test-verbs", "env")).await?;
    let url = format!("{}/function/env-test-verbs.openfaas-fn", stand.url);
    for method in [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
        let answer = stand.client.send(method.clone(), &url, &[], Body::empty()).await?.expect(200)?;
        let body = String::from_utf8_lossy(&answer.body).into_owned();
        expect(body.contains(&format!("Http_Method={method}")), || body.clone())?;
        for header in ["x-call-id", "x-start-time"] {
            expect(answer.header(header).is_some_and(|value| !value.is_empty()), || format!("{method}: no {header}"))?;
        }
    }
    stand.remove("env-test-verbs").await
}

async fn invocations(stand: Arc<Stand>) -> Result<(), String> {
    let mut redirector = watchdog("redirector-test", "./handler");
    redirector["image"] = format!("docker.io/{REDIRECTOR}").into();
    redirector["envVars"] = json!({ "destination": "http://example.com" });
    stand.serve(&redirector).await?;
    let answer = stand.invoke("redirector-test.openfaas-fn", "").await?.expect(302)?;
    expect(answer.header("location") == Some("http://example.com"), || format!("{answer:?}"))?;
    let mut env = watchdog("env-test", "env");
    env["envVars"] = json!({ "custom_env": "custom_env_value" });
    stand.serve(&env).await?;
    let answer = stand.invoke("env-test?testing=1", "").await?.expect(200)?;
    let body = String::from_utf8_lossy(&answer.body).into_owned();
    for line in ["custom_env=custom_env_value", "Http_Query=testing=1", "OPENFAAS_NAME=env-test"] {
        expect(body.lines().any(|found| found == line), || format!("{line} is not in {body}"))?;
    }
    stand.invoke("notfound", "").await?.expect(404)?;
    stand.remove("redirector-test").await?;
    stand.remove("env-test").await
}

async fn logs(stand: Arc<Stand>) -> Result<(), String> {
    stand.serve(&watchdog("test-logger", "cat")).await?;
    let body = "openfaas-fn";
    expect(stand.text("test-logger", body).await? == body, || "its answer is another one".to_owned())?;
    let wrote = format!("Wrote {} Bytes", body.len());
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let log = stand.log("test-logger").await?;
        if log.contains("Forking fprocess") && log.contains(&wrote) {
            break;
        }
        expect(Instant::now() < deadline, || format!("the log has {log}"))?;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let log = stand.log("test-logger").await?;
    let first: Value = serde_json::from_str(log.lines().next().unwrap_or_default()).map_err(|e| e.to_string())?;
    expect(first["name"] == "test-logger" && first["namespace"] == "openfaas-fn", || first.to_string())?;
    stand.remove("test-logger").await
}

async fn secrets(stand: Arc<Stand>) -> Result<(), String> {
    let list = async || -> Result<String, String> {
        Ok(stand.ask(Method::GET, "/system/secrets?namespace=openfaas-fn", &Value::Null).await?.expect(200)?.text())
    };
    // The second values, in Base64.
    for (name, key, values) in [
        ("secret-string", "value", ["the secret value", "the NEW secret value"]),
        ("secret-bytes", "rawValue", ["dGhlIFJBVyBzZWNyZXQ=", "dGhlIE5FVyBSQVcgc2VjcmV0"]),
    ] {
        let plain = |value: &str| match value {
            "dGhlIFJBVyBzZWNyZXQ=" => "the RAW secret".to_owned(),
            "dGhlIE5FVyBSQVcgc2VjcmV0" => "the NEW RAW secret".to_owned(),
            value => value.to_owned(),
        };
        expect(!list().await?.contains(name), || format!("`{name}` is there already"))?;
        let secret = |value: &str| json!({ "name": name, key: value, "namespace": "openfaas-fn" });
        stand.ask(Method::POST, "/system/secrets", &secret(values[0])).await?.expect(202)?;
        let mut deployment = watchdog(name, &format!("cat /var/openfaas/secrets/{name}"));
        deployment["secrets"] = json!([name]);
        stand.serve(&deployment).await?;
        let mounted = stand.text(name, "").await?;
        expect(mounted == plain(values[0]), || format!("`{name}` is mounted as {mounted}"))?;
        expect(list().await?.contains(name), || format!("`{name}` is not listed"))?;

        // The running container gets it, as on Kubernetes, but sooner.
        stand.ask(Method::PUT, "/system/secrets", &secret(values[1])).await?.expect(202)?;
        let mounted = stand.text(name, "").await?;
        expect(mounted == plain(values[1]), || format!("`{name}` is still mounted as {mounted}"))?;
        deployment["annotations"] = json!({ "secret-hash": "another" });
        stand.serve(&deployment).await?;
        let mounted = stand.text(name, "").await?;
        expect(mounted == plain(values[1]), || format!("`{name}` is mounted as {mounted} in the new one"))?;

        stand.remove(name).await?;
        let secret = json!({ "name": name, "namespace": "openfaas-fn" });
        stand.ask(Method::DELETE, "/system/secrets", &secret).await?.expect(202)?;
        expect(!list().await?.contains(name), || format!("`{name}` is still there"))?;
    }
    Ok(())
}

async fn minimum(stand: Arc<Stand>) -> Result<(), String> {
    let mut deployment = watchdog("test-min-scale", "sha512sum");
    deployment["labels"] = json!({ "com.openfaas.scale.min": "2", "com.openfaas.scale.max": "2" });
    stand.deploy(&deployment).await?;
    let status = stand.status("test-min-scale").await?;
    expect(status["replicas"] == 2, || format!("at once: {status}"))?;
    stand.until("test-min-scale", "whole", |status| status["availableReplicas"] == 2).await?;
    for _ in 0..50 {
        stand.invoke("test-min-scale", "").await?.expect(200)?;
    }
    let status = stand.status("test-min-scale").await?;
    expect(status["replicas"] == 2, || format!("after a load: {status}"))?;
    stand.remove("test-min-scale").await
}

async fn up_and_down(stand: Arc<Stand>) -> Result<(), String> {
    let mut deployment = watchdog("test-scaling", "env");
    deployment["labels"] = json!({ "com.openfaas.scale.min": "1", "com.openfaas.scale.max": "3" });
    stand.serve(&deployment).await?;
    stand.scale("test-scaling", 3).await?.expect(202)?;
    stand.until("test-scaling", "scaled up", |s| s["replicas"] == 3 && s["availableReplicas"] == 3).await?;
    let mut hosts = BTreeSet::new();
    for _ in 0..12 {
        let answer = stand.invoke("test-scaling", "").await?.expect(200)?;
        let body = String::from_utf8_lossy(&answer.body).into_owned();
        hosts.extend(body.lines().find(|line| line.starts_with("HOSTNAME=")).map(str::to_owned));
    }
    expect(hosts.len() == 3, || format!("12 requests went to {hosts:?}"))?;
    stand.scale("test-scaling", 4).await?.expect(400)?;
    stand.scale("test-scaling", 1).await?.expect(202)?;
    stand.until("test-scaling", "scaled down", |s| s["replicas"] == 1 && s["availableReplicas"] == 1).await?;
    stand.until_containers("test-scaling", 1).await?;
    stand.remove("test-scaling").await
}

async fn from_zero(stand: Arc<Stand>) -> Result<(), String> {
    stand.serve(&watchdog("test-scale-from-zero", "sha512sum")).await?;
    stand.scale("test-scale-from-zero", 0).await?.expect(202)?;
    let status = stand.status("test-scale-from-zero").await?;
    expect(status["replicas"] == 0, || format!("scaled to none: {status}"))?;
    stand.until_containers("test-scale-from-zero", 0).await?;
    let hash = stand.text("test-scale-from-zero", "").await?;
    expect(hash.starts_with("cf83e1357eefb8bd"), || hash.clone())?;
    let status = stand.status("test-scale-from-zero").await?;
    expect(status["replicas"] == 1 && status["availableReplicas"] == 1, || status.to_string())?;
    // A queued call also starts it again.
    stand.scale("test-scale-from-zero", 0).await?.expect(202)?;
    stand.until_containers("test-scale-from-zero", 0).await?;
    stand.ask(Method::POST, "/async-function/test-scale-from-zero", &json!("x")).await?.expect(202)?;
    stand.until("test-scale-from-zero", "back", |status| status["availableReplicas"] == 1).await?;
    stand.remove("test-scale-from-zero").await
}
