//! Checks which pods can reach which, if the network enforces policies.

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

/// Calls a Service from a pod in a namespace, with `faasflow invoke` of the gateway's image. It repeats the call until
/// it succeeds, because the policies may not know the pod's address at first.
async fn ask(stand: &Stand, name: &str, namespace: &str, service: &str) -> Result<(), String> {
    let gateway = format!("http://{service}.faasflow:8080");
    let run = ["run", name, "--namespace", namespace, "--image=example/faasflow:0.1.0", "--image-pull-policy=Never"];
    let command = ["--restart=OnFailure", "--", "invoke", "--gateway", &gateway, "my-flow"];
    stand.kubectl.run(&[run.as_slice(), &command].concat()).await.map(drop)
}

/// Whether the calling pod got an answer. A pod that must not get one gives up after three attempts. Others continue,
/// because the policies may take a while to learn their address.
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
        // Exit code 3 means that the gateway cannot be reached. Any other means that it was reached.
        let in_vain = *code == "3" && tried.parse::<u32>().is_ok_and(|tried| tried >= 2);
        expect(succeeded || (in_vain && !expected), || format!("{name}: {text}"))?;
        *ended.lock().unwrap_or_else(PoisonError::into_inner) = succeeded;
        Ok(())
    })
    .await?;
    Ok(ended.into_inner().unwrap_or_default())
}
