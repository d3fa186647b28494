//! Who may reach whom, from pods: where the network enforces it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::Stand;
use crate::kubernetes::cluster::until_within;
use crate::suite::{Suite, expect};

pub(super) async fn run(suite: &Suite, stand: &Arc<Stand>) {
    if let Err(why) = &stand.policies {
        suite.not_done("the NetworkPolicies", &format!("nothing enforces them here: {why}"));
        return;
    }
    let ours = stand.clone();
    suite
        .check(
            "a stranger reaches neither flow nor gateway; a namespace that is let in reaches the gateway only",
            async move {
                for name in ["strangers", "callers"] {
                    ours.kubectl.run(&["create", "namespace", name]).await?;
                }
                ours.kubectl.run(&["label", "namespace", "callers", "faasflow/callers=true"]).await?;
                let expected = [
                    ("strangers", "gateway", false),
                    ("strangers", "my-flow", false),
                    ("strangers", "shout", false),
                    ("callers", "my-flow", false),
                    ("callers", "gateway", true),
                ];
                for (number, (from, to, _)) in expected.into_iter().enumerate() {
                    ask(&ours, &format!("ask-{number}"), from, to).await?;
                }
                for (number, (from, to, reached)) in expected.into_iter().enumerate() {
                    let found = answered(&ours, &format!("ask-{number}"), from, reached).await?;
                    expect(found == reached, || format!("from `{from}`, `{to}` is reached: {found}"))?;
                }
                Ok(())
            },
        )
        .await;
}

/// Has a pod of a namespace ask a Service, by `faasflow invoke` of the gateway's image. It tries again until it succeeds: the
/// first time, what enforces policies may not know its address yet.
async fn ask(stand: &Stand, name: &str, namespace: &str, service: &str) -> Result<(), String> {
    let gateway = format!("http://{service}.faasflow:8080");
    let run = ["run", name, "--namespace", namespace, "--image=example/faasflow:0.1.0", "--image-pull-policy=Never"];
    let command = ["--restart=OnFailure", "--", "invoke", "--gateway", &gateway, "my-flow"];
    stand.kubectl.run(&[run.as_slice(), &command].concat()).await.map(drop)
}

/// Whether a pod that asks has had an answer. One that is to have none has tried three times and found nobody; any other goes
/// on, since what enforces policies may take a while to learn its address.
async fn answered(stand: &Stand, name: &str, namespace: &str, expected: bool) -> Result<bool, String> {
    let fields = "{.phase} {.containerStatuses[0].restartCount} {.containerStatuses[0].lastState.terminated.exitCode}";
    let fields = format!("jsonpath={}", fields.replace("{.", "{.status."));
    let pod = ["get", "pod", name, "--namespace", namespace, "-o", &fields];
    let ended = Mutex::new(false);
    until_within(Duration::from_secs(150), "the pod that asks has succeeded, or tried three times", || async {
        let text = stand.kubectl.run(&pod).await?;
        let words: Vec<&str> = text.split(' ').collect();
        let (phase, tried, code) = (words[0], words.get(1).unwrap_or(&""), words.get(2).unwrap_or(&""));
        let succeeded = phase == "Succeeded";
        // 3 says that the gateway cannot be reached, and anything else that it was.
        let in_vain = *code == "3" && tried.parse::<u32>().is_ok_and(|tried| tried >= 2);
        expect(succeeded || (in_vain && !expected), || format!("{name}: {text}"))?;
        *ended.lock().unwrap_or_else(PoisonError::into_inner) = succeeded;
        Ok(())
    })
    .await?;
    Ok(ended.into_inner().unwrap_or_default())
}
