//! Rolling updates under load, and a kubelet that is down.

use std::sync::Arc;
use std::time::Duration;

use super::Stand;
use super::load::Load;
use crate::kubernetes::cluster::until;
use crate::suite::{Suite, expect};

/// A rolling update of two pods takes about 15 seconds.
const PATIENCE: Duration = Duration::from_secs(400);
const SENDERS: usize = 16;

pub(super) async fn run(suite: &Suite, stand: &Arc<Stand>) {
    let ours = stand.clone();
    let name = "rolling updates of the flow, there and back, under load: no request fails";
    suite.check_within(PATIENCE, name, async move { roll(&ours, "my-flow").await }).await;
    let ours = stand.clone();
    let name = "a rolling restart of the function that it calls, under load: no request fails";
    suite.check_within(PATIENCE, name, async move { roll(&ours, "shout").await }).await;
    let ours = stand.clone();
    let name = "kubelet is killed and started again under load: no request fails, no pod is replaced";
    suite.check_within(PATIENCE, name, async move { kubelet(&ours).await }).await;
    let ours = stand.clone();
    let name = "a change of the stack file replaces the gateway, which then serves what is in it";
    suite.check_within(PATIENCE, name, async move { stack(&ours).await }).await;
}

/// As the guide says, the name of the ConfigMap depends on the file, so a change replaces the pod.
async fn stack(stand: &Stand) -> Result<(), String> {
    let path = stand.manifests.folder("suite/stack.yml");
    let before = std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let added = "  again:\n    annotations:\n      faasflow.url: http://my-flow:8080\n";
    for (text, functions) in [(format!("{before}{added}"), 4), (before, 3)] {
        std::fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
        stand.kubectl.apply(&stand.manifests.folder("suite"), &[]).await?;
        stand.kubectl.rolled_out("statefulset/gateway").await?;
        // The pod is ready a moment before Services forward to it.
        until("the gateway has read the file", || async {
            let list = stand.system("/system/functions").await?;
            let found = list.as_array().map_or(0, Vec::len);
            expect(found == functions, || format!("it serves {found} functions, not {functions}"))
        })
        .await?;
    }
    Ok(())
}

/// The targets of the load: mostly the gateway, but also the flow's Service directly.
async fn urls(stand: &Stand) -> Result<Vec<String>, String> {
    let gateway = format!("{}/function/my-flow", stand.service("gateway").await?);
    Ok(vec![gateway.clone(), gateway.clone(), gateway, stand.service("my-flow").await?])
}

async fn roll(stand: &Stand, name: &str) -> Result<(), String> {
    let load = Load::start(&urls(stand).await?, SENDERS, Duration::from_millis(40));
    load.more(200).await;
    let deployment = format!("deployment/{name}");
    let rolled = async {
        for version in ["0.2.0", "0.1.0"] {
            if name == "my-flow" {
                let image = format!("flow=example/my-flow:{version}");
                stand.kubectl.ours(&["set", "image", &deployment, &image]).await?;
            } else {
                stand.kubectl.ours(&["rollout", "restart", &deployment]).await?;
            }
            stand.kubectl.rolled_out(&deployment).await?;
            // The pods of the previous version still drain.
            until("they are gone", || async {
                let count = stand.pods(name, ".status.phase").await?.len();
                expect(count == 2, || format!("there are {count} pods"))
            })
            .await?;
            if name == "my-flow" {
                let url = format!("{}/function/my-flow", stand.service("gateway").await?);
                let answer = stand.client.send(http::Method::POST, &url, &[], "Ada").await?.expect(200)?;
                let newer = answer.text().contains("0.2.0");
                expect(newer == (version == "0.2.0"), || format!("after {version}: {}", answer.text()))?;
            }
        }
        load.more(200).await;
        Ok::<(), String>(())
    };
    let rolled = rolled.await;
    let outcome = load.stop().await;
    rolled?;
    outcome.without_failure()
}

async fn kubelet(stand: &Stand) -> Result<(), String> {
    let before = stand.pods("my-flow", ".status.containerStatuses[0].containerID").await?;
    let load = Load::start(&urls(stand).await?, SENDERS, Duration::from_millis(40));
    load.more(200).await;
    let restarted = async {
        let mut kubelet = stand.kubelet.lock().await;
        kubelet.kill().await?;
        load.more(500).await;
        kubelet.again().await?;
        until("the node reports again", || async {
            let time = "jsonpath={.spec.renewTime}";
            let lease = ["get", "lease", "node", "--namespace=kube-node-lease", "-o", time];
            let then = stand.kubectl.run(&lease).await?;
            tokio::time::sleep(Duration::from_secs(11)).await;
            let now = stand.kubectl.run(&lease).await?;
            expect(then != now, || format!("the lease is of {now}"))
        })
        .await
    };
    let restarted = restarted.await;
    let outcome = load.stop().await;
    restarted?;
    outcome.without_failure()?;
    let after = stand.pods("my-flow", ".status.containerStatuses[0].containerID").await?;
    expect(before == after, || format!("the containers were {before:?} and are {after:?}"))
}
