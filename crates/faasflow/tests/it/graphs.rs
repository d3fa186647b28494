//! Flows whose branches have asynchronous calls: they fork, go through the queue, and come together.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use faasflow::bytes::Bytes;
use faasflow::{
    Branches, Call, Choice, Complete, Context, Failure, Flow, FlowBuilder, ForEach, Graph, Items, Json, Memory,
    Outcome, Result, Scope, StateManager as _,
};
use faasflow_core::envelope::Envelope;
use faasflow_testkit::{Fake, RecordedCall, Reply, Running, TestKit};
use serde_json::{Value, json};

use super::support::posts::Posts;
use super::support::until;

fn call(function: &str) -> FlowBuilder {
    Flow::builder().apply(function)
}

/// A function that answers `[input]`.
fn brackets() -> Fake {
    Fake::with(|call| format!("[{}]", call.text()))
}

fn kit(flow: FlowBuilder) -> TestKit {
    functions(TestKit::new(flow.build().unwrap()))
}

fn functions(kit: TestKit) -> TestKit {
    let kit = kit.function("bad", Fake::failing(404)).function("f", brackets());
    ["a", "b", "c", "d"].into_iter().fold(kit, |kit, name| kit.function(name, Fake::echo()))
}

async fn start(flow: FlowBuilder) -> Running {
    kit(flow).start().await
}

