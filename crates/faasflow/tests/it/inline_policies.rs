//! Every completion policy, for graphs and for-eaches whose calls are all synchronous.

use std::time::Duration;

use faasflow::{Call, Complete, Context, Failure, Flow, FlowBuilder, ForEach, Graph, Outcome};
use faasflow_testkit::{Fake, Reply, Running, TestKit};
use serde_json::{Value, json};

/// Members end 100 ms after each other, so that it is known which is first. The first `failing` of them fail.
const APART: u64 = 100;

/// Calls `f` with its number, after a time that grows with the number.
fn member() -> FlowBuilder {
    Flow::builder()
        .modify(async |number: String| {
            tokio::time::sleep(Duration::from_millis(APART * number.parse::<u64>().unwrap())).await;
            number
        })
        .apply(Call::new("f").sync())
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

async fn start(flow: FlowBuilder, failing: usize) -> Running {
    let f = Fake::with(move |call| match call.text().parse::<usize>().unwrap() < failing {
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

#[tokio::test]
async fn each_policy_has_the_outcome_that_it_promises() {
    for complete in [
        Complete::All,
        Complete::Settled,
        Complete::First,
        Complete::AtLeast(2),
        Complete::Tolerate(1),
        Complete::TolerateShare(34),
    ] {
        for failing in [0, 1, 3] {
            for (kind, flow) in [("graph", graph(complete)), ("for-each", for_each(complete))] {
                let case = format!("{complete:?}, {kind}, {failing} of 3 fail");
                let asked = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
                let counted = asked.clone();
                let flow = flow.on_failure(move |_: Context, failure: Failure| {
                    counted.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                    std::future::ready(failure.decline())
                });
                let kit = start(flow, failing).await;
                let answer = kit.request("[0,1,2]").answer().await;
                let asked = asked.load(std::sync::atomic::Ordering::SeqCst);
                match expected(complete, failing) {
                    None => {
                        assert_eq!((answer.outcome(), answer.status.as_u16()), (Some(Outcome::Failure), 500), "{case}");
                        let answer: Value = answer.json();
                        assert_eq!((&answer["step"], &answer["code"]), (&json!(kind), &json!("FF0331")), "{case}");
                        let first = if kind == "graph" { "the branch `a`" } else { "item 1" };
                        let reason = answer["reason"].as_str().unwrap();
                        assert!(reason.starts_with(&format!("{first} failed: it answered 404")), "{case}: {reason}");
                        assert_eq!(asked, 1, "{case}");
                    }
                    Some(results) => {
                        assert_eq!(answer.outcome(), Some(Outcome::Success), "{case}: {}", answer.text());
                        let output = match (kind, complete) {
                            (_, Complete::First) => results[0].clone(),
                            ("graph", Complete::AtLeast(_)) | ("for-each", _) => Value::Array(results),
                            _ => ["a", "b", "c"].map(str::to_owned).into_iter().zip(results).collect(),
                        };
                        assert_eq!(answer.json::<Value>(), output, "{case}");
                        assert_eq!(asked, 0, "{case}");
                    }
                }
                // When the policy is decided, the others are cancelled before they call.
                let calls = match complete {
                    Complete::First if failing < 3 => failing + 1,
                    Complete::AtLeast(_) if failing < 3 => failing + 2,
                    Complete::All if failing > 0 => 1,
                    Complete::AtLeast(_) | Complete::Tolerate(_) | Complete::TolerateShare(_) if failing == 3 => 2,
                    _ => 3,
                };
                assert_eq!(kit.calls("f").len(), calls, "{case}");
            }
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
        let answer = start(for_each(complete), 0).await.request("[]").answer().await;
        match output {
            Some(output) => assert_eq!(answer.text(), output, "{complete:?}"),
            None => {
                assert_eq!(answer.json::<Value>()["reason"], "too few members can succeed", "{complete:?}");
            }
        }
    }
}

/// One member takes no shortcut: its output has the same form as that of several.
#[tokio::test]
async fn a_single_member_is_joined_like_several() {
    let one = Flow::builder().parallel([("only", Flow::builder().apply(Call::new("f").sync()))]);
    assert_eq!(start(one, 0).await.request("7").answer().await.text(), r#"{"only":7}"#);
    for (complete, output) in [(Complete::All, "[0]"), (Complete::AtLeast(1), "[0]"), (Complete::First, "0")] {
        assert_eq!(start(for_each(complete), 0).await.request("[0]").answer().await.text(), output);
    }
}

/// The join of a policy that lets failures through is told which branches did not begin, and why not.
#[tokio::test]
async fn the_successors_of_a_failed_branch_do_not_begin() {
    let call = || Flow::builder().apply(Call::new("f").sync());
    let flow = Flow::builder().graph(
        Graph::new()
            .branch("a", call())
            .branch("b", call())
            .branch("c", call())
            .after("b", ["a"])
            .after("c", ["b"])
            .complete(Complete::Settled),
    );
    let kit = start(flow, 1).await;
    let not_begun = json!({"outcome": "not_begun", "reason": "it was not begun"});
    let output = json!({"a": failed(), "b": not_begun, "c": not_begun});
    assert_eq!(kit.request("0").answer().await.json::<Value>(), output);
    assert_eq!(kit.calls("f").len(), 1);
}

/// Failures so far, and items that were not needed, are shown to the handler.
#[tokio::test]
async fn a_collect_sees_what_became_of_each_item() {
    let for_each = ForEach::new(member()).at_most(1).complete(Complete::AtLeast(2));
    let for_each = for_each.collect(async |items: faasflow::Items| {
        let outcomes: Vec<String> = items.iter().map(|item| item.outcome().to_string()).collect();
        outcomes.join(" ")
    });
    let kit = start(Flow::builder().for_each(for_each), 1).await;
    let answer = kit.request("[2,0,1,1,1]").answer().await;
    assert_eq!(answer.text(), "done failed done not_begun not_begun");
    assert_eq!(kit.calls("f").len(), 3);
}
