//! What joins and failure handlers see of branches and items that failed, were dropped or did not begin.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use faasflow::{
    Branches, Call, Callback, Choice, Complete, Context, Failure, Flow, FlowBuilder, ForEach, Graph, Items,
    MemberResult, Memory, Outcome, Scope, StateManager as _,
};
use faasflow_testkit::{Fake, RecordedCall, Running, TestKit};
use http::StatusCode;
use serde_json::{Value, json};

use super::support::posts::Posts;
use super::support::until;

fn call(function: &str) -> FlowBuilder {
    Flow::builder().apply(function)
}

fn functions(kit: TestKit) -> TestKit {
    let kit =
        [404, 410, 422].into_iter().fold(kit, |kit, status| kit.function(status.to_string(), Fake::failing(status)));
    ["a", "b", "c", "d"].into_iter().fold(kit, |kit, name| kit.function(name, Fake::echo()))
}

async fn start(flow: FlowBuilder) -> Running {
    functions(TestKit::new(flow.build().unwrap())).start().await
}

/// A branch that waits until the gate is open, if its number is in the range.
#[derive(Clone, Default)]
struct Gate(Arc<AtomicBool>);

impl Gate {
    fn open(&self) {
        self.0.store(true, SeqCst);
    }

    /// Waits behind the gate unless the payload is a number below `free`.
    fn unless_below(&self, free: usize) -> FlowBuilder {
        let gate = self.0.clone();
        Flow::builder().modify(move |number: String| {
            let gate = gate.clone();
            async move {
                while number.parse::<usize>().unwrap() >= free && !gate.load(SeqCst) {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                number
            }
        })
    }
}

/// Short texts such as `done 1` and `failed it answered 404 Not Found`.
fn told<'a>(results: impl Iterator<Item = &'a MemberResult>) -> String {
    let told = results.map(|result| match result.output() {
        Some(output) => format!("done {}", String::from_utf8_lossy(output.bytes())),
        None => match result {
            MemberResult::Failed(reason) => format!("failed {reason}"),
            other => other.outcome().to_string(),
        },
    });
    told.collect::<Vec<_>>().join(", ")
}

fn told_of(failure: &Failure) -> String {
    match (failure.branches(), failure.items()) {
        (Some(branches), None) => told(branches.iter().map(|(_, result)| result)),
        (None, Some(items)) => told(items.iter()),
        other => panic!("{other:?}"),
    }
}

/// Five branches or items, numbered from 0. `member` begins each of them.
fn five(kind: &str, member: &FlowBuilder, complete: Complete, seen: &Arc<Mutex<Vec<String>>>) -> FlowBuilder {
    if kind == "graph" {
        let numbered = |graph: Graph, number: u32| {
            let begin = Flow::builder().modify(move |_: ()| std::future::ready(number.to_string()));
            graph.branch(format!("n{number}"), begin.flow("member", member.clone()))
        };
        let seen = seen.clone();
        let graph = (0..5).fold(Graph::new(), numbered).complete(complete).join(move |branches: Branches| {
            seen.lock().unwrap().push(told(branches.iter().map(|(_, result)| result)));
            std::future::ready("joined")
        });
        return Flow::builder().graph(graph);
    }
    let seen = seen.clone();
    let for_each = ForEach::new(member.clone()).complete(complete).collect(move |items: Items| {
        seen.lock().unwrap().push(told(items.iter()));
        std::future::ready("joined")
    });
    Flow::builder().for_each(for_each)
}

const FIVE: &str = "[0,1,2,3,4]";

/// The process dies between the decision of the join and its post, and again while the join runs.
#[tokio::test(flavor = "multi_thread")]
async fn a_join_sees_the_members_that_decided_it_however_often_it_is_delivered() {
    for kind in ["graph", "for-each"] {
        let (gate, seen, posts) = (Gate::default(), Arc::default(), Posts::default());
        let member = gate.unless_below(2).apply("a");
        let flow = five(kind, &member, Complete::AtLeast(2), &seen).apply("d");
        let kit = functions(posts.kit(flow.build().unwrap())).start().await;
        posts.hold(|forward| forward.place.fork().is_none());
        let (end, ()) = tokio::join!(kit.request(FIVE).send(), async {
            posts.until_held().await;
            gate.open();
            kit.until_called("a", 5).await;
            // All but those whose posts of the join are held back: one member, or two that have ended at the same time.
            let succeeded = async || kit.until_delivered(0).await.into_iter().filter(StatusCode::is_success).count();
            until(async || succeeded().await + posts.held() >= 5).await;
            posts.pass();
            kit.crash_at("d");
            kit.crash().await;
        });
        assert_eq!((end.outcome(), end.text().as_str()), (Some(Outcome::Success), "joined"), "{kind}");
        let seen = seen.lock().unwrap().clone();
        assert!(seen.len() >= 2, "{kind}: {seen:?}");
        assert!(seen.iter().all(|seen| seen == "done 0, done 1, dropped, dropped, dropped"), "{kind}: {seen:?}");
        assert_eq!(kit.calls("a").len(), 5, "{kind}");
    }
}

