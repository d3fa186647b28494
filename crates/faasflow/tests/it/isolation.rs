//! A thousand requests at once, each with payload, query, headers and state of its own: none sees another's.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use faasflow::{Call, Context, Flow, FlowBuilder, Memory, Result, StatusCode};
use faasflow_testkit::{Fake, Running};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::support::posts::Posts;

const REQUESTS: usize = 1000;
/// How many callers are connected at once: all, if the system allows as many files. Where it does not, all requests are
/// on their way at once all the same, since the queue is held until the first phase of each is done.
fn callers() -> usize {
    // Both ends of a connection to the flow and one to its function, for each.
    let needed = 5 * REQUESTS as u64;
    match rlimit::increase_nofile_limit(needed) {
        Ok(allowed) if allowed >= needed => REQUESTS,
        _ => 64,
    }
}

/// Checks in every phase that all a step can see is of one request.
async fn same(context: Context, payload: String) -> Result<String> {
    let own = payload.split(':').next().unwrap_or_default().to_owned();
    let stored: String = context.get("own").await?.unwrap_or_default();
    let raw = context.get_bytes(&format!("raw-{own}")).await?.unwrap_or_default();
    assert_eq!(stored, own);
    assert_eq!(raw, own.repeat(10));
    assert_eq!(context.query("own"), Some(own.clone()));
    assert_eq!(context.header("x-own"), Some(own.clone()));
    assert_eq!(context.request_id(), format!("request-{own}"));
    let seen: u32 = context.get("seen").await?.unwrap_or_default();
    context.set("seen", seen + 1).await?;
    Ok(payload)
}

fn flow(builder: FlowBuilder) -> Flow {
    builder
        .modify(async |context: Context, own: String| {
            context.set("own", &own).await?;
            context.set_bytes(&format!("raw-{own}"), own.repeat(10)).await?;
            Ok(own)
        })
        .apply(Call::new("first").query_with("own", |context| context.query("own")))
        .modify(same)
        .apply(Call::new("second").header_with("x-of", |context| context.request_id().to_owned()))
        .modify(same)
        .apply("third")
        .modify(same)
        .modify(async |context: Context, payload: String| {
            let seen: u32 = context.get("seen").await?.unwrap_or_default();
            Ok(format!("{payload} seen {seen} times"))
        })
        .build()
        .unwrap()
}

async fn start(flow: Flow) -> Running {
    let answering = || {
        Fake::with(|call| {
            let text = call.text();
            let own = text.split(':').next().unwrap_or_default();
            assert_eq!(call.header("x-own"), Some(own));
            format!("{text}:{}", call.header("x-of").or(call.query.as_deref()).unwrap_or("third"))
        })
    };
    // If a post takes very long under this load, it is repeated, and this queue drops the second envelope.
    Posts::default()
        .kit(flow)
        // Slow enough that all are in the first phase at once.
        .function("first", answering().slow(Duration::from_millis(500)))
        .function("second", answering())
        .function("third", answering())
        .start()
        .await
}

/// Sends all of them and checks how each ended.
async fn a_thousand(kit: Running) {
    let kit = Arc::new(kit);
    kit.hold_queue();
    let callers = Arc::new(Semaphore::new(callers()));
    let mut calling = JoinSet::new();
    for number in 0..REQUESTS {
        let (kit, callers) = (kit.clone(), callers.clone());
        calling.spawn(async move {
            let _caller = callers.acquire().await.unwrap();
            let own = format!("n{number}");
            let request = kit.request(own.clone()).query("own", &own).header("x-own", &own);
            let request = request.header("x-faasflow-callback-url", kit.callback_url("end"));
            request.header("x-faasflow-request-id", format!("request-{own}")).answer().await.status
        });
    }
    assert_eq!(calling.join_all().await, [StatusCode::ACCEPTED; REQUESTS]);
    kit.until_queued(REQUESTS).await;
    kit.release_queue();
    let mut ends = HashSet::new();
    for end in kit.until_called("callback/end", REQUESTS).await {
        assert_eq!(end.header("x-faasflow-outcome"), Some("success"), "{}", end.text());
        let id = end.header("x-faasflow-request-id").unwrap();
        let own = id.strip_prefix("request-").unwrap();
        assert_eq!(end.text(), format!("{own}:own={own}:request-{own}:third seen 3 times"));
        assert!(ends.insert(own.to_owned()), "{own} ended twice");
    }
    kit.until_delivered(2 * REQUESTS).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_requests_with_their_state_in_envelopes_see_nothing_of_each_other() {
    a_thousand(start(flow(Flow::builder())).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_requests_with_their_state_in_a_manager_see_nothing_of_each_other_and_leave_nothing() {
    let memory = Memory::new();
    a_thousand(start(flow(Flow::builder().state(memory.clone()))).await).await;
    assert_eq!(memory.request_count(), 0);
}
