//! `kill -9` of `faasflow up`, three times over, with hundreds of accepted calls in flight or queued: each is
//! delivered at least once, and every flow ends with its result.

use std::collections::HashSet;
use std::sync::Arc;

use crate::support::{Recorder, Up, makeuserid, post, stack, until, url};
use faasflow_http::HttpClient;
use futures_util::{StreamExt as _, stream};
use http::StatusCode;

/// Half of them plain calls, half of them flows of three phases.
const CALLS: usize = 500;

#[tokio::test(flavor = "multi_thread")]
async fn accepted_calls_survive_kill_9() {
    let recorder = Arc::new(Recorder::listen().await);
    let functions = ["record", "titleize", "to-xml", "format-xml"].map(|name| url(name, recorder.address)).concat();
    let folder = stack(&(functions + &makeuserid()));
    let state = folder.path().join("state");
    let (mut plain, mut flows) = (HashSet::new(), HashSet::new());
    for round in 0..3 {
        let up = Up::start(folder.path(), &state);
        let client = HttpClient::new(crate::support::PATIENCE);
        let results = format!("http://{}/results", recorder.address);
        let accepted = stream::iter(0..CALLS).map(|number| {
            let (client, url, results) = (client.clone(), up.url.clone(), results.clone());
            async move {
                let text = format!("{round}-{number}");
                let answer = if number % 2 == 0 {
                    post(&client, format!("{url}/async-function/record"), &[], text).await
                } else {
                    let headers = [("content-type", "application/json"), ("x-faasflow-callback-url", results.as_str())];
                    let user = format!(r#"{{"name":"User {text}","email":"a@b.c"}}"#);
                    post(&client, format!("{url}/async-function/makeuserid"), &headers, user).await
                };
                assert_eq!(answer.0, StatusCode::ACCEPTED);
                (number, answer.1)
            }
        });
        for (number, id) in accepted.buffer_unordered(16).collect::<Vec<_>>().await {
            if number % 2 == 0 {
                plain.insert(id)
            } else {
                flows.insert(id)
            };
        }
        // Nothing was answered yet, beyond what was let in the rounds before: the queue holds them all. Some of
        // them go on, then it is killed, with deliveries under way and others waiting.
        let answered = recorder.seen().len();
        recorder.allow(150);
        until("some are answered", async || (recorder.seen().len() >= answered + 100).then_some(())).await;
        up.kill();
    }
    let answered = recorder.seen();
    let ended = answered.iter().filter(|seen| seen.path == "/results").count();
    assert!(ended < flows.len() && answered.len() < plain.len() + flows.len(), "most are still to come");

    let up = Up::start(folder.path(), &state);
    recorder.allow(usize::MAX >> 8);
    let missing = |path: &str, name: &str, of: &HashSet<String>| {
        let seen = recorder.seen();
        let there: HashSet<_> =
            seen.iter().filter(|seen| seen.path == path).filter_map(|seen| seen.header(name)).collect();
        of.iter().filter(|id| !there.contains(id.as_str())).count()
    };
    assert_eq!((plain.len(), flows.len()), (CALLS * 3 / 2, CALLS * 3 / 2), "each has its own id");
    until("all calls are delivered", async || (missing("/record", "x-call-id", &plain) == 0).then_some(())).await;
    until("all flows end", async || (missing("/results", "x-faasflow-request-id", &flows) == 0).then_some(())).await;
    let mut names = HashSet::new();
    for result in recorder.seen().iter().filter(|seen| seen.path == "/results") {
        assert_eq!(result.header("x-faasflow-outcome"), Some("success"), "{result:?}");
        let user: serde_json::Value = serde_json::from_slice(&result.body).unwrap();
        assert_eq!(user["email"], "a@b.c");
        names.insert(user["name"].to_string());
    }
    assert_eq!(names.len(), flows.len(), "each flow ended with its own result");
    assert_eq!(up.stop(), Some(0));
}
