//! Flows with branches, on a queue that delivers at least once.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::invocations::PATIENCE;
use super::stand::{ACK_WAIT, Stand, WRITE_TIMEOUT};
use crate::suite::{Suite, expect};

/// How long to wait for calls that must not come.
const QUIET: Duration = Duration::from_secs(2);

pub(super) async fn run(suite: &Suite, stand: &Arc<Stand>) {
    for flow in ["graph", "graph-stored"] {
        suite.check(&format!("{flow}: two branches fork and join"), joins(stand.clone(), flow)).await;
        let killed_name = format!("{flow}: killed in the middle of a branch: delivered again, and the join fires once");
        suite.check(&killed_name, killed(stand.clone(), flow)).await;
    }
    if stand.real {
        // A branch that is slower than `ack_wait` is not called twice: the queue-worker handles one call at a time, so the second
        // delivery begins when the first has recorded its result.
        let late_name = "a branch that is delivered again after the end of its request executes nothing";
        suite.check(late_name, late(stand.clone())).await;
    } else {
        suite.not_done(
            "a branch that is delivered twice",
            "the queue of the local gateway delivers a call again only if it fails",
        );
    }
    let severed_name = "the store goes away between a result and its claim: joined when it is back";
    suite.check(severed_name, severed(stand.clone())).await;
}

/// The payload after the join.
fn joined(sent: &str) -> String {
    format!(r#"{{"one":{sent},"two":{sent}}}"#)
}

/// Waits for the call after the join. It may be repeated, but always with the same key.
async fn joined_once(stand: &Stand, sent: &str) -> Result<(), String> {
    let patience = PATIENCE + ACK_WAIT + WRITE_TIMEOUT;
    stand.recorder.until_sent("three", &joined(sent), 1, patience).await?;
    tokio::time::sleep(QUIET).await;
    let seen = stand.recorder.seen("three");
    let ours: Vec<_> =
        seen.iter().filter(|seen| seen.body.windows(sent.len()).any(|part| part == sent.as_bytes())).collect();
    let bodies: BTreeSet<_> = ours.iter().map(|seen| seen.body.clone()).collect();
    let keys: BTreeSet<_> = ours.iter().map(|seen| seen.header("idempotency-key").unwrap_or_default()).collect();
    expect(bodies.len() == 1 && keys.len() == 1, || {
        format!("the join has fired more than once: keys {keys:?}, bodies {bodies:?}")
    })
}

async fn joins(stand: Arc<Stand>, flow: &str) -> Result<(), String> {
    stand.recorder.clear();
    stand.invoke("function", flow, &[], "\"joins\"").await?.expect(202)?;
    joined_once(&stand, "\"joins\"").await
}

/// The keys of two calls of the function `two` with this body.
async fn keys_of_two(stand: &Stand, body: &str) -> Result<(), String> {
    let seen = stand.recorder.until_sent("two", body, 2, PATIENCE + ACK_WAIT).await?;
    let keys: BTreeSet<_> = seen.iter().map(|seen| seen.header("idempotency-key").unwrap_or_default()).collect();
    expect(keys.len() == 1 && !keys.contains(""), || format!("the keys are {keys:?}"))
}

async fn killed(stand: Arc<Stand>, flow: &str) -> Result<(), String> {
    let sent = format!("\"{flow} killed\"");
    stand.recorder.clear();
    stand.recorder.hold("two");
    let begun = async {
        stand.invoke("function", flow, &[], sent.clone()).await?.expect(202)?;
        stand.recorder.until_sent("two", &sent, 1, PATIENCE).await?;
        stand.kill_deliverer().await
    };
    let begun = begun.await;
    // A queue-worker that is killed leaves the flow alive, which goes on with the first delivery while the second one waits for it.
    // The local gateway takes the flow with it.
    let again = match stand.real {
        true => {
            tokio::time::sleep(QUIET).await;
            Ok(())
        }
        false => keys_of_two(&stand, &sent).await,
    };
    stand.recorder.release("two");
    begun?;
    again?;
    joined_once(&stand, &sent).await?;
    let calls = stand.recorder.seen("two").iter().filter(|seen| seen.body == sent.as_bytes()).count();
    let expected = if stand.real { 1 } else { 2 };
    expect(calls == expected, || format!("the branch was called {calls} times, not {expected}"))
}

async fn late(stand: Arc<Stand>) -> Result<(), String> {
    let sent = "\"late branch\"";
    stand.recorder.clear();
    stand.recorder.hold("two");
    let ended = async {
        stand.invoke("function", "graph-first", &[], sent).await?.expect(202)?;
        // The first success is the result.
        stand.recorder.until_sent("three", sent, 1, PATIENCE).await.map(drop)
    };
    let ended = ended.await;
    // The other branch is delivered again after its request has ended.
    tokio::time::sleep(ACK_WAIT + QUIET).await;
    let calls = stand.recorder.seen("two").iter().filter(|seen| seen.body == sent).count();
    stand.recorder.release("two");
    ended?;
    tokio::time::sleep(QUIET).await;
    let joins = stand.recorder.seen("three").iter().filter(|seen| seen.body == sent).count();
    expect((calls, joins) == (1, 1), || {
        format!("the branch was called {calls} times, and the call after the join {joins} times")
    })
}

async fn severed(stand: Arc<Stand>) -> Result<(), String> {
    let sent = "\"severed\"";
    stand.recorder.clear();
    stand.redis.sever_at_claim();
    let begun = stand.invoke("function", "graph-stored", &[], sent).await.and_then(|answer| answer.expect(202));
    let severed = stand.redis.until_severed().await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    stand.redis.mend();
    begun?;
    severed?;
    joined_once(&stand, sent).await
}
