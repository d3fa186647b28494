//! Every completion policy, for graphs and for-eaches whose calls are asynchronous. The outcomes are those of
//! `inline_policies.rs`, where all calls are synchronous.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use faasflow::{Complete, Context, Failure, Flow, FlowBuilder, ForEach, Graph, Items, Outcome};
use faasflow_testkit::{Fake, Reply, Running, TestKit};
use serde_json::{Value, json};

/// Members end this long after each other, in milliseconds, so that it is known which is first. The first `failing` of
/// them fail.
const APART: u64 = 150;

/// Calls `f` with its number, after a time that grows with the number.
fn member() -> FlowBuilder {
    Flow::builder()
        .modify(async |number: String| {
            tokio::time::sleep(Duration::from_millis(APART * number.parse::<u64>().unwrap())).await;
            number
        })
        .apply("f")
}

fn graph(complete: Complete) -> FlowBuilder {
    let numbered =
        |number: &'static str| Flow::builder().modify(move |_: ()| std::future::ready(number)).flow("member", member());
    Flow::builder().graph(
        Graph::new()
            .branch("a", numbered("0"))
            .branch("b", numbered("1"))
            .branch("c", numbered("2"))
            .complete(complete),
    )
}

fn for_each(complete: Complete) -> FlowBuilder {
    Flow::builder().for_each(ForEach::new(member()).complete(complete))
}

async fn start(flow: FlowBuilder, fails: impl Fn(usize) -> bool + Send + Sync + 'static) -> Running {
    let f = Fake::with(move |call| match fails(call.text().parse().unwrap()) {
        true => Reply::new("no").status(404),
        false => Reply::new(call.text()),
    });
    TestKit::new(flow.build().unwrap()).function("f", f).start().await
}

fn done(number: u8) -> Value {
    json!({"outcome": "done", "output": number})
}

fn failed() -> Value {
    json!({"outcome": "failed", "reason": "it answered 404 Not Found"})
}

/// The output for the results of three members; `None` if the whole fails.
fn expected(complete: Complete, failing: usize) -> Option<Vec<Value>> {
    Some(match (complete, failing) {
        (_, 3) if complete != Complete::Settled => return None,
        (Complete::All, 0) => vec![json!(0), json!(1), json!(2)],
        (Complete::All, _) => return None,
        (Complete::Settled, 3) => vec![failed(), failed(), failed()],
        (Complete::Settled | Complete::Tolerate(_) | Complete::TolerateShare(_), 1) => vec![failed(), done(1), done(2)],
        (Complete::Settled | Complete::Tolerate(_) | Complete::TolerateShare(_), _) => vec![done(0), done(1), done(2)],
        (Complete::First, failing) => vec![json!(failing)],
        (Complete::AtLeast(2), failing) => vec![json!(failing), json!(failing + 1)],
        _ => unreachable!(),
    })
}

async fn check(complete: Complete, failing: usize, kind: &'static str) {
    let flow = if kind == "graph" { graph(complete) } else { for_each(complete) };
    let case = format!("{complete:?}, {kind}, {failing} of 3 fail");
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = asked.clone();
    let flow = flow.on_failure(move |_: Context, failure: Failure| {
        counted.fetch_add(1, SeqCst);
        std::future::ready(failure.decline())
    });
    let kit = start(flow, move |number| number < failing).await;
    let end = kit.request("[0,1,2]").send().await;
    let asked = asked.load(SeqCst);
    let Some(results) = expected(complete, failing) else {
        assert_eq!(end.outcome(), Some(Outcome::Failure), "{case}");
        let end: Value = end.json();
        assert_eq!((&end["step"], &end["code"]), (&json!(kind), &json!("FF0331")), "{case}");
        let first = if kind == "graph" { "the branch `a`" } else { "item 1" };
        let reason = end["reason"].as_str().unwrap();
        assert!(reason.starts_with(&format!("{first} failed: it answered 404")), "{case}: {reason}");
        assert_eq!(asked, 1, "{case}");
        return;
    };
    assert_eq!(end.outcome(), Some(Outcome::Success), "{case}: {}", end.text());
    let output = match (kind, complete) {
        (_, Complete::First) => results[0].clone(),
        ("graph", Complete::AtLeast(_)) | ("for-each", _) => Value::Array(results),
        _ => ["a", "b", "c"].map(str::to_owned).into_iter().zip(results).collect(),
    };
    assert_eq!(end.json::<Value>(), output, "{case}");
    assert_eq!(asked, 0, "{case}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_policy_has_the_outcome_that_it_promises() {
    for complete in [
        Complete::All,
        Complete::Settled,
        Complete::First,
        Complete::AtLeast(2),
        Complete::Tolerate(1),
        Complete::TolerateShare(34),
    ] {
        for kind in ["graph", "for-each"] {
            tokio::join!(check(complete, 0, kind), check(complete, 1, kind), check(complete, 3, kind));
        }
    }
}

#[tokio::test]
async fn an_empty_list_is_complete_unless_a_success_is_needed() {
    for (complete, output) in [
        (Complete::All, Some("[]")),
        (Complete::Settled, Some("[]")),
        (Complete::Tolerate(1), Some("[]")),
        (Complete::First, None),
        (Complete::AtLeast(1), None),
    ] {
        let end = start(for_each(complete), |_| false).await.request("[]").send().await;
        match output {
            Some(output) => assert_eq!(end.text(), output, "{complete:?}"),
            None => assert_eq!(end.json::<Value>()["reason"], "too few members can succeed", "{complete:?}"),
        }
    }
}

/// The join is told about failures so far and about what did not begin.
#[tokio::test]
async fn a_collect_sees_what_became_of_each_item() {
    let item = ForEach::new(Flow::builder().apply("f")).at_most(1).complete(Complete::AtLeast(2));
    let flow = Flow::builder().for_each(item.collect(async |items: Items| {
        items.iter().map(|item| item.outcome().to_string()).collect::<Vec<_>>().join(" ")
    }));
    let kit = start(flow, |number| number % 2 == 1).await;
    assert_eq!(kit.request("[0,1,2,3,4]").send().await.text(), "done failed done not_begun not_begun");
    assert_eq!(kit.calls("f").len(), 3);
}

#[tokio::test]
async fn when_enough_have_succeeded_no_more_begin() {
    let item = ForEach::new(Flow::builder().apply("f")).at_most(4).complete(Complete::AtLeast(3));
    let kit = start(Flow::builder().for_each(item), |_| false).await;
    let list: Vec<usize> = (0..1000).collect();
    let end = kit.request(serde_json::to_vec(&list).unwrap()).send().await;
    assert_eq!(end.json::<Vec<usize>>().len(), 3);
    assert!(kit.calls("f").len() <= 7, "{}", kit.calls("f").len());
}

#[tokio::test]
async fn the_successors_of_a_failed_branch_do_not_begin() {
    let call = || Flow::builder().apply("f");
    let graph = Graph::new().branch("a", call()).branch("b", call()).branch("c", call());
    let graph = graph.after("b", ["a"]).after("c", ["b"]).complete(Complete::Settled);
    let kit = start(Flow::builder().graph(graph), |_| true).await;
    let not_begun = json!({"outcome": "not_begun", "reason": "it was not begun"});
    let output = json!({"a": failed(), "b": not_begun, "c": not_begun});
    assert_eq!(kit.request("0").send().await.json::<Value>(), output);
    assert_eq!(kit.calls("f").len(), 1);
}