#[tokio::test]
async fn two_branches_fork_and_join() {
    let kit = start(Flow::builder().parallel([("x", call("f")), ("y", call("b").apply("f"))])).await;
    let end = kit.request("1").send().await;
    assert_eq!((end.outcome(), end.text()), (Some(Outcome::Success), r#"{"x":[1],"y":[1]}"#.to_owned()));
    assert_eq!((kit.calls("f").len(), kit.calls("b").len()), (2, 1));
}

#[tokio::test]
async fn a_branch_begins_when_those_before_it_are_done() {
    let graph = Graph::new()
        .branch("top", call("a"))
        .branch("left", call("f"))
        .branch("right", call("b"))
        .branch("bottom", call("c"))
        .after("left", ["top"])
        .after("right", ["top"])
        .after("bottom", ["left", "right"]);
    let kit = start(Flow::builder().graph(graph).apply("d")).await;
    let end = kit.request("1").send().await;
    assert_eq!(end.text(), r#"{"bottom":{"left":[{"top":1}],"right":{"top":1}}}"#);
    assert_eq!(kit.calls("c")[0].text(), r#"{"left":[{"top":1}],"right":{"top":1}}"#);
    assert_eq!(["a", "b", "c", "d", "f"].map(|name| kit.calls(name).len()), [1; 5]);
}

/// Everything inside everything else, with phases of its own.
#[tokio::test]
async fn constructs_are_nested_in_each_other() {
    let choice = Choice::new(async |number: String| if number == "2" { "two" } else { "other" }.to_owned())
        .branch("two", Flow::builder().parallel([("x", call("a")), ("y", call("b"))]))
        .otherwise(Flow::builder());
    let item = Flow::builder().flow("archive", Flow::builder().choose(choice).apply("c"));
    let flow = Flow::builder()
        .parallel([
            ("list", Flow::builder().for_each(ForEach::new(item))),
            ("lists", {
                let inner = Flow::builder().for_each(ForEach::new(call("d")));
                Flow::builder().modify(async |_: ()| "[[1,2],[3],[]]").for_each(ForEach::new(inner))
            }),
        ])
        .apply("d");
    let memory = Memory::new();
    let kit = start(flow.state(memory.clone())).await;
    let end = kit.request("[1,2,3]").send().await;
    assert_eq!(end.text(), r#"{"list":[1,{"x":2,"y":2},3],"lists":[[1,2],[3],[]]}"#);
    let calls: Vec<_> = ["a", "b", "c", "d"].iter().flat_map(|name| kit.calls(name)).collect();
    let keys: BTreeSet<_> = calls.iter().map(|call| call.header("idempotency-key").unwrap().to_owned()).collect();
    assert_eq!((calls.len(), keys.len()), (1 + 1 + 3 + 3 + 1, 9), "{keys:?}");
}

#[tokio::test]
async fn a_choice_takes_one_branch_and_names_those_that_do_not_exist() {
    let choice = |name: &'static str| {
        Choice::new(async move |_: ()| name.to_owned()).branch("one", call("f")).branch("two", call("b").apply("f"))
    };
    for (name, output) in [("one", "[1]"), ("two", "[1]")] {
        let kit = start(Flow::builder().apply("a").choose(choice(name)).apply("c")).await;
        let end = kit.request("1").send().await;
        assert_eq!((end.outcome(), end.text()), (Some(Outcome::Success), output.to_owned()), "{name}");
        assert_eq!((kit.calls("f").len(), kit.calls("b").len()), (1, usize::from(name == "two")));
    }
    let kit = start(Flow::builder().apply("a").choose(choice("three")).apply("c")).await;
    let end = kit.request("1").send().await;
    assert_eq!(end.outcome(), Some(Outcome::Failure));
    assert!(end.text().contains("`three`"), "{}", end.text());
    assert!(kit.calls("c").is_empty());
}

#[tokio::test]
async fn a_join_sees_outputs_with_their_content_types() {
    let join = async |mut branches: Branches| {
        let content_type = branches.output("picture")?.content_type().map(str::to_owned);
        let picture: Bytes = branches.take("picture")?;
        let Json(tags): Json<Vec<String>> = branches.take("tags")?;
        Result::Ok(format!("{content_type:?} {} {tags:?}", picture.len()))
    };
    let graph = Graph::new().branch("picture", call("photo")).branch("tags", call("tags")).join(join);
    let kit = kit(Flow::builder().graph(graph))
        .function("photo", Fake::with(|_| Reply::new(vec![0xff; 200_000]).header("content-type", "image/jpeg")))
        .function("tags", Fake::json(&["cat"]))
        .start()
        .await;
    assert_eq!(kit.request("").send().await.text(), r#"Some("image/jpeg") 200000 ["cat"]"#);
}

/// A slot is given back however its holder ended, so the limit holds to the end.
#[tokio::test]
async fn at_most_so_many_items_are_under_way() {
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (running, highest) = (now.clone(), most.clone());
    let count = move |number: String| {
        let (running, highest) = (running.clone(), highest.clone());
        async move {
            highest.fetch_max(running.fetch_add(1, SeqCst) + 1, SeqCst);
            tokio::time::sleep(Duration::from_millis(20)).await;
            running.fetch_sub(1, SeqCst);
            number
        }
    };
    let item = Flow::builder().modify(count).apply("half");
    let for_each = ForEach::new(item).at_most(3).complete(Complete::Settled).collect(async |items: Items| {
        items.iter().map(|item| item.outcome().to_string()).collect::<Vec<_>>().join(" ")
    });
    let half = Fake::with(|call| match call.text().parse::<u32>().unwrap() % 2 {
        0 => Reply::new(call.text()),
        _ => Reply::new("odd").status(404),
    });
    let kit = kit(Flow::builder().for_each(for_each)).function("half", half).start().await;
    let end = kit.request("[0,1,2,3,4,5,6,7,8,9,10,11]").send().await;
    assert_eq!(end.text(), "done failed ".repeat(6).trim_end());
    assert_eq!((kit.calls("half").len(), now.load(SeqCst)), (12, 0));
    assert!((2..=3).contains(&most.load(SeqCst)), "{most:?}");
}

#[tokio::test]
async fn lists_of_none_one_and_thousands_come_back_in_order() {
    for count in [0_usize, 1, 2, 1000] {
        let memory = Memory::new();
        let for_each = ForEach::new(call("a")).at_most(32);
        let kit = start(Flow::builder().for_each(for_each).state(memory.clone())).await;
        let list: Vec<usize> = (0..count).collect();
        let end = kit.request(serde_json::to_vec(&list).unwrap()).send().await;
        assert_eq!(end.json::<Vec<usize>>(), list);
        assert_eq!(kit.calls("a").len(), count);
    }
}

/// An item that is not part of a JSON array keeps its bytes and its content type.
#[tokio::test]
async fn a_split_makes_items_of_any_bytes() {
    let split = async |text: String| text.split(',').map(str::to_owned).collect::<Vec<_>>();
    let collect = async |items: Items| Result::Ok(items.take_all::<String>()?.join("+"));
    let kit = start(Flow::builder().for_each(ForEach::new(call("f")).split(split).collect(collect))).await;
    assert_eq!(kit.request("x,y,z").send().await.text(), "[x]+[y]+[z]");
}

#[tokio::test]
async fn a_list_that_is_too_long_fails_before_any_item_begins() {
    let kit = kit(Flow::builder().for_each(ForEach::new(call("a")))).setting("max_items", "3").start().await;
    let end = kit.request("[1,2,3,4]").send().await;
    assert_eq!((end.outcome(), end.json::<Value>()["code"].clone()), (Some(Outcome::Failure), json!("FF0332")));
    assert!(kit.calls("a").is_empty());
}

#[tokio::test]
async fn the_failure_handler_of_a_branch_decides_first() {
    let recover = call("bad").on_failure(async |_: Context, failure: Failure| failure.recover("7"));
    let flow = Flow::builder().parallel([("x", recover.apply("b")), ("y", call("c"))]).apply("d");
    let kit = start(flow).await;
    let end = kit.request("1").send().await;
    assert_eq!(end.text(), r#"{"x":7,"y":1}"#);
    assert!(kit.calls("b").is_empty(), "it goes on behind the branch");
}

#[tokio::test]
async fn a_reply_of_a_branch_ends_the_request() {
    let reply = call("bad").on_failure(async |_: Context, failure: Failure| failure.reply("sorry"));
    let ended = Arc::new(AtomicUsize::new(0));
    let counted = ended.clone();
    let flow = Flow::builder().parallel([("x", reply), ("y", call("c").apply("d"))]).apply("a");
    let flow = flow.finally(move |_: Context, _: Outcome| {
        counted.fetch_add(1, SeqCst);
        std::future::ready(())
    });
    let kit = start(flow).await;
    let end = kit.request("1").send().await;
    assert_eq!((end.outcome(), end.text().as_str()), (Some(Outcome::Failure), "sorry"));
    assert!(kit.calls("a").is_empty());
    until(async || ended.load(SeqCst) == 1).await;
}

/// Five branches fail at nearly the same moment, and their envelopes are delivered three times. The join is delivered once at
/// first, and then, like all others, twice at the same time.
#[tokio::test(flavor = "multi_thread")]
async fn the_handler_of_the_flow_is_asked_once_about_all_branches() {
    for joins in [1, 2] {
        let (asked, ended) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (count_asked, count_ended) = (asked.clone(), ended.clone());
        let graph = Graph::new().branch("good", call("a")).complete(Complete::Tolerate(4));
        let graph = (0..5).fold(graph, |graph, number| graph.branch(format!("bad {number}"), call("bad")));
        let flow = Flow::builder().graph(graph).apply("d");
        let flow = flow.on_failure(move |_: Context, failure: Failure| {
            count_asked.fetch_add(1, SeqCst);
            let branches = failure.branches().expect("the results of the branches");
            let failed = branches.iter().filter(|(_, result)| result.reason().is_some()).count();
            let good = branches.output("good").unwrap();
            let text = format!("{} {failed} {}", String::from_utf8_lossy(good.bytes()), failure.reason());
            std::future::ready(failure.recover(text))
        });
        let flow = flow.finally(move |_: Context, outcome: Outcome| {
            assert_eq!(outcome, Outcome::Recovered);
            count_ended.fetch_add(1, SeqCst);
            std::future::ready(())
        });
        let kit = functions(Posts::default().kit(flow.build().unwrap())).start().await;
        kit.hold_queue();
        let end = kit.request("1").header("x-faasflow-callback-url", kit.callback_url("end")).answer().await;
        assert_eq!(end.status, 202);
        kit.until_queued(6).await;
        let deliver = |(headers, body)| kit.request(body).headers(headers).answer();
        let mut envelopes = kit.queued();
        envelopes.sort_by_key(|(_, body)| {
            let (_, member) = Envelope::decode(body).unwrap().place.fork().unwrap();
            member
        });
        assert_eq!(deliver(envelopes.remove(0)).await.status, 200);
        let twice = envelopes.iter().chain(&envelopes).cloned();
        futures_util::future::join_all(twice.map(deliver)).await;
        if joins == 2 {
            kit.deliver_twice();
        }
        kit.release_queue();
        let statuses = kit.until_delivered(6 + joins + (joins - 1) * 6).await;
        assert!(statuses.iter().all(http::StatusCode::is_success), "{statuses:?}");
        let reports = kit.calls("callback/end");
        let texts: BTreeSet<_> = reports.iter().map(RecordedCall::text).collect();
        assert!(texts.len() == 1 && texts.iter().all(|text| text.starts_with("1 5 ")), "{texts:?}");
        assert!(reports.iter().all(|report| report.header("x-faasflow-outcome") == Some("recovered")));
        for count in [asked.load(SeqCst), ended.load(SeqCst), reports.len()] {
            assert!((1..=joins).contains(&count), "{count} with {joins} deliveries of the join");
        }
        assert!(kit.calls("d").is_empty());
    }
}

/// The time of a branch or item includes the time in the queue, and holds for all of its phases together.
#[tokio::test(flavor = "multi_thread")]
async fn a_branch_or_an_item_that_takes_too_long_fails() {
    let within = Duration::from_millis(400);
    let graph = |slow: FlowBuilder| {
        let graph = Graph::new().branch("slow", slow).branch("quick", call("a")).within("slow", within);
        kit(Flow::builder().graph(graph.complete(Complete::Settled))).function("hang", Fake::hanging())
    };
    let expected = json!({
        "slow": {"outcome": "failed", "reason": "no answer within 400ms"},
        "quick": {"outcome": "done", "output": 1},
    });
    let running = graph(call("b").apply("hang")).start().await;
    assert_eq!(running.request("1").send().await.json::<Value>(), expected);

    let waiting = graph(call("b").apply("c")).start().await;
    waiting.hold_queue();
    let (end, ()) = tokio::join!(waiting.request("1").send(), async {
        waiting.until_queued(2).await;
        tokio::time::sleep(within).await;
        waiting.release_queue();
    });
    assert_eq!(end.json::<Value>(), expected);
    assert!(waiting.calls("b").is_empty() && waiting.calls("c").is_empty());

    let item = Flow::builder().choose(
        Choice::new(async |text: String| if text == "2" { "hang" } else { "a" }.to_owned())
            .branch("hang", call("hang"))
            .branch("a", call("a")),
    );
    // The other items have to be quick enough.
    let for_each = ForEach::new(item).within(5 * within).at_most(1).complete(Complete::Tolerate(1));
    let kit = kit(Flow::builder().for_each(for_each)).function("hang", Fake::hanging()).start().await;
    let end = kit.request("[1,2,3]").send().await;
    let outcomes: Vec<String> = end.json::<Vec<Value>>().iter().map(|item| item["outcome"].to_string()).collect();
    assert_eq!(outcomes, [r#""done""#, r#""failed""#, r#""done""#]);
}

#[tokio::test]
async fn headers_and_queries_reach_the_calls_of_branches() {
    let item = Flow::builder().apply("a").apply(Call::new("b"));
    let flow = Flow::builder()
        .parallel([("x", Flow::builder().for_each(ForEach::new(item)))])
        .modify(async |context: Context, _: ()| context.query("colour").unwrap_or_default());
    let kit = start(flow).await;
    let end = kit.request("[1]").query("colour", "red").header("x-faasflow-request-id", "chosen").send().await;
    assert_eq!((end.text().as_str(), end.request_id()), ("red", "chosen"));
    for name in ["a", "b"] {
        assert_eq!(kit.calls(name)[0].header("x-faasflow-request-id"), Some("chosen"));
    }
}

#[tokio::test]
async fn branches_share_the_state_of_the_request_and_nothing_is_left() {
    let keep = async |context: Context, text: String| {
        context.set("kept", &text).await?;
        Result::Ok(text)
    };
    let read = async |context: Context, _: ()| Result::Ok(context.get::<String>("kept").await?.unwrap_or_default());
    let memory = Memory::new();
    let flow = Flow::builder()
        .state(memory.clone())
        .parallel([("x", call("a").modify(keep)), ("y", call("b"))])
        .apply("c")
        .modify(read);
    let kit = start(flow).await;
    let end = kit.request("1").send().await;
    assert_eq!(end.text(), "1");
    // What keeps late deliveries from starting the request anew stays for a while.
    let scope = Scope { flow: "flow".to_owned(), request: end.request_id().to_owned() };
    let has = async |key: &str| memory.get(&scope, key).await.unwrap().is_some();
    until(async || !has("state/kept").await).await;
    assert!(has("over@0").await);
}

/// The state of a request is removed before its last delivery is answered.
#[tokio::test]
async fn an_output_in_the_state_manager_is_the_answer_at_the_end() {
    let choice = Choice::new(async |_: Bytes| "small").branch("small", Flow::builder()).branch("large", call("f"));
    let flow = Flow::builder().modify(async |photo: Bytes| photo).choose(choice).build().unwrap();
    let photo = vec![b'x'; 200_000];
    for stored in ["false", "true"] {
        let kit = TestKit::new(flow.clone()).function("f", Fake::echo()).setting("intermediate_storage", stored);
        let answer = kit.start().await.request(photo.clone()).answer().await;
        assert_eq!((answer.status.as_u16(), answer.body.len()), (200, photo.len()), "{}", answer.text());
    }

    let flow =
        Flow::builder().parallel([("a", call("f")), ("b", call("f"))]).modify(async |_: Bytes| vec![1u8; 200_000]);
    let kit = TestKit::new(flow.build().unwrap()).function("f", Fake::json(&1)).start().await;
    assert_eq!(kit.request("1").send().await.body.len(), 200_000);
    let statuses = kit.until_delivered(3).await;
    assert!(statuses.iter().all(faasflow::StatusCode::is_success), "{statuses:?}");
}
