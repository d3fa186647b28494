//! Every completion policy, for graphs and for-eaches, with synchronous and with asynchronous calls: the same outcome in all
//! four.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use faasflow::{
    Branches, Call, Complete, Context, Failure, Flow, FlowBuilder, ForEach, Graph, Items, MemberResult, Outcome,
};
use faasflow_testkit::{Fake, RecordedCall, Reply, Running, TestKit};
use serde_json::{Value, json};

use super::support::until_seen;

/// A member calls its function this long after the members before it have called theirs, so that it is known which ends first.
const APART: Duration = Duration::from_millis(250);

/// How often `f` was called.
type Called = Arc<AtomicUsize>;

/// How the members call their function.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Calls {
    Synchronous,
    Asynchronous,
}

const CALLS: [Calls; 2] = [Calls::Synchronous, Calls::Asynchronous];

impl Calls {
    /// A flow that calls `f`.
    fn flow(self) -> FlowBuilder {
        self.after(Flow::builder())
    }

    fn after(self, flow: FlowBuilder) -> FlowBuilder {
        let call = Call::new("f");
        flow.apply(if self == Calls::Synchronous { call.sync() } else { call })
    }
}

/// Calls `f` with its number, when `f` was called as often as its number says.
fn member(calls: Calls, called: &Called) -> FlowBuilder {
    let called = called.clone();
    calls.after(Flow::builder().modify(move |number: String| {
        let called = called.clone();
        async move {
            let before: usize = number.parse().unwrap();
            until_seen(|| called.load(SeqCst) >= before).await;
            if before > 0 {
                tokio::time::sleep(APART).await;
            }
            number
        }
    }))
}

fn graph(calls: Calls, complete: Complete, called: &Called) -> FlowBuilder {
    let numbered = |number: &'static str| {
        Flow::builder().modify(move |_: ()| std::future::ready(number)).flow("member", member(calls, called))
    };
    let graph = Graph::new().branch("a", numbered("0")).branch("b", numbered("1")).branch("c", numbered("2"));
    Flow::builder().graph(graph.complete(complete))
}

fn for_each(calls: Calls, complete: Complete, called: &Called) -> FlowBuilder {
    Flow::builder().for_each(ForEach::new(member(calls, called)).complete(complete))
}

async fn start(flow: FlowBuilder, fails: impl Fn(usize) -> bool + Send + Sync + 'static) -> Running {
    start_counted(flow, &Called::default(), fails).await
}

