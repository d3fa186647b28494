//! Accepted calls are delivered even if pods are killed meanwhile.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use tokio::task::JoinSet;

use super::Stand;
use super::applied::processes;
use crate::kubernetes::cluster::{until, until_within};
use crate::suite::{Suite, expect};

/// The number of calls that are accepted before the gateway is killed.
const CALLS: usize = 500;
/// How long a function takes for a call, in milliseconds.
const EACH: usize = 200;
const PATIENCE: Duration = Duration::from_secs(400);

pub(super) async fn run(suite: &Suite, stand: &Arc<Stand>) {
    let ours = stand.clone();
    let name = "the processes of a flow are killed with 200 calls under way: every request ends well";
    suite.check_within(PATIENCE, name, async move { flow(&ours).await }).await;
    let ours = stand.clone();
    let name = "a pod of a flow is removed by force with 200 calls under way: every request ends well";
    suite.check_within(PATIENCE, name, async move { pod(&ours).await }).await;
    let ours = stand.clone();
    let name = "the gateway's pod is killed with 500 calls accepted: all are delivered when it is back";
    suite.check_within(PATIENCE, name, async move { gateway(&ours).await }).await;
}

/// Queues this many calls of the flow with two phases, each with a callback URL. All are accepted.
async fn accept(stand: &Stand, calls: usize, what: &str) -> Result<(), String> {
    let url = format!("{}/async-function/my-phases?wait={EACH}", stand.service("gateway").await?);
    let report = stand.recorder.url(what);
    let mut sending = JoinSet::new();
    for sender in 0..16 {
        let (url, report, client, what) = (url.clone(), report.clone(), stand.client.clone(), what.to_owned());
        sending.spawn(async move {
            for number in (sender..calls).step_by(16) {
                let id = format!("{what}-{number}");
                let headers = [("x-faasflow-callback-url", report.as_str()), ("x-faasflow-request-id", &id)];
                client.send(Method::POST, &url, &headers, id.clone()).await?.expect(202)?;
            }
            Ok::<(), String>(())
        });
    }
    while let Some(sent) = sending.join_next().await {
        sent.map_err(|panic| panic.to_string())??;
    }
    Ok(())
}

/// The reported requests by id, with their results.
fn ends(stand: &Stand, what: &str) -> Result<HashSet<String>, String> {
    let mut ids = HashSet::new();
    for seen in stand.recorder.seen(what) {
        let id = seen.header("x-faasflow-request-id").unwrap_or_default().to_owned();
        let text = String::from_utf8_lossy(&seen.body).into_owned();
        let wanted = format!("HELLO, {}!", id.to_uppercase());
        expect(text.starts_with(&wanted), || format!("{id} ended with {text}"))?;
        ids.insert(id);
    }
    Ok(ids)
}

/// Waits until all are reported, and prints how many were reported twice.
async fn all_end(stand: &Stand, calls: usize, what: &str) -> Result<(), String> {
    until_within(Duration::from_secs(240), "all requests end", || async {
        let ends = ends(stand, what)?.len();
        expect(ends == calls, || format!("{ends} of {calls} have ended"))
    })
    .await?;
    let reports = stand.recorder.seen(what).len();
    println!("          (all {calls} ended; {} were reported twice)", reports - calls);
    let stats = stand.system("/system/queue").await?;
    expect(stats["dead_letters"] == 0, || format!("there are dead letters: {stats}"))
}

fn kill(id: u32) -> Result<(), String> {
    let id = libc::pid_t::try_from(id).map_err(|error| error.to_string())?;
    // SAFETY: kill(2) touches no memory; the process is in a container of this suite.
    #[allow(unsafe_code, reason = "the standard library sends no signals")]
    let sent = unsafe { libc::kill(id, libc::SIGKILL) };
    if sent == 0 { Ok(()) } else { Err(format!("{id} cannot be killed: {}", std::io::Error::last_os_error())) }
}

/// The environment of a process.
fn variable(id: u32, name: &str) -> Option<String> {
    let text = std::fs::read(format!("/proc/{id}/environ")).ok()?;
    let mut variables = text.split(|byte| *byte == 0).map(String::from_utf8_lossy);
    variables.find_map(|line| Some(line.strip_prefix(name)?.strip_prefix('=')?.to_owned()))
}

/// Kubernetes restarts a container whose process ends, in the same pod.
async fn flow(stand: &Stand) -> Result<(), String> {
    stand.recorder.clear();
    accept(stand, 200, "killed").await?;
    let of_flow = |id: &u32| variable(*id, "workflow_name").as_deref() == Some("my-phases");
    let ids: Vec<u32> = processes(&["flow"]).into_iter().map(|(_, id)| id).filter(of_flow).collect();
    expect(ids.len() == 2, || format!("the flow's processes are {ids:?}"))?;
    for id in ids {
        kill(id)?;
    }
    all_end(stand, 200, "killed").await?;
    let restarts = stand.pods("my-phases", ".status.containerStatuses[0].restartCount").await?;
    expect(restarts.iter().all(|(_, count)| count == "1"), || format!("restarts: {restarts:?}"))?;
    stand.kubectl.rolled_out("deployment/my-phases").await
}

async fn pod(stand: &Stand) -> Result<(), String> {
    stand.recorder.clear();
    accept(stand, 200, "removed").await?;
    let pods = stand.pods("my-phases", ".status.phase").await?;
    let (name, _) = pods.first().ok_or("the flow has no pod")?;
    stand.kubectl.ours(&["delete", "pod", name, "--force", "--grace-period=0"]).await?;
    all_end(stand, 200, "removed").await?;
    stand.kubectl.rolled_out("deployment/my-phases").await
}

/// Kill the process, then remove its pod, so that a new pod gets the volume.
async fn gateway(stand: &Stand) -> Result<(), String> {
    stand.recorder.clear();
    let uid = ["get", "pod", "gateway-0", "-o", "jsonpath={.metadata.uid}"];
    let before = stand.kubectl.ours(&uid).await?;
    let ids = processes(&["faasflow"]);
    let [(_, id)] = ids.as_slice() else { return Err(format!("the gateway's processes are {ids:?}")) };
    accept(stand, CALLS, "gateway").await?;
    kill(*id)?;
    let ended = ends(stand, "gateway")?.len();
    stand.kubectl.ours(&["delete", "pod", "gateway-0", "--force", "--grace-period=0"]).await?;
    let begun = std::time::Instant::now();
    until("another pod of the gateway", || async {
        let now = stand.kubectl.ours(&uid).await?;
        expect(now != before, || "it is the same pod".to_owned())
    })
    .await?;
    stand.kubectl.rolled_out("statefulset/gateway").await?;
    println!(
        "          ({} of {CALLS} had not ended when it was killed; another pod served after {:.1} s)",
        CALLS - ended,
        begun.elapsed().as_secs_f64()
    );
    expect(ended < CALLS / 2, || format!("{ended} had ended already, so nothing is shown"))?;
    all_end(stand, CALLS, "gateway").await
}
