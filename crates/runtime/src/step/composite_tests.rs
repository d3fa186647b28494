//! Executes graphs and for-eaches without HTTP, and looks at what their observers see.

use std::time::Duration;

use faasflow_core::{Complete, Context, Error, Failure, Flow, FlowBuilder, ForEach, Graph, MemberResult, Payload};

use super::execute::{Execution, SegmentResult};
use super::tests::{execute, executed};
use super::unanswered::Unanswered;
use crate::testing::series;

fn number(number: &'static str) -> FlowBuilder {
    Flow::builder().modify(move |_: ()| std::future::ready(number))
}

async fn fails(_: ()) -> Result<(), Error> {
    Err(Error::refused("no"))
}

fn output(result: SegmentResult) -> String {
    match result {
        SegmentResult::Done(payload) => String::from_utf8(payload.bytes().to_vec()).unwrap(),
        other => panic!("{other:?}"),
    }
}

/// The lines without the times in them, which differ from run to run.
fn without_times(lines: &[String]) -> Vec<String> {
    let word = |word: &str| match word.starts_with(|first: char| first.is_ascii_digit()) && word.contains('s') {
        true => word.trim_start_matches(|c: char| c != ' ' && c != ':').to_owned(),
        false => word.to_owned(),
    };
    lines.iter().map(|line| line.split(' ').map(word).collect::<Vec<_>>().join(" ")).collect()
}

#[tokio::test]
async fn log_lines_say_which_branch_they_are_about() {
    let branch = Flow::builder().modify(fails).on_failure(async |_: Context, failure: Failure| failure.recover("2"));
    let flow = Flow::builder().graph(Graph::new().branch("x", number("1")).branch("y", branch).after("y", ["x"]));
    let (result, lines) = executed(flow, &[]).await;
    assert_eq!(output(result), r#"{"y":2}"#);
    let lines: Vec<String> =
        without_times(&lines).iter().map(|line| line.split(" at ").next().unwrap().into()).collect();
    assert_eq!(
        lines,
        [
            "Executing modifier",
            "Executed branch `x` in  branch=x",
            "Executing modifier `fails` branch=y",
            "step 2 (modifier `fails`) failed: no; asking the failure handler around it branch=y",
            "Executing the failure handler branch=y",
            "Executed branch `y` in  branch=y",
        ]
    );
}

#[tokio::test]
async fn nested_members_have_paths() {
    let inner = Flow::builder().graph(Graph::new().branch("x y", Flow::builder().modify(fails)));
    let flow = Flow::builder().for_each(ForEach::new(inner).complete(Complete::Settled));
    let (result, lines) = executed(flow.flow("rest", number("1")), &[]).await;
    // The input of this test is not a list.
    assert!(matches!(result, SegmentResult::Failed(_)) && lines.is_empty());
    let inner = Flow::builder().graph(Graph::new().branch("x y", Flow::builder().modify(fails)));
    let list = Flow::builder().modify(async |_: ()| "[7]");
    let flow = list.for_each(ForEach::new(inner).complete(Complete::Settled));
    let (result, lines) = executed(flow, &[]).await;
    assert_eq!(output(result), r#"[{"outcome":"failed","reason":"the branch `x y` failed: no"}]"#);
    assert!(lines.iter().any(|line| line == "Executing modifier `fails` branch=item-1/x y"), "{lines:?}");
}

#[tokio::test(start_paused = true)]
async fn branches_are_counted_and_timed_by_outcome() {
    let waits = Flow::builder().modify(async |_: ()| tokio::time::sleep(Duration::from_secs(5)).await);
    let late = Flow::builder().modify(async |_: ()| {
        tokio::time::sleep(Duration::from_secs(1)).await;
        Err::<(), _>(Error::refused("no"))
    });
    let graph = Graph::new()
        .branch("quick", number("1"))
        .branch("fails", late)
        .branch("waits", waits)
        .branch("later", number("1"))
        .after("later", ["waits"]);
    let flow = Flow::builder().graph(graph).build().unwrap();
    execute(flow, &[], async |execution: &Execution<'_>, flow, instance| {
        let segment = flow.plan().segments().next().unwrap();
        assert!(matches!(execution.run(flow, segment, Payload::empty()).await, SegmentResult::Failed(_)));
        for (branch, outcome, count) in [
            ("quick", "done", "1"),
            ("fails", "failed", "1"),
            ("waits", "dropped", "1"),
            ("later", "not_begun", "1"),
            ("later", "done", "0"),
        ] {
            let name = format!(r#"faasflow_branches_total{{branch="1 {branch}",outcome="{outcome}",flow="flow"}}"#);
            assert_eq!(series(instance, &name), count, "{name}");
        }
        let took = |branch: &str| {
            series(instance, &format!(r#"faasflow_branch_duration_seconds_sum{{branch="1 {branch}",flow="flow"}}"#))
        };
        assert_eq!([took("fails"), took("waits"), took("later")], ["1", "1", "0"]);
        assert_eq!(series(instance, r#"faasflow_failures_total{reason="branches",flow="flow"}"#), "1");
    })
    .await;
}

/// A branch after one that met an outage cannot begin, so nothing is left that could succeed.
#[tokio::test]
async fn an_outage_also_holds_up_what_comes_after_it() {
    async fn away(_: ()) -> Result<(), Error> {
        Err(Error::from(faasflow_core::state::StateError::temporary("it is away")))
    }
    let graph = || Graph::new().branch("x", Flow::builder().modify(away)).branch("y", number("1")).after("y", ["x"]);
    for complete in [Complete::All, Complete::Settled, Complete::First, Complete::AtLeast(1)] {
        let (result, _) = executed(Flow::builder().graph(graph().complete(complete)), &[]).await;
        assert!(matches!(result, SegmentResult::Outage(_)), "{complete:?}: {result:?}");
    }
    // A branch beside them is enough for `First`.
    let (result, _) =
        executed(Flow::builder().graph(graph().branch("z", number("2")).complete(Complete::First)), &[]).await;
    assert_eq!(output(result), "2");
}

/// The driver of requests with several tokens uses these one by one.
#[tokio::test]
async fn lists_are_limited_and_joins_get_results_in_order() {
    let flow = Flow::builder().for_each(ForEach::new(number("1"))).build().unwrap();
    execute(flow, &[], async |execution: &Execution<'_>, flow, _| {
        let composite = match flow.plan().body(Default::default()).nodes()[0] {
            faasflow_core::graph::Node::Composite(index) => index,
            _ => unreachable!(),
        };
        let items = execution.split(flow, composite, &Payload::new(r#"[1, "two", null]"#)).await.unwrap();
        let texts: Vec<_> = items.iter().map(|item| item.bytes().to_vec()).collect();
        assert_eq!(texts, [&b"1"[..], br#""two""#, b"null"]);
        match execution.split(flow, composite, &Payload::new("[1,2,3,4]")).await {
            Err(Unanswered::Failed(kind)) => assert_eq!(kind.as_str(), "too_many_items"),
            other => panic!("{other:?}"),
        }
        let joined =
            execution.join(flow, composite, items.into_iter().map(MemberResult::Done).collect()).await.unwrap();
        assert_eq!(joined.bytes(), r#"[1,"two",null]"#);
        let failure = execution.members_failed(flow, composite, vec![MemberResult::Failed("it broke".to_owned())]);
        assert_eq!(failure.reason(), "item 1 failed: it broke");
    })
    .await;
}
