//! `faasflow ui` in front of this gateway.

use std::sync::Arc;

use axum::body::Body;
use http::Method;
use serde_json::{Value, json};

use super::stand::{Programs, Stand};
use crate::client::{Answer, Client};
use crate::server::{Recipe, Server, free_port};
use crate::suite::{Suite, expect};

const FLOW: &str = "six-stored";
const ID: &str = "from-ui";

pub(super) async fn run(suite: &Suite, stand: &Arc<Stand>, programs: &Programs) {
    let (stand, faasflow) = (stand.clone(), programs.faasflow.clone());
    let name = "faasflow ui: flows are recognised and drawn, a request is started, listed and redriven";
    suite.check(name, async move { shown(&stand, faasflow).await }).await;
}

/// The pages' way to the gateway.
struct Pages {
    url: String,
    client: Client,
}

impl Pages {
    async fn get(&self, path: &str) -> Result<Answer, String> {
        self.client.get(&format!("{}{path}", self.url)).await
    }

    async fn json(&self, path: &str) -> Result<Value, String> {
        let answer = self.get(path).await?.expect(200)?;
        serde_json::from_slice(&answer.body).map_err(|error| format!("{path}: {error}: {}", answer.text()))
    }

    /// Waits until the request has succeeded so often.
    async fn succeeded(&self, generation: u64) -> Result<(), String> {
        let path = format!("/system/flows/{FLOW}/requests/{ID}");
        let mut last = Value::Null;
        for _ in 0..600 {
            last = self.json(&path).await?;
            if last["status"] == "success" && last["generation"] == generation {
                return Ok(());
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        Err(format!("the request did not succeed: {last}"))
    }
}

async fn shown(stand: &Stand, program: std::path::PathBuf) -> Result<(), String> {
    let port = free_port()?;
    let key = stand.folder.path().join(".faasflow/secrets/faasflow-hmac-secret");
    let mut arguments = vec!["ui".to_owned(), "--gateway".to_owned(), stand.url.clone()];
    arguments.extend(["--port".to_owned(), port.to_string()]);
    if stand.real {
        arguments.extend(["--key".to_owned(), format!("@{}", key.display())]);
    }
    let log = stand.folder.path().join(if stand.real { "ui-openfaas.log" } else { "ui-local.log" });
    let ready = Some("The dashboard is at");
    let ui = Server::start(Recipe { program, arguments, environment: Vec::new(), port, ready, log }).await?;
    let pages = Pages { url: format!("http://127.0.0.1:{port}"), client: Client::new() };

    pages.get("/ui/").await?.expect(200)?;
    let flows = pages.json("/system/flows").await?;
    let is_flow = |name: &str| flows.as_array().is_some_and(|flows| flows.contains(&json!(name)));
    expect(is_flow(FLOW) && is_flow("relay") && !is_flow("callee"), || format!("the flows are {flows}"))?;
    let drawing = pages.json(&format!("/system/flows/{FLOW}/drawing")).await?;
    expect(drawing["shapes"].as_array().is_some_and(|shapes| shapes.len() > 6), || {
        format!("it is drawn as {drawing}")
    })?;

    let origin = ("origin", pages.url.as_str());
    let headers = [origin, ("sec-fetch-site", "same-origin"), ("x-faasflow-request-id", ID)];
    let start = format!("{}/function/{FLOW}", pages.url);
    pages.client.send(Method::POST, &start, &headers, Body::from("from the page")).await?.expect(202)?;
    pages.succeeded(0).await?;
    let list = pages.json(&format!("/system/flows/{FLOW}/requests?status=success&limit=1000")).await?;
    let is_listed = list["requests"].as_array().is_some_and(|list| list.iter().any(|request| request["id"] == ID));
    expect(is_listed, || format!("the list is {list}"))?;
    let result = pages.get(&format!("/system/flows/{FLOW}/requests/{ID}/result")).await?.expect(200)?;
    expect(result.body == "from the page", || format!("the result is {}", result.text()))?;

    let token = pages.json("/system/page-token").await?;
    let token = ("x-faasflow-page-token", token["token"].as_str().unwrap_or_default());
    let redrive = format!("{}/system/flows/{FLOW}/requests/{ID}/redrive?from=3", pages.url);
    pages.client.send(Method::POST, &redrive, &[origin], Body::empty()).await?.expect(403)?;
    pages.client.send(Method::POST, &redrive, &[origin, token], Body::empty()).await?.expect(200)?;
    pages.succeeded(1).await?;

    let queue = pages.get("/system/queue").await?;
    let expected = if stand.real { (501, Some("FF0933")) } else { (200, None) };
    let got = (queue.status.as_u16(), queue.header("x-faasflow-error-code"));
    expect(got == expected, || format!("the queue is answered with {got:?}: {}", queue.text()))?;
    pages.get(&format!("/system/logs?name={FLOW}&tail=10")).await?.expect(200)?;
    let functions = pages.json("/system/functions").await?;
    let is_ready = |one: &Value| one["availableReplicas"].as_u64() >= Some(1);
    expect(functions.as_array().is_some_and(|all| all.iter().all(is_ready)), || {
        format!("the functions are {functions}")
    })?;
    ui.stop().await
}
