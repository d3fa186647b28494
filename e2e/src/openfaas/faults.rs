//! Parts that die in the middle of a request.

use std::sync::Arc;
use std::time::Duration;

use super::invocations::PATIENCE;
use super::stand::{ACK_WAIT, Stand, WRITE_TIMEOUT};
use crate::client::Answer;
use crate::suite::{Suite, expect};

pub(super) async fn run(suite: &Suite, stand: &Arc<Stand>) {
    suite.check("killed while it delivers a phase: delivered again, to the end", killed(stand.clone())).await;
    if stand.real {
        suite.check("a phase slower than ack_wait is delivered twice, and its request ends", slow(stand.clone())).await;
        for (name, away) in [("broker", Away::Broker), ("gateway", Away::Gateway)] {
            let back = format!("the {name} is away for a while: forwarded when it is back");
            suite.check(&back, comes_back(stand.clone(), away)).await;
            let gone = format!("the {name} stays away: the caller is told in time, and the flow does not go on");
            suite.check(&gone, stays_away(stand.clone(), away)).await;
        }
        let later = "the broker is away while a later phase forwards: the request ends all the same";
        suite.check(later, later_phase(stand.clone())).await;
    } else {
        suite.not_done(
            "a broker or gateway that is away while a flow forwards",
            "here they are one, and the flow ends with it",
        );
    }
}

/// The keys by which a function can recognise a repeated call.
async fn keys(stand: &Stand, body: &str) -> Result<Vec<String>, String> {
    let seen = stand.recorder.until_sent("two", body, 2, PATIENCE + ACK_WAIT).await?;
    let key = |seen: &crate::recorder::ReceivedRequest| seen.header("idempotency-key").unwrap_or_default().to_owned();
    Ok(seen.iter().map(key).collect())
}

async fn killed(stand: Arc<Stand>) -> Result<(), String> {
    stand.recorder.clear();
    stand.recorder.hold("two");
    let begun = async {
        stand.invoke("function", "relay", &[], "killed").await?.expect(202)?;
        stand.recorder.until_sent("two", "killed", 1, PATIENCE).await?;
        stand.kill_deliverer().await
    };
    let begun = begun.await;
    let again = keys(&stand, "killed").await;
    stand.recorder.release("two");
    begun?;
    let keys = again?;
    expect(keys.iter().all(|key| !key.is_empty() && *key == keys[0]), || format!("the keys are {keys:?}"))?;
    stand.recorder.until_sent("three", "killed", 1, PATIENCE).await.map(drop)
}

async fn slow(stand: Arc<Stand>) -> Result<(), String> {
    stand.recorder.clear();
    stand.recorder.hold("two");
    let begun = stand.invoke("function", "relay", &[], "slow").await.and_then(|answer| answer.expect(202));
    let again = keys(&stand, "slow").await;
    stand.recorder.release("two");
    begun?;
    let keys = again?;
    expect(keys.iter().all(|key| !key.is_empty() && *key == keys[0]), || format!("the keys are {keys:?}"))?;
    stand.recorder.until_sent("three", "slow", 1, PATIENCE).await.map(drop)
}

/// The part that is down while a flow forwards.
#[derive(Clone, Copy)]
enum Away {
    Broker,
    Gateway,
}

impl Away {
    async fn kill(self, stand: &Stand) -> Result<(), String> {
        match self {
            Away::Broker => stand.kill_broker().await,
            Away::Gateway => stand.kill_gateway().await,
        }
    }

    /// The request that is sent meanwhile.
    fn body(self, comes_back: bool) -> &'static str {
        match (self, comes_back) {
            (Away::Broker, true) => "the broker comes back",
            (Away::Broker, false) => "the broker stays away",
            (Away::Gateway, true) => "the gateway comes back",
            (Away::Gateway, false) => "the gateway stays away",
        }
    }

    async fn start(self, stand: &Stand) -> Result<(), String> {
        match self {
            Away::Broker => stand.start_broker().await,
            Away::Gateway => stand.start_gateway().await,
        }
    }
}

/// Invokes `gated`, whose first phase waits before it forwards. Then something is killed, and the phase continues. The
/// flow is invoked at the provider, because the parts in front may be down.
async fn gated(
    stand: &Arc<Stand>,
    body: &'static str,
    away: Away,
    back_after: Option<Duration>,
) -> Result<Answer, String> {
    stand.recorder.clear();
    let gate = tempfile::tempdir_in(stand.folder.path()).map_err(|error| error.to_string())?;
    let (reached, open) = (gate.path().join("reached"), gate.path().join("open"));
    let url = format!("{}/function/gated?gate={}", stand.provider_url, gate.path().display());
    let invoked = stand.client.send(http::Method::POST, &url, &[], body);
    let steps = async {
        for _ in 0..1000 {
            if reached.exists() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        expect(reached.exists(), || "the flow does not come to its gate".to_owned())?;
        away.kill(stand).await?;
        std::fs::write(&open, "").map_err(|error| error.to_string())?;
        if let Some(after) = back_after {
            tokio::time::sleep(after).await;
            away.start(stand).await?;
        }
        Ok(())
    };
    let (answer, steps) = tokio::join!(invoked, steps);
    steps.and(answer)
}

async fn comes_back(stand: Arc<Stand>, away: Away) -> Result<(), String> {
    let body = away.body(true);
    gated(&stand, body, away, Some(Duration::from_secs(2))).await?.expect(202)?;
    stand.recorder.until_sent("two", body, 1, PATIENCE).await.map(drop)
}

async fn stays_away(stand: Arc<Stand>, away: Away) -> Result<(), String> {
    let begun = std::time::Instant::now();
    let answer = gated(&stand, away.body(false), away, None).await;
    let restarted = away.start(&stand).await;
    let answer = answer?;
    restarted?;
    let answered = (answer.status.as_u16(), answer.header("retry-after").is_some());
    expect(answered == (503, true), || format!("status, Retry-After: {answered:?}: {}", answer.text()))?;
    let took = begun.elapsed();
    expect(took < WRITE_TIMEOUT + Duration::from_secs(5), || format!("the caller was told after {took:?}"))?;
    let text = answer.text();
    let id = answer.header("x-faasflow-request-id").unwrap_or_default().to_owned();
    expect(text.contains(&id), || format!("the caller is not told which request: {text}"))?;
    let went_on = stand.recorder.seen("two").iter().any(|seen| seen.body == away.body(false));
    expect(!went_on, || "the flow went on".to_owned())?;
    let logs = stand.logs("gated").await?;
    let is_logged = logs.lines().any(|line| line.contains(&id) && line.contains("forward"));
    expect(is_logged, || format!("the log says nothing of {id}: {logs}"))
}

async fn later_phase(stand: Arc<Stand>) -> Result<(), String> {
    let body = "a later phase";
    stand.recorder.clear();
    stand.recorder.hold("two");
    let begun = async {
        stand.invoke("function", "relay", &[], body).await?.expect(202)?;
        stand.recorder.until_sent("two", body, 1, PATIENCE).await?;
        stand.kill_broker().await
    };
    let begun = begun.await;
    stand.recorder.release("two");
    // It gives up forwarding before the broker is back.
    tokio::time::sleep(WRITE_TIMEOUT).await;
    let restarted = stand.start_broker().await;
    begun?;
    restarted?;
    stand.recorder.until_sent("three", body, 1, PATIENCE + ACK_WAIT).await.map(drop)
}