#[tokio::test]
async fn a_failure_of_all_members_has_the_reason_of_each() {
    let refused =
        ["404 Not Found", "410 Gone", "422 Unprocessable Entity"].map(|status| format!("it answered {status}"));
    for complete in [Complete::First, Complete::AtLeast(1), Complete::Tolerate(2)] {
        let graph = Graph::new().branch("a", call("404")).branch("b", call("410")).branch("c", call("422"));
        let kit = start(Flow::builder().graph(graph.complete(complete))).await;
        let end = kit.request("1").send().await;
        let reasons =
            ["a", "b", "c"].into_iter().zip(&refused).map(|(name, why)| format!("the branch `{name}` failed: {why}"));
        assert_eq!(end.json::<Value>()["reason"], reasons.collect::<Vec<_>>().join("; "), "{complete:?}");
    }

    // The text names three of many. A handler sees all.
    let handler =
        async |_: Context, failure: Failure| failure.recover(format!("{}\n{}", failure.reason(), told_of(&failure)));
    for kind in ["graph", "for-each"] {
        let flow = five(kind, &call("404"), Complete::First, &Arc::default()).on_failure(handler);
        let end = start(flow).await.request(FIVE).send().await;
        let text = end.text();
        let (reason, results) = text.split_once('\n').unwrap();
        assert!(reason.ends_with("; and 2 more failed"), "{kind}: {reason}");
        assert_eq!(results, vec![format!("failed {}", refused[0]); 5].join(", "), "{kind}");
    }
}

/// One of the branches and items is still in flight when the graph fails, and one does not begin.
#[tokio::test(flavor = "multi_thread")]
async fn the_handler_of_a_graph_that_failed_sees_each_outcome_and_output() {
    let expected = "done 0, failed it answered 404 Not Found, dropped, not_begun";
    let handler = async |_: Context, failure: Failure| failure.recover(told_of(&failure));

    let (gate, posts) = (Gate::default(), Posts::default());
    let graph = Graph::new()
        .branch("first", call("a"))
        .branch("second", call("404"))
        .branch("third", gate.unless_below(0).apply("c"))
        .branch("fourth", call("d"))
        .after("second", ["first"])
        .after("fourth", ["second"]);
    let kit = functions(posts.kit(Flow::builder().graph(graph).on_failure(handler).build().unwrap())).start().await;
    let end = kit.request("0").send().await;
    assert_eq!((end.outcome(), end.text().as_str()), (Some(Outcome::Recovered), expected));

    // Item 1 fails when item 2 has begun, which is when item 0 has ended.
    let has_begun = Gate::default();
    let begins = Choice::new(async |number: String| number)
        .branch("1", has_begun.unless_below(0).apply("404"))
        .branch(
            "2",
            Flow::builder().modify(move |_: String| {
                has_begun.open();
                std::future::pending::<String>()
            }),
        )
        .otherwise(call("a"));
    let item = Flow::builder().choose(begins);
    let for_each = ForEach::new(item).at_most(2);
    let kit = start(Flow::builder().for_each(for_each).on_failure(handler)).await;
    let end = kit.request("[0,1,2,3]").send().await;
    assert_eq!((end.outcome(), end.text().as_str()), (Some(Outcome::Recovered), expected));
    assert_eq!((kit.calls("a").len(), kit.calls("404").len()), (1, 1));
}

