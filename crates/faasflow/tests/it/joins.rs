//! Joins of asynchronous branches whose fork is interrupted, that follow each other, or that many requests use at once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use faasflow::bytes::Bytes;
use faasflow::state::{Condition, Version};
use faasflow::{
    BoxFuture, Branches, Call, Complete, Context, Failure, Flow, FlowBuilder, ForEach, Graph, Memory, Outcome, Result,
    Scope, StateError, StateManager as _,
};
use faasflow_testkit::{Fake, RecordedCall, Reply, Running, TestKit};
use serde_json::Value;

use super::support::posts::Posts;
use super::support::store::{Behaviour, Store};

fn call(function: &str) -> FlowBuilder {
    Flow::builder().apply(function)
}

fn functions(kit: TestKit) -> TestKit {
    let kit = kit.function("bad", Fake::failing(404));
    ["a", "b", "c", "d", "e"].into_iter().fold(kit, |kit, name| kit.function(name, Fake::echo()))
}

async fn start(flow: FlowBuilder) -> Running {
    functions(TestKit::new(flow.build().unwrap())).start().await
}

fn keys(calls: &[RecordedCall]) -> BTreeSet<String> {
    calls.iter().map(|call| call.header("idempotency-key").unwrap().to_owned()).collect()
}

/// The process dies after it has posted some of the items, which end before the fork is delivered again.
#[tokio::test(flavor = "multi_thread")]
async fn a_fork_that_dies_between_its_posts_goes_on_with_the_same_items() {
    const ITEMS: usize = 600;
    for posted in [10, ITEMS - 1] {
        let splits = Arc::new(AtomicUsize::new(0));
        let counted = splits.clone();
        // Another list each time.
        let split = move |_: ()| {
            let first = 1000 * counted.fetch_add(1, SeqCst);
            std::future::ready((first..first + ITEMS).map(|number| number.to_string()).collect::<Vec<_>>())
        };
        let for_each = ForEach::new(call("b")).split(split).at_most(1000);
        let flow = call("a").apply("c").for_each(for_each).apply("d").build().unwrap();
        let posts = Posts::default();
        let kit = functions(posts.kit(flow)).start().await;
        let mut items = 0;
        posts.hold(move |forward| {
            items += usize::from(forward.place.fork().is_some());
            items > posted
        });
        let (end, ()) = tokio::join!(kit.request("x").send(), async {
            posts.until_held().await;
            kit.until_called("b", posted).await;
            posts.pass();
            kit.crash().await;
        });
        let list: Vec<usize> = (0..ITEMS).collect();
        assert_eq!(end.json::<Vec<usize>>(), list, "{posted} were posted");
        assert_eq!((splits.load(SeqCst), keys(&kit.calls("b")).len()), (1, ITEMS), "{posted} were posted");
        assert_eq!((kit.calls("c").len(), kit.calls("d").len()), (1, 1), "{posted} were posted");
    }
}

#[tokio::test]
async fn a_graph_that_fails_ends_the_request_before_the_for_each_behind_it() {
    let graph = Graph::new().branch("a", call("a")).branch("b", call("bad"));
    let list = async |_: Branches| "[1,2,3]";
    let flow = |complete| {
        let graph = graph.clone().complete(complete).join(list);
        Flow::builder().graph(graph).for_each(ForEach::new(call("c"))).apply("d")
    };
    let kit = start(flow(Complete::All)).await;
    let end = kit.request("1").send().await;
    assert_eq!(end.outcome(), Some(Outcome::Failure));
    assert_eq!(end.json::<Value>()["reason"], "the branch `b` failed: it answered 404 Not Found");
    assert_eq!((kit.calls("c").len(), kit.calls("d").len()), (0, 0));

    let kit = start(flow(Complete::Settled)).await;
    let end = kit.request("1").send().await;
    assert_eq!((end.outcome(), end.text().as_str()), (Some(Outcome::Success), "[1,2,3]"));
    assert_eq!((kit.calls("c").len(), kit.calls("d").len()), (3, 1));
}

