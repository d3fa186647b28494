//! Synchronous and asynchronous requests, metrics, and other routes.

use std::sync::Arc;

use http::Method;
use serde_json::json;

use super::Stand;
use super::applied::SOON;
use crate::suite::{Suite, expect};

pub(super) async fn run(suite: &Suite, stand: &Arc<Stand>) {
    let ours = stand.clone();
    suite
        .check("synchronous: a flow through the gateway's Service, its function through another", async move {
            let url = format!("{}/function/my-flow", ours.service("gateway").await?);
            let answer = ours.client.send(Method::POST, &url, &[], "Ada").await?.expect(200)?;
            expect(answer.text().starts_with("HELLO, ADA!"), || format!("it answered {}", answer.text()))?;
            // A flow of one phase can also be called without the gateway.
            let url = ours.service("my-flow").await?;
            let answer = ours.client.send(Method::POST, &url, &[], "Ada").await?.expect(200)?;
            expect(answer.text().starts_with("HELLO, ADA!"), || format!("it answered {}", answer.text()))
        })
        .await;
    let ours = stand.clone();
    suite
        .check("asynchronous: 202, and the answer comes to the callback URL", async move {
            let url = format!("{}/async-function/my-flow", ours.service("gateway").await?);
            let callback = ours.recorder.url("answers");
            ours.client.send(Method::POST, &url, &[("x-callback-url", &callback)], "Grace").await?.expect(202)?;
            let seen = ours.recorder.until("answers", 1, SOON).await?;
            expect(seen[0].body.starts_with(b"HELLO, GRACE!"), || format!("it was told {:?}", seen[0].body))
        })
        .await;
    let ours = stand.clone();
    suite
        .check("a flow of two phases: signed with the mounted key, through the queue to its end", async move {
            let url = format!("{}/function/my-phases", ours.service("gateway").await?);
            let report = ours.recorder.url("phases");
            ours.client.send(Method::POST, &url, &[("x-faasflow-callback-url", &report)], "Mary").await?.expect(202)?;
            let seen = ours.recorder.until("phases", 1, SOON).await?;
            let text = String::from_utf8_lossy(&seen[0].body).into_owned();
            expect(text.starts_with("HELLO, MARY!") && text.ends_with("YOURS."), || format!("it was told {text}"))?;
            // The flow refuses unsigned envelopes.
            let url = ours.service("my-phases").await?;
            let kind = [("content-type", "application/vnd.faasflow.envelope")];
            let answer = ours.client.send(Method::POST, &url, &kind, "forged").await?;
            expect(answer.status.as_u16() == 401, || format!("a forged envelope was answered {}", answer.status))
        })
        .await;
    let ours = stand.clone();
    suite
        .check("/system asks for the password of the secret", async move {
            let url = format!("{}/system/functions", ours.service("gateway").await?);
            ours.client.get(&url).await?.expect(401)?;
            let list = ours.system("/system/functions").await?;
            let names: Vec<&str> =
                list.as_array().into_iter().flatten().filter_map(|function| function["name"].as_str()).collect();
            expect(names == ["my-flow", "my-phases", "shout"], || format!("it serves {names:?}"))
        })
        .await;
    let ours = stand.clone();
    suite
        .check("the endpoints that the ServiceMonitors name have metrics", async move {
            let url = format!("{}/metrics", ours.service("gateway").await?);
            let text = ours.client.get(&url).await?.expect(200)?.body;
            expect(contains(&text, "gateway_function_invocation_total"), || "none of the gateway".to_owned())?;
            let slices = ["get", "endpointslices", "-l", "kubernetes.io/service-name=flow-metrics", "-o"];
            let addresses = "jsonpath={range .items[*].endpoints[*]}{.addresses[0]}{\"\\n\"}{end}";
            let addresses = ours.kubectl.ours(&[slices.as_slice(), &[addresses]].concat()).await?;
            expect(addresses.lines().count() == 4, || format!("of two flows of two pods: {addresses}"))?;
            for address in addresses.lines() {
                let text = ours.client.get(&format!("http://{address}:8081/metrics")).await?.expect(200)?.body;
                expect(contains(&text, "faasflow_"), || format!("none of {address}"))?;
            }
            Ok(())
        })
        .await;
    let ours = stand.clone();
    suite
        .check(
            "of a flow's two pods one can be evicted; the budget forbids the second until the first is replaced",
            async move {
                let pods = ours.pods("my-flow", ".status.phase").await?;
                expect(pods.len() == 2, || format!("there are {pods:?}"))?;
                evict(&ours, &pods[0].0).await?;
                match evict(&ours, &pods[1].0).await {
                    Ok(()) => return Err("the second was evicted too".to_owned()),
                    Err(why) => expect(why.contains("would violate the pod's disruption budget"), || why)?,
                }
                let allowed =
                    ["wait", "pdb/my-flow", "--for=jsonpath={.status.disruptionsAllowed}=1", "--timeout=120s"];
                ours.kubectl.ours(&allowed).await.map(drop)
            },
        )
        .await;
}

/// The request that `kubectl drain` sends for each pod of a node.
async fn evict(stand: &Stand, pod: &str) -> Result<(), String> {
    let path = format!("/api/v1/namespaces/faasflow/pods/{pod}/eviction");
    let eviction = json!({
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": { "name": pod, "namespace": "faasflow" },
    });
    stand.kubectl.run_with(&["create", "--raw", &path, "-f", "-"], &eviction.to_string()).await.map(drop)
}

fn contains(text: &[u8], what: &str) -> bool {
    text.windows(what.len()).any(|window| window == what.as_bytes())
}