/// Two branches are in flight when the third succeeds, and end after the request.
#[tokio::test(flavor = "multi_thread")]
async fn branches_that_lose_are_dropped_and_leave_nothing_behind() {
    let (gate, seen, memory) = (Gate::default(), Arc::<Mutex<Vec<String>>>::default(), Memory::new());
    let noted = seen.clone();
    // The quick branch waits until both others have begun.
    let begun = Arc::new(AtomicUsize::new(0));
    let (counts, waits) = (begun.clone(), begun);
    let begin = Flow::builder().modify(move |number: String| {
        counts.fetch_add(1, SeqCst);
        std::future::ready(number)
    });
    let begin = begin.flow("gate", gate.unless_below(0));
    let quick = Flow::builder().modify(move |number: String| {
        let waits = waits.clone();
        async move {
            while waits.load(SeqCst) < 2 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            number
        }
    });
    let slow = begin.clone().apply("b").modify(async |text: String| text).apply("c");
    let graph = Graph::new()
        .branch("quick", quick.apply("a"))
        .branch("slow", slow)
        .branch("short", begin.apply("b"))
        .complete(Complete::First)
        .join(move |branches: Branches| {
            noted.lock().unwrap().push(told(branches.iter().map(|(_, result)| result)));
            std::future::ready("joined")
        });
    let ends = Arc::new(AtomicUsize::new(0));
    let counted = ends.clone();
    let flow = Flow::builder().graph(graph).apply("d").state(memory.clone()).finally(move |_: Context, _: Outcome| {
        counted.fetch_add(1, SeqCst);
        std::future::ready(())
    });
    let kit = start(flow).await;
    let end = kit.request("0").send().await;
    assert_eq!((end.outcome(), end.text().as_str()), (Some(Outcome::Success), "joined"));
    kit.until_delivered(2).await;
    gate.open();
    // The quick branch, the join, both phases of the slow branch, and the short one.
    let statuses = kit.until_delivered(5).await;
    assert!(statuses.iter().all(StatusCode::is_success), "{statuses:?}");
    assert_eq!(*seen.lock().unwrap(), ["done 0, dropped, dropped"]);
    assert_eq!((kit.calls("b").len(), kit.calls("c").len(), kit.calls("d").len(), ends.load(SeqCst)), (2, 0, 1, 1));
    let scope = Scope { flow: "flow".to_owned(), request: end.request_id().to_owned() };
    for key in ["result/1", "member/1/0", "member/1/2", "entry/1/0", "entry/1/1", "decided/1", "result/1.1/3"] {
        assert_eq!(memory.get(&scope, key).await.unwrap(), None, "{key}");
    }
    assert!(memory.get(&scope, "finished@0").await.unwrap().is_some());
}

/// Within one phase and in phases of their own.
#[tokio::test]
async fn the_callbacks_of_branches_get_the_payload_and_pass_it_on() {
    for calls in ["synchronous", "asynchronous"] {
        let kit = TestKit::define(|url| {
            let callback = |name: &str| Callback::new(format!("{url}/callback/{name}"));
            let call = |function: &str| match calls {
                "synchronous" => Flow::builder().apply(Call::new(function).sync()),
                _ => call(function),
            };
            let mended =
                callback("refuses").on_failure(async |_: Context, failure: Failure| failure.recover("\"mended\""));
            let items = ForEach::new(call("a").callback(callback("item")));
            let graph = Graph::new()
                .branch("stored", call("a").callback(callback("store")).flow("then", call("b")))
                .branch("only", Flow::builder().callback(callback("only")))
                .branch("mended", Flow::builder().callback(mended))
                .branch("refused", Flow::builder().callback(callback("refuses")))
                .branch("items", Flow::builder().for_each(items))
                .complete(Complete::Settled);
            Flow::builder().graph(graph).build().unwrap()
        });
        let kit = functions(kit).callback("refuses", Fake::failing(403)).start().await;
        let end = kit.request("[1,2]").send().await;
        let done = |output: Value| json!({"outcome": "done", "output": output});
        let expected = json!({
            "stored": done(json!([1, 2])),
            "only": done(json!([1, 2])),
            "mended": done(json!("mended")),
            "refused": {"outcome": "failed", "reason": "it answered 403 Forbidden"},
            "items": done(json!([1, 2])),
        });
        assert_eq!(end.json::<Value>(), expected, "{calls}");
        let received = |name: &str| {
            let calls = kit.calls(&format!("callback/{name}"));
            calls.iter().map(RecordedCall::text).collect::<BTreeSet<_>>()
        };
        assert_eq!(received("store"), ["[1,2]".to_owned()].into(), "{calls}");
        assert_eq!(received("item"), ["1".to_owned(), "2".to_owned()].into(), "{calls}");
        let keys: BTreeSet<_> = ["store", "only", "item", "refuses"]
            .into_iter()
            .flat_map(|name| kit.calls(&format!("callback/{name}")))
            .map(|call| call.header("idempotency-key").unwrap().to_owned())
            .collect();
        assert_eq!(keys.len(), 6, "{calls}: {keys:?}");
    }
}
