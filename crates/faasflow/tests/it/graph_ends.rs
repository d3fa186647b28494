//! How requests with branches end: the report to the caller's URL, and phases that run out of time.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use faasflow::{Branches, Call, Complete, Context, Failure, Flow, FlowBuilder, ForEach, Graph, Items, Outcome};
use faasflow_testkit::{Fake, Running, TestKit};
use serde_json::{Value, json};

use super::support::until;

const CALLS: [bool; 2] = [true, false];

fn call(function: &str, is_sync: bool) -> FlowBuilder {
    let call = Call::new(function);
    Flow::builder().apply(if is_sync { call.sync() } else { call })
}

fn kit(flow: FlowBuilder) -> TestKit {
    let kit = TestKit::new(flow.build().unwrap()).function("bad", Fake::failing(404)).function("hang", Fake::hanging());
    ["a", "b"].into_iter().fold(kit, |kit, name| kit.function(name, Fake::echo()))
}

/// Sends a request whose end is to be reported.
async fn send(kit: &Running, id: &str) {
    let request = kit.request("[1,2]").header("x-faasflow-request-id", id).header("authorization", "Bearer secret");
    request.header("x-faasflow-callback-url", kit.callback_url("end")).answer().await;
}

#[tokio::test]
async fn the_end_of_a_request_with_branches_is_reported_once() {
    for is_sync in CALLS {
        // With the join at the end, and with a call behind it.
        for behind in [false, true] {
            for (last, outcome) in [("b", "success"), ("bad", "recovered"), ("bad", "failure")] {
                let items = Flow::builder().for_each(ForEach::new(call("a", is_sync)));
                let flow = Flow::builder().parallel([("items", items), ("last", call(last, is_sync))]);
                let flow = if behind { flow.flow("behind", call("a", is_sync)) } else { flow };
                let flow = match outcome {
                    "recovered" => flow.on_failure(async |_: Context, failure: Failure| failure.recover("mended")),
                    _ => flow,
                };
                let kit = kit(flow).start().await;
                let case = format!("{outcome}, sync: {is_sync}, behind: {behind}");
                // If the first is reported again, then before the second has ended.
                send(&kit, "chosen").await;
                kit.until_called("callback/end", 1).await;
                send(&kit, "second").await;
                let reports = kit.until_called("callback/end", 2).await;
                assert_eq!(reports[1].header("x-faasflow-request-id"), Some("second"), "{case}");
                let report = &reports[0];
                assert_eq!(report.header("x-faasflow-outcome"), Some(outcome), "{case}");
                assert_eq!(report.header("x-faasflow-request-id"), Some("chosen"), "{case}");
                assert!(report.header("idempotency-key").is_some(), "{case}");
                assert_eq!(report.header("authorization"), None, "{case}");
                match outcome {
                    "success" => assert_eq!(report.text(), r#"{"items":[1,2],"last":[1,2]}"#, "{case}"),
                    "recovered" => assert_eq!(report.text(), "mended", "{case}"),
                    _ => {
                        let problem: Value = serde_json::from_slice(&report.body).unwrap();
                        assert_eq!(problem["reason"], "the branch `last` failed: it answered 404 Not Found", "{case}");
                        assert_eq!(
                            (&problem["request_id"], &problem["code"]),
                            (&json!("chosen"), &json!("FF0331")),
                            "{case}"
                        );
                    }
                }
            }
        }
    }
}

/// Nothing is executed again, and the finaliser runs when the report has arrived.
#[tokio::test(flavor = "multi_thread")]
async fn a_callback_url_that_is_away_delays_the_end_of_a_request_with_branches() {
    let (joined, ended) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (count_joined, count_ended) = (joined.clone(), ended.clone());
    let graph = Graph::new().branch("x", call("a", false)).branch("y", call("b", false)).join(move |_: Branches| {
        count_joined.fetch_add(1, SeqCst);
        std::future::ready("joined")
    });
    let flow = Flow::builder().graph(graph).finally(move |_: Context, _: Outcome| {
        count_ended.fetch_add(1, SeqCst);
        std::future::ready(())
    });
    let kit = kit(flow).setting("write_timeout", "500ms");
    let kit = kit.callback("end", Fake::echo().after_failing(8, 503)).start().await;
    send(&kit, "chosen").await;
    let reports = kit.until_called("callback/end", 9).await;
    until(async || ended.load(SeqCst) == 1).await;
    assert_eq!((joined.load(SeqCst), kit.calls("a").len(), kit.calls("b").len()), (1, 1, 1));
    let statuses = kit.until_delivered(4).await;
    assert!(statuses.contains(&http::StatusCode::SERVICE_UNAVAILABLE), "{statuses:?}");
    let keys: BTreeSet<_> = reports.iter().map(|report| report.header("idempotency-key").unwrap()).collect();
    assert_eq!((keys.len(), reports[8].text().as_str()), (1, "joined"));
}

/// The handler still has time, and the caller gets an answer.
#[tokio::test(flavor = "multi_thread")]
async fn a_phase_of_branches_that_takes_too_long_fails_at_its_deadline() {
    let reason = "the invocation took longer than 3s";
    // A branch of its own phase.
    let graph = |is_sync| Graph::new().branch("slow", call("hang", is_sync)).branch("quick", call("a", is_sync));
    let kit_of = |flow| kit(flow).setting("write_timeout", "3s");
    let settled = kit_of(Flow::builder().graph(graph(false).complete(Complete::Settled))).start().await;
    let item = ForEach::new(call("hang", false)).complete(Complete::Settled).collect(async |items: Items| {
        items.iter().map(|item| item.reason().unwrap_or_default().to_owned()).collect::<Vec<_>>().join(", ")
    });
    let items = kit_of(Flow::builder().for_each(item)).start().await;
    // Branches within the phase that is over.
    let told = async |_: Context, failure: Failure| failure.reply(format!("{}: {}", failure.step(), failure.reason()));
    let inline = kit_of(Flow::builder().graph(graph(true).complete(Complete::Settled))).start().await;
    let failing = kit_of(Flow::builder().graph(graph(true)).on_failure(told)).start().await;
    // A join.
    let join =
        graph(false).complete(Complete::First).join(async |_: Branches| -> String { std::future::pending().await });
    let join = kit_of(Flow::builder().graph(join).on_failure(told)).start().await;
    let (settled, items, inline, failing, join) = tokio::join!(
        settled.request("1").send(),
        items.request("[1,2]").send(),
        inline.request("1").send(),
        failing.request("1").send(),
        join.request("1").send()
    );
    let expected = json!({"slow": {"outcome": "failed", "reason": reason}, "quick": {"outcome": "done", "output": 1}});
    assert_eq!(settled.json::<Value>(), expected);
    assert_eq!(items.text(), format!("{reason}, {reason}"));
    assert_eq!(inline.json::<Value>(), expected);
    assert_eq!(failing.text(), format!("graph: the branch `slow` failed: {reason}"));
    assert_eq!(join.text(), format!("join: {reason}"));
}
