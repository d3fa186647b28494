//! Graphs, choices, for-eaches and sub-flows whose calls are all synchronous: they run within one invocation.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use faasflow::{
    Branches, Call, Choice, Complete, Context, Error, Failure, Flow, FlowBuilder, ForEach, Graph, Json, Memory,
    Outcome, Result,
};
use faasflow_testkit::{Fake, Reply, Running, TestKit};
use serde_json::{Value, json};

use super::support::{PATIENCE, until_seen};

fn call(function: &str) -> FlowBuilder {
    Flow::builder().apply(Call::new(function).sync())
}

fn kit(flow: FlowBuilder) -> TestKit {
    let kit = TestKit::new(flow.build().unwrap()).function("bad", Fake::failing(404)).function("hang", Fake::hanging());
    ["a", "b", "c", "d"].into_iter().fold(kit, |kit, name| kit.function(name, Fake::echo()))
}

async fn start(flow: FlowBuilder) -> Running {
    kit(flow).start().await
}

fn reason(answer: &faasflow_testkit::Answer) -> String {
    answer.json::<Value>()["reason"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn branches_run_side_by_side_and_in_the_order_of_their_dependencies() {
    let graph = Graph::new()
        .branch("left", call("a"))
        .branch("right", call("b"))
        .branch("both", call("c"))
        .branch("apart", call("d"))
        .after("both", ["left", "right"]);
    let kit = start(Flow::builder().graph(graph)).await;
    for name in ["a", "b"] {
        kit.hold_function(name);
    }
    let (answer, ()) = tokio::join!(kit.request("1").answer(), async {
        for name in ["a", "b", "d"] {
            kit.until_called(name, 1).await;
        }
        assert!(kit.calls("c").is_empty());
        for name in ["a", "b"] {
            kit.release_function(name);
        }
    });
    // Only the branches that no other branch waits for.
    assert_eq!(answer.text(), r#"{"both":{"left":1,"right":1},"apart":1}"#);
    assert_eq!(kit.calls("c")[0].text(), r#"{"left":1,"right":1}"#);
}

/// Everything inside everything else.
#[tokio::test]
async fn constructs_are_nested_in_each_other() {
    let choice = Choice::new(async |number: String| if number == "2" { "two" } else { "other" }.to_owned())
        .branch("two", Flow::builder().parallel([("x", call("a")), ("y", call("b"))]))
        .otherwise(Flow::builder());
    let item = Flow::builder().flow("archive", Flow::builder().choose(choice).apply(Call::new("c").sync()));
    let flow = Flow::builder()
        .parallel([
            ("list", Flow::builder().for_each(ForEach::new(item))),
            ("lists", {
                let inner = Flow::builder().for_each(ForEach::new(call("d")));
                Flow::builder().modify(async |_: ()| "[[1,2],[3],[]]").for_each(ForEach::new(inner))
            }),
        ])
        .apply(Call::new("d").sync());
    let kit = start(flow).await;
    let answer = kit.request("[1,2,3]").answer().await;
    assert_eq!(answer.text(), r#"{"list":[1,{"x":2,"y":2},3],"lists":[[1,2],[3],[]]}"#);
    // The key of each call is its own.
    let calls: Vec<_> = ["a", "b", "c", "d"].iter().flat_map(|name| kit.calls(name)).collect();
    let keys: BTreeSet<_> = calls.iter().map(|call| call.header("idempotency-key").unwrap().to_owned()).collect();
    assert_eq!((calls.len(), keys.len()), (1 + 1 + 3 + 3 + 1, 9), "{keys:?}");
}

#[tokio::test]
async fn a_failure_cancels_the_other_branches() {
    let graph = Graph::new()
        .branch("hangs", call("hang"))
        .branch("fails", call("bad"))
        .branch("later", call("a"))
        .after("later", ["hangs"]);
    let flow = Flow::builder().graph(graph).on_failure(async |_: Context, failure: Failure| {
        let branches = failure.branches().unwrap();
        let outcomes: Vec<String> = branches.iter().map(|(name, it)| format!("{name} {}", it.outcome())).collect();
        failure.reply(outcomes.join(", "))
    });
    let kit = start(flow).await;
    kit.hold_function("bad");
    let (answer, ()) = tokio::join!(kit.request("x").answer(), async {
        kit.until_called("hang", 1).await;
        kit.release_function("bad");
    });
    assert_eq!(answer.text(), "hangs dropped, fails failed, later not_begun");
    assert_eq!((kit.calls("hang").len(), kit.calls("a").len()), (1, 0));
}

async fn pause(payload: String) -> String {
    tokio::time::sleep(Duration::from_millis(100)).await;
    payload
}

/// A limit on items in flight holds from the first to the last.
#[tokio::test]
async fn at_most_so_many_items_run_at_once() {
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let seen = most.clone();
    let item = Flow::builder().modify(move |text: String| {
        let (now, most) = (now.clone(), most.clone());
        async move {
            most.fetch_max(now.fetch_add(1, SeqCst) + 1, SeqCst);
            // The first ones wait until as many run as may.
            until_seen(|| most.load(SeqCst) >= 4).await;
            tokio::time::sleep(Duration::from_millis(text.parse::<u64>().unwrap() % 7)).await;
            now.fetch_sub(1, SeqCst);
            text
        }
    });
    let list: Vec<usize> = (0..100).collect();
    let kit = start(Flow::builder().for_each(ForEach::new(item).at_most(4))).await;
    assert_eq!(kit.request(json!(list).to_string()).answer().await.json::<Vec<usize>>(), list);
    assert_eq!(seen.load(SeqCst), 4);
}

#[tokio::test]
async fn a_list_that_is_too_long_fails_before_any_item_begins() {
    let kit = kit(Flow::builder().for_each(ForEach::new(call("a")))).setting("max_items", "3").start().await;
    assert_eq!(kit.request("[1,2,3]").answer().await.text(), "[1,2,3]");
    let before = kit.calls("a").len();
    let answer = kit.request("[1,2,3,4]").answer().await;
    assert_eq!(answer.json::<Value>()["code"], "FF0332");
    assert_eq!(
        reason(&answer),
        "the list of for-each 1 has 4 items, and at most 3 are allowed: send a shorter list, or raise `max_items`"
    );
    assert_eq!(kit.calls("a").len(), before);
}

/// A modifier that computes for long keeps its thread. The other branch goes on meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn code_that_blocks_its_thread_does_not_stop_the_calls_of_other_branches() {
    let ended = Arc::new(std::sync::Mutex::new(Vec::new()));
    let (first, second) = (ended.clone(), ended.clone());
    let blocks = Flow::builder().modify(move |text: String| {
        let limit = Instant::now() + PATIENCE;
        while first.lock().unwrap().is_empty() && Instant::now() < limit {
            std::thread::sleep(Duration::from_millis(5));
        }
        first.lock().unwrap().push("blocked");
        std::future::ready(text)
    });
    let calls = (0..5).fold(Flow::builder(), |flow, _| flow.apply(Call::new("a").sync()));
    let calls = calls.modify(move |text: String| {
        second.lock().unwrap().push("called");
        std::future::ready(text)
    });
    // Polled inside the future, so that the thread of the task is the one that is blocked.
    let kit = start(Flow::builder().parallel([("blocks", blocks), ("calls", calls)])).await;
    assert_eq!(kit.request("1").answer().await.text(), r#"{"blocks":1,"calls":1}"#);
    assert_eq!(*ended.lock().unwrap(), ["called", "blocked"]);
}

#[tokio::test]
async fn an_outage_in_a_branch_is_an_outage_of_the_request() {
    let asked = Arc::new(AtomicUsize::new(0));
    for (complete, status) in [(Complete::All, 503), (Complete::Settled, 503), (Complete::First, 200)] {
        let (in_branch, in_flow) = (asked.clone(), asked.clone());
        let away = call("away").on_failure(move |_: Context, failure: Failure| {
            in_branch.fetch_add(1, SeqCst);
            std::future::ready(failure.recover("1"))
        });
        let well = Flow::builder().modify(pause).apply(Call::new("a").sync());
        let flow = Flow::builder()
            .graph(Graph::new().branch("away", away).branch("well", well).complete(complete))
            .on_failure(move |_: Context, failure: Failure| {
                in_flow.fetch_add(1, SeqCst);
                std::future::ready(failure.recover("1"))
            });
        let later = Fake::with(|_| Reply::new("later").status(503).header("retry-after", "3600"));
        let kit = kit(flow).function("away", later).start().await;
        let answer = kit.request("7").answer().await;
        assert_eq!(answer.status.as_u16(), status, "{complete:?}: {}", answer.text());
        let outcome = (status == 200).then_some(Outcome::Success);
        assert_eq!((answer.outcome(), answer.header("retry-after").is_some()), (outcome, status == 503));
    }
    assert_eq!(asked.load(SeqCst), 0, "an outage is not a failure");
}

#[tokio::test]
async fn the_failure_handler_of_a_branch_decides_first() {
    let with = |decide: fn(&Failure) -> faasflow::Resolution| {
        call("bad").on_failure(move |_: Context, failure: Failure| std::future::ready(decide(&failure)))
    };
    let answered = async |branch: FlowBuilder| {
        let flow = Flow::builder().parallel([("x", branch), ("y", call("a"))]);
        let flow = flow.on_failure(async |_: Context, failure: Failure| failure.reply("asked the flow"));
        let answer = start(flow).await.request("1").answer().await;
        (answer.outcome(), answer.text())
    };
    let recovered = with(|failure| failure.recover(failure.payload().clone()));
    assert_eq!(answered(recovered).await, (Some(Outcome::Success), r#"{"x":1,"y":1}"#.to_owned()));
    let replied = with(|failure| failure.reply("asked the branch"));
    assert_eq!(answered(replied).await, (Some(Outcome::Failure), "asked the branch".to_owned()));
    let declined = with(Failure::decline);
    assert_eq!(answered(declined).await, (Some(Outcome::Failure), "asked the flow".to_owned()));
    // A handler further out, of a flow around the failed one.
    let outer = Flow::builder()
        .flow("inner", with(Failure::decline))
        .on_failure(async |_: Context, failure: Failure| failure.recover("2"));
    assert_eq!(answered(outer).await, (Some(Outcome::Success), r#"{"x":2,"y":1}"#.to_owned()));
}

/// A sub-flow of several phases is not one token more, so it needs no store.
#[tokio::test]
async fn a_sub_flow_of_several_phases_recovers_and_goes_on() {
    let sub = |last: &str| {
        let sub = Flow::builder().apply("a").apply("b").apply(last);
        sub.on_failure(async |context: Context, failure: Failure| match context.query("give-up") {
            Some(_) => failure.decline(),
            None => failure.recover("mended"),
        })
    };
    for (last, end) in [("c", "x"), ("bad", "mended")] {
        // Once with something behind it, once at the end.
        for flow in
            [Flow::builder().flow("sub", sub(last)).apply("d"), Flow::builder().apply("d").flow("sub", sub(last))]
        {
            let flow = flow.on_failure(async |_: Context, failure: Failure| failure.recover("asked the flow"));
            let kit = start(flow).await;
            let ended = kit.request("x").send().await;
            assert_eq!((ended.text().as_str(), ended.outcome()), (end, Some(Outcome::Success)), "{last}");
            assert_eq!(kit.calls("d").len(), 1);
            if last == "bad" {
                let ended = kit.request("x").query("give-up", "").send().await;
                assert_eq!((ended.text().as_str(), ended.outcome()), ("asked the flow", Some(Outcome::Recovered)));
            }
        }
    }
}

#[tokio::test]
async fn a_later_phase_of_an_asynchronous_flow_has_branches() {
    let flow = Flow::builder()
        .apply("a")
        .apply("b")
        .parallel([("x", call("c")), ("y", call("d"))])
        .for_each(ForEach::new(call("c")).split(async |Json(object): Json<Value>| vec![Json(object["x"].clone())]))
        .apply("a");
    let kit = start(flow).await;
    let end = kit.request("3").send().await;
    assert_eq!((end.status.as_u16(), end.text().as_str(), end.outcome()), (202, "[3]", Some(Outcome::Success)));
    assert_eq!(["a", "b", "c", "d"].map(|name| kit.calls(name).len()), [2, 1, 2, 1]);
}

#[tokio::test]
async fn branches_share_the_state_of_the_request() {
    let sets = |key: &'static str| {
        call("a").modify(move |context: Context, text: String| async move {
            context.set(key, format!("set by {key}")).await?;
            Ok::<_, Error>(text)
        })
    };
    let join = async |context: Context, mut branches: Branches| -> Result<String> {
        let (x, y) = (context.get::<String>("x").await?, context.get::<String>("y").await?);
        let taken: String = branches.take("x")?;
        Ok(format!("{}, {}, {taken}", x.unwrap(), y.unwrap()))
    };
    let graph = || Graph::new().branch("x", sets("x")).branch("y", sets("y")).join(join);
    for flow in [Flow::builder().graph(graph()), Flow::builder().graph(graph()).state(Memory::new())] {
        assert_eq!(start(flow).await.request("1").answer().await.text(), "set by x, set by y, 1");
    }
    // It goes on to the next phase.
    let flow =
        Flow::builder().apply("a").graph(graph()).apply("b").modify(async |context: Context, _: String| {
            context.get::<String>("y").await.map(Option::unwrap_or_default)
        });
    assert_eq!(start(flow).await.request("1").send().await.text(), "set by y");
}

#[tokio::test]
async fn a_branch_or_an_item_that_takes_too_long_fails() {
    let within = Duration::from_millis(200);
    let graph = || Graph::new().branch("slow", call("hang")).branch("quick", call("a")).within("slow", within);
    let answer = start(Flow::builder().graph(graph())).await.request("1").answer().await;
    assert_eq!(reason(&answer), "the branch `slow` failed: no answer within 200ms");
    let settled = start(Flow::builder().graph(graph().complete(Complete::Settled))).await.request("1").answer().await;
    assert_eq!(
        settled.text(),
        r#"{"slow":{"outcome":"failed","reason":"no answer within 200ms"},"quick":{"outcome":"done","output":1}}"#
    );
    // Its handler has time to recover. The limit is for modifiers too.
    let slow = Flow::builder().modify(async |_: ()| -> String { std::future::pending().await });
    let slow =
        slow.on_failure(async |_: Context, failure: Failure| failure.recover(failure.reason().len().to_string()));
    let graph = Graph::new().branch("slow", slow).branch("quick", call("a")).within("slow", within);
    let answer = start(Flow::builder().graph(graph)).await.request("1").answer().await;
    assert_eq!(answer.text(), r#"{"slow":22,"quick":1}"#);
    let item = Flow::builder().choose(
        Choice::new(async |text: String| if text == "2" { "hang" } else { "a" }.to_owned())
            .branch("hang", call("hang"))
            .branch("a", call("a")),
    );
    // The other items have to be quick enough.
    let for_each = ForEach::new(item).within(Duration::from_secs(3)).at_most(1).complete(Complete::Tolerate(1));
    let answer = start(Flow::builder().for_each(for_each)).await.request("[1,2,3]").answer().await;
    let outcomes: Vec<String> = answer.json::<Vec<Value>>().iter().map(|item| item["outcome"].to_string()).collect();
    assert_eq!(outcomes, [r#""done""#, r#""failed""#, r#""done""#]);
}

#[tokio::test]
async fn headers_and_queries_reach_the_calls_of_branches() {
    let traced = Call::new("a").sync().query_with("width", |context: &Context| context.query("w").unwrap());
    let flow = Flow::builder().parallel([("x", Flow::builder().apply(traced)), ("y", call("b"))]);
    let kit = start(flow).await;
    kit.request("1").query("w", "80").header("x-tenant", "acme").answer().await;
    for name in ["a", "b"] {
        assert_eq!(kit.calls(name)[0].header("x-tenant"), Some("acme"));
    }
    assert_eq!(kit.calls("a")[0].query.as_deref(), Some("width=80"));
    let keys = ["a", "b"].map(|name| kit.calls(name)[0].header("idempotency-key").unwrap().to_owned());
    assert!(keys[0].ends_with("-1-1") && keys[1].ends_with("-1-2"), "{keys:?}");
}

#[tokio::test]
async fn faults_of_the_code_around_branches_fail_the_request() {
    let fails = |flow: FlowBuilder| async {
        let answer = start(flow).await.request("1").answer().await;
        let answer: Value = answer.json();
        [&answer["step"], &answer["reason"], &answer["code"]].map(|value| value.as_str().unwrap().to_owned())
    };
    let two = || Graph::new().branch("x", call("a")).branch("y", Flow::builder().modify(async |_: ()| "no JSON"));
    let not_json = "the output of the branch `y` is not JSON, which a join without a handler needs";
    assert_eq!(fails(Flow::builder().graph(two())).await[..2], ["join", not_json]);
    let after = two().branch("z", call("b")).after("z", ["y"]);
    let not_begun = format!("the branch `z` failed: {not_json}");
    assert_eq!(fails(Flow::builder().graph(after)).await[..2], ["graph", &not_begun]);
    let panics = two().join(async |_: Branches| -> String { panic!("oh dear") });
    assert_eq!(fails(Flow::builder().graph(panics)).await[..2], ["join", "it panicked"]);
    let choice = Choice::new(async |_: String| "huge".to_owned()).branch("small", call("a"));
    assert_eq!(fails(Flow::builder().choose(choice)).await, ["choice", "there is no branch `huge`", "FF0333"]);
    assert_eq!(fails(Flow::builder().for_each(ForEach::new(call("a")))).await[0], "for-each");
}