/// The order in which failure handlers were asked, with the reasons that they saw.
type Asked = Arc<Mutex<Vec<(&'static str, String)>>>;

/// Adds a failure handler that notes that it was asked. It recovers if it is the one that does.
fn handled(flow: FlowBuilder, name: &'static str, recovers: &'static str, asked: &Asked) -> FlowBuilder {
    let asked = asked.clone();
    flow.on_failure(move |_: Context, failure: Failure| {
        asked.lock().unwrap().push((name, failure.reason()));
        std::future::ready(if name == recovers { failure.recover("0") } else { failure.decline() })
    })
}

/// An item of a for-each in a branch of a branch fails.
#[tokio::test]
async fn failure_handlers_are_asked_from_the_innermost_outwards_and_once_each() {
    let refused = "it answered 404 Not Found";
    let in_items = format!("item 2 failed: {refused}");
    let in_pages = format!("the branch `pages` failed: {in_items}");
    let in_book = format!("the branch `book` failed: {in_pages}");
    let in_order = [("item", refused), ("pages", &in_items), ("book", &in_pages), ("flow", &in_book)];
    for (recovers, asked_handlers, output) in [
        ("none", 4, None),
        ("flow", 4, Some("0")),
        ("book", 3, Some(r#"{"book":0,"cover":[1,2]}"#)),
        ("pages", 2, Some(r#"{"book":{"pages":0,"index":[1,2]},"cover":[1,2]}"#)),
        ("item", 1, Some(r#"{"book":{"pages":[1,0],"index":[1,2]},"cover":[1,2]}"#)),
    ] {
        for calls in ["synchronous", "asynchronous"] {
            let call = |function: &str| match calls {
                "synchronous" => Flow::builder().apply(Call::new(function).sync()),
                _ => call(function),
            };
            let asked = Asked::default();
            let item = handled(call("odd"), "item", recovers, &asked);
            let pages = handled(Flow::builder().for_each(ForEach::new(item)), "pages", recovers, &asked);
            let book = Flow::builder().parallel([("pages", pages), ("index", call("a"))]);
            let book = handled(book, "book", recovers, &asked);
            let flow = Flow::builder().parallel([("book", book), ("cover", call("b"))]);
            let flow = handled(flow, "flow", recovers, &asked);
            let odd = Fake::with(|call| match call.text().as_str() {
                "2" => Reply::new("no").status(404),
                text => Reply::new(text.to_owned()),
            });
            let kit = functions(TestKit::new(flow.build().unwrap())).function("odd", odd).start().await;
            let end = kit.request("[1,2]").send().await;
            let case = format!("{calls}, {recovers} recovers");
            match output {
                Some(output) => assert_eq!(end.text(), output, "{case}"),
                None => assert_eq!(end.json::<Value>()["reason"], in_book, "{case}"),
            }
            let expected: Vec<_> =
                in_order[..asked_handlers].iter().map(|(name, text)| (*name, (*text).to_owned())).collect();
            assert_eq!(*asked.lock().unwrap(), expected, "{case}");
        }
    }
}

/// A store that does not show a value for a while after it was written. Conditional writes see it at once.
#[derive(Clone, Default)]
struct Lagging {
    memory: Memory,
    written: Arc<Mutex<BTreeMap<String, Instant>>>,
    /// How often it did not show a value that it has.
    hidden: Arc<AtomicUsize>,
}

/// Longer than a delivery waits for a value.
const LAG: Duration = Duration::from_millis(400);

impl Lagging {
    fn note(&self, key: &str) {
        self.written.lock().unwrap().entry(key.to_owned()).or_insert_with(Instant::now);
    }
}

impl Behaviour for Lagging {
    fn memory(&self) -> &Memory {
        &self.memory
    }

    fn get<'a>(&'a self, scope: &'a Scope, key: &'a str) -> BoxFuture<'a, Result<Option<Bytes>, StateError>> {
        let is_new = self.written.lock().unwrap().get(key).is_some_and(|written| written.elapsed() < LAG);
        if is_new {
            self.hidden.fetch_add(1, SeqCst);
            return Box::pin(async { Ok(None) });
        }
        self.memory.get(scope, key)
    }

    fn set<'a>(&'a self, scope: &'a Scope, key: &'a str, value: Bytes) -> BoxFuture<'a, Result<(), StateError>> {
        self.note(key);
        self.memory.set(scope, key, value)
    }

    fn set_if<'a>(
        &'a self,
        scope: &'a Scope,
        key: &'a str,
        value: Bytes,
        condition: Condition,
    ) -> BoxFuture<'a, Result<Option<Version>, StateError>> {
        self.note(key);
        self.memory.set_if(scope, key, value, condition)
    }
}

/// The phase is delivered again until the store shows the value.
#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_the_store_does_not_show_yet_is_never_an_empty_one() {
    let large = Arc::new("x".repeat(200_000));
    let answer = large.clone();
    let store = Store(Lagging::default());
    let join = async |mut branches: Branches| {
        let (photo, list): (String, String) = (branches.take("photo")?, branches.take("list")?);
        Result::Ok(format!("{} {list}", photo.len()))
    };
    let graph = Graph::new()
        .branch("photo", call("photo").apply("a"))
        .branch("list", Flow::builder().for_each(ForEach::new(call("b")).at_most(2)))
        .join(join);
    let flow = call("c").apply("d").graph(graph).apply("e").state(store.clone());
    let kit = functions(TestKit::new(flow.build().unwrap()));
    let kit = kit.function("photo", Fake::with(move |_| (*answer).clone())).start().await;
    let end = kit.request("[1,2,3]").send().await;
    assert_eq!((end.outcome(), end.text().as_str()), (Some(Outcome::Success), "200000 [1,2,3]"));
    assert!(kit.calls("a").iter().all(|call| call.text() == *large), "the payload is whole");
    assert_eq!(keys(&kit.calls("b")).len(), 3);
    assert!(kit.calls("e").iter().all(|call| call.text() == "200000 [1,2,3]"), "{:?}", kit.calls("e"));
    assert!(store.0.hidden.load(SeqCst) > 0);
    assert!(kit.until_delivered(1).await.iter().any(|status| *status == 503), "no delivery came again");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_of_many_requests_joins_only_its_own_branches() {
    let join = async |context: Context, branches: Branches| {
        let outputs: Vec<String> = branches
            .iter()
            .map(|(name, result)| format!("{name}={}", String::from_utf8_lossy(result.output().unwrap().bytes())))
            .collect();
        format!("{} {}", context.request_id(), outputs.join(" "))
    };
    let graph = Graph::new().branch("a", call("slow")).branch("b", call("b")).branch("c", call("slower"));
    let flow = Flow::builder().graph(graph.branch("d", call("d").apply("slow")).join(join)).apply("e");
    let kit = functions(TestKit::new(flow.build().unwrap()));
    let kit = kit.function("slow", Fake::echo().slow(Duration::from_millis(100)));
    let kit = kit.function("slower", Fake::echo().slow(Duration::from_millis(200))).start().await;
    let request = async |number: usize| {
        let id = format!("request-{number}");
        let end = kit.request(number.to_string()).header("x-faasflow-request-id", &id).send().await;
        assert_eq!(end.text(), format!("{id} a={number} b={number} c={number} d={number}"));
    };
    futures_util::future::join_all((0..50).map(request)).await;
    assert_eq!((kit.calls("slow").len(), kit.calls("slower").len(), kit.calls("e").len()), (100, 50, 50));
}

#[tokio::test]
async fn a_sub_flow_that_is_used_four_times_is_executed_four_times() {
    let archive = call("a").modify(async |text: String| format!("{text}+")).apply("b");
    let branch = || Flow::builder().flow("archive", archive.clone());
    let join = async |mut branches: Branches| {
        let (x, y): (String, String) = (branches.take("x")?, branches.take("y")?);
        Result::Ok(format!("{x},{y}"))
    };
    let flow = Flow::builder()
        .graph(Graph::new().branch("x", branch()).branch("y", branch()).join(join))
        .flow("archive", archive.clone())
        .flow("archive", archive.clone());
    let kit = start(flow).await;
    assert_eq!(kit.request("1").send().await.text(), "1+,1+++");
    for name in ["a", "b"] {
        assert_eq!((kit.calls(name).len(), keys(&kit.calls(name)).len()), (4, 4), "{name}");
    }
}

#[tokio::test]
async fn a_join_waits_for_the_last_phase_of_the_longest_branch() {
    for complete in [Complete::All, Complete::Settled, Complete::Tolerate(1), Complete::AtLeast(2)] {
        let append =
            |letter: char| Fake::with(move |call| format!("{}{letter}", call.text())).slow(Duration::from_millis(20));
        let long = ["p", "q", "r", "s", "t"].into_iter().fold(Flow::builder(), FlowBuilder::apply);
        let join = async |branches: Branches| {
            let outputs = branches.iter().map(|(_, result)| result.output().map(|it| it.bytes().clone()));
            outputs
                .map(|bytes| String::from_utf8(bytes.unwrap_or_default().to_vec()).unwrap())
                .collect::<Vec<_>>()
                .join(" ")
        };
        let graph = Graph::new().branch("long", long).branch("short", call("a")).complete(complete).join(join);
        let kit = functions(TestKit::new(Flow::builder().graph(graph).apply("e").build().unwrap()));
        let kit = ["p", "q", "r", "s", "t"]
            .into_iter()
            .fold(kit, |kit, name| kit.function(name, append(name.chars().next().unwrap())));
        let kit = kit.start().await;
        assert_eq!(kit.request("_").send().await.text(), "_pqrst _", "{complete:?}");
        assert_eq!(kit.calls("e").len(), 1, "{complete:?}");
    }
}