/// The same with a count of the calls.
async fn start_counted(
    flow: FlowBuilder,
    called: &Called,
    fails: impl Fn(usize) -> bool + Send + Sync + 'static,
) -> Running {
    let called = called.clone();
    let answer = move |call: &RecordedCall| match fails(call.text().parse().unwrap()) {
        true => Reply::new("no").status(404),
        false => Reply::new(call.text()),
    };
    let f = Fake::with(move |call| {
        called.fetch_add(1, SeqCst);
        answer(call)
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

/// How many calls are made when the first `failing` of three members fail. The members that are not needed by then are
/// cancelled before they call, if they are in the same phase.
fn expected_calls(complete: Complete, failing: usize) -> usize {
    match complete {
        Complete::First if failing < 3 => failing + 1,
        Complete::AtLeast(_) if failing < 3 => failing + 2,
        Complete::All if failing > 0 => 1,
        Complete::AtLeast(_) | Complete::Tolerate(_) | Complete::TolerateShare(_) if failing == 3 => 2,
        _ => 3,
    }
}

async fn check(calls: Calls, complete: Complete, kind: &'static str, failing: usize) {
    let called = Called::default();
    let flow = if kind == "graph" { graph(calls, complete, &called) } else { for_each(calls, complete, &called) };
    let case = format!("{calls:?}, {complete:?}, {kind}, {failing} of 3 fail");
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = asked.clone();
    let flow = flow.on_failure(move |_: Context, failure: Failure| {
        counted.fetch_add(1, SeqCst);
        std::future::ready(failure.decline())
    });
    let kit = start_counted(flow, &called, move |number| number < failing).await;
    let end = kit.request("[0,1,2]").send().await;
    let asked = asked.load(SeqCst);
    if calls == Calls::Synchronous {
        assert_eq!(kit.calls("f").len(), expected_calls(complete, failing), "{case}");
    }
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
        for calls in CALLS {
            let check = |kind, failing| check(calls, complete, kind, failing);
            let graphs = async { tokio::join!(check("graph", 0), check("graph", 1), check("graph", 3)) };
            let items = async { tokio::join!(check("for-each", 0), check("for-each", 1), check("for-each", 3)) };
            tokio::join!(graphs, items);
        }
    }
}

#[tokio::test]
async fn an_empty_list_is_complete_unless_a_success_is_needed() {
    for calls in CALLS {
        for (complete, output) in [
            (Complete::All, Some("[]")),
            (Complete::Settled, Some("[]")),
            (Complete::Tolerate(1), Some("[]")),
            (Complete::First, None),
            (Complete::AtLeast(1), None),
        ] {
            let end = start(for_each(calls, complete, &Called::default()), |_| false).await.request("[]").send().await;
            match output {
                Some(output) => assert_eq!(end.text(), output, "{calls:?}, {complete:?}"),
                None => {
                    let reason = &end.json::<Value>()["reason"];
                    assert_eq!(reason, "too few members can succeed", "{calls:?}, {complete:?}");
                }
            }
        }
    }
}

/// The output for one member has the same form as for several.
#[tokio::test]
async fn a_single_member_is_joined_like_several() {
    for calls in CALLS {
        let one = Flow::builder().parallel([("only", calls.flow())]);
        assert_eq!(start(one, |_| false).await.request("7").send().await.text(), r#"{"only":7}"#, "{calls:?}");
        for (complete, output) in [(Complete::All, "[0]"), (Complete::AtLeast(1), "[0]"), (Complete::First, "0")] {
            let end = start(for_each(calls, complete, &Called::default()), |_| false).await.request("[0]").send().await;
            assert_eq!(end.text(), output, "{calls:?}, {complete:?}");
        }
    }
}

/// A collect sees the failures up to the decision, and the items that did not begin.
#[tokio::test]
async fn a_collect_sees_how_each_item_ended() {
    for calls in CALLS {
        let item = ForEach::new(calls.flow()).at_most(1).complete(Complete::AtLeast(2));
        let flow = Flow::builder().for_each(item.collect(async |items: Items| {
            items.iter().map(|item| item.outcome().to_string()).collect::<Vec<_>>().join(" ")
        }));
        let kit = start(flow, |number| number % 2 == 1).await;
        let end = kit.request("[0,1,2,3,4]").send().await;
        assert_eq!(end.text(), "done failed done not_begun not_begun", "{calls:?}");
        assert_eq!(kit.calls("f").len(), 3, "{calls:?}");
    }
}

#[tokio::test]
async fn when_enough_items_have_succeeded_no_more_begin() {
    for calls in CALLS {
        let item = ForEach::new(calls.flow()).at_most(4).complete(Complete::AtLeast(3));
        let kit = start(Flow::builder().for_each(item), |_| false).await;
        let list: Vec<usize> = (0..1000).collect();
        let end = kit.request(serde_json::to_vec(&list).unwrap()).send().await;
        assert_eq!(end.json::<Vec<usize>>().len(), 3, "{calls:?}");
        assert!(kit.calls("f").len() <= 7, "{calls:?}: {}", kit.calls("f").len());
    }
}

/// If the fork decides at once, no item begins.
#[tokio::test]
async fn items_that_cannot_be_enough_do_not_begin() {
    for calls in CALLS {
        let flow = for_each(calls, Complete::AtLeast(5), &Called::default()).on_failure(
            async |_: Context, failure: Failure| {
                let items = failure.items().into_iter().flat_map(Items::iter);
                failure.reply(items.map(|item| item.outcome().to_string()).collect::<Vec<_>>().join(" "))
            },
        );
        let kit = start(flow, |_| false).await;
        let end = kit.request("[0,1,2]").send().await;
        assert_eq!(end.text(), "not_begun not_begun not_begun", "{calls:?}");
        assert_eq!(kit.calls("f").len(), 0, "{calls:?}");
    }
}

#[tokio::test]
async fn the_successors_of_a_failed_branch_do_not_begin() {
    for calls in CALLS {
        let graph = Graph::new().branch("a", calls.flow()).branch("b", calls.flow()).branch("c", calls.flow());
        let graph = graph.after("b", ["a"]).after("c", ["b"]).complete(Complete::Settled);
        let kit = start(Flow::builder().graph(graph), |_| true).await;
        let not_begun = json!({"outcome": "not_begun", "reason": "it was not begun"});
        let output = json!({"a": failed(), "b": not_begun, "c": not_begun});
        assert_eq!(kit.request("0").send().await.json::<Value>(), output, "{calls:?}");
        assert_eq!(kit.calls("f").len(), 1, "{calls:?}");
    }
}

/// A branch that waits for others and cannot read an output fails by itself, and not the whole graph.
#[tokio::test(flavor = "multi_thread")]
async fn a_branch_after_one_whose_output_is_not_json_fails_like_any_branch() {
    let why = "the output of the branch `photo` is not JSON, which a join without a handler needs";
    let ends = |sheet: &str| format!("photo: done; other: done; sheet: {sheet}");
    for (complete, recovers, expected) in [
        (Complete::All, false, None),
        (Complete::Settled, false, Some(ends(&format!("failed, {why}")))),
        (Complete::Tolerate(1), false, Some(ends(&format!("failed, {why}")))),
        (Complete::All, true, Some(ends("done"))),
    ] {
        for (calls, after) in CALLS.into_iter().flat_map(|calls| [(calls, 1), (calls, 2)]) {
            let sheet = match recovers {
                true => calls.flow().on_failure(async |_: Context, failure: Failure| failure.recover("mended")),
                false => calls.flow(),
            };
            let graph = Graph::new()
                .branch("photo", calls.flow().modify(async |_: ()| vec![0xff_u8, 0xd8]))
                .branch("other", calls.flow())
                .branch("sheet", sheet)
                .after("sheet", ["photo", "other"].into_iter().take(after));
            let join = async |branches: Branches| {
                let end = |(name, result): (&str, &MemberResult)| match result {
                    MemberResult::Failed(why) => format!("{name}: failed, {why}"),
                    other => format!("{name}: {}", other.outcome()),
                };
                branches.iter().map(end).collect::<Vec<_>>().join("; ")
            };
            let kit = start(Flow::builder().graph(graph.complete(complete).join(join)), |_| false).await;
            let end = kit.request("1").send().await;
            let case = format!("{complete:?}, {calls:?}, after {after}, recovers: {recovers}: {}", end.text());
            match &expected {
                Some(text) => assert_eq!(end.text(), *text, "{case}"),
                None => {
                    let end: Value = end.json();
                    assert_eq!(end["reason"], format!("the branch `sheet` failed: {why}"), "{case}");
                    assert_eq!(end["step"], "graph", "{case}");
                }
            }
            // A failure under `All` also cancels the call of `other` if that has not been sent yet and nothing waits for it.
            let may_be_cancelled = expected.is_none() && after == 1;
            let calls = kit.calls("f").len();
            assert!(calls == 2 || may_be_cancelled && calls == 1, "{calls} calls; {case}");
        }
    }
}
