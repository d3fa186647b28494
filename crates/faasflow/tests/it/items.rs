//! For-eaches: their limits, what is in flight, and lists and outputs that are odd or large.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use faasflow::{Call, Choice, Complete, Context, Failure, Flow, FlowBuilder, ForEach, Graph, Memory, Outcome};
use faasflow_testkit::{Fake, Reply, Running, TestKit};
use serde_json::{Value, json};

use super::support::posts::Posts;
use super::support::until;

/// Whether the items run within one phase, or each in phases of its own.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Calls {
    Synchronous,
    Asynchronous,
}

const CALLS: [Calls; 2] = [Calls::Synchronous, Calls::Asynchronous];

impl Calls {
    fn flow(self, function: &str) -> FlowBuilder {
        let call = Call::new(function);
        Flow::builder().apply(if self == Calls::Synchronous { call.sync() } else { call })
    }
}

fn call(function: &str) -> FlowBuilder {
    Calls::Asynchronous.flow(function)
}

fn functions(kit: TestKit) -> TestKit {
    let kit = kit.function("bad", Fake::failing(404)).function("hang", Fake::hanging());
    ["a", "b", "c"].into_iter().fold(kit, |kit, name| kit.function(name, Fake::echo()))
}

fn kit(flow: FlowBuilder) -> TestKit {
    functions(TestKit::new(flow.build().unwrap()))
}

fn list(count: usize) -> String {
    json!((0..count).collect::<Vec<_>>()).to_string()
}

fn distinct(kit: &Running, function: &str) -> usize {
    let calls = kit.calls(function);
    calls.iter().map(|call| call.header("idempotency-key").unwrap().to_owned()).collect::<BTreeSet<_>>().len()
}

#[tokio::test]
async fn a_list_may_be_as_long_as_the_limit_and_no_longer() {
    for calls in CALLS {
        let kit = kit(Flow::builder().for_each(ForEach::new(calls.flow("a")))).setting("max_items", "50").start().await;
        for count in [49, 50] {
            assert_eq!(kit.request(list(count)).send().await.text(), list(count), "{calls:?}");
        }
        let before = kit.calls("a").len();
        let end = kit.request(list(51)).send().await;
        let reason = "the list of for-each 1 has 51 items, and at most 50 are allowed: send a shorter list, or raise `max_items`";
        assert_eq!((end.outcome(), &end.json::<Value>()["reason"]), (Some(Outcome::Failure), &json!(reason)));
        assert_eq!((before, kit.calls("a").len()), (99, 99), "{calls:?}");
    }
}

/// Which items have begun, and which have ended.
#[derive(Clone, Default)]
struct InFlight(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// Whether each item has ended.
    items: BTreeMap<String, bool>,
    most: usize,
}

impl InFlight {
    fn begin(&self, item: &str) {
        let mut state = self.0.lock().unwrap();
        state.items.entry(item.to_owned()).or_default();
        state.most = state.most.max(state.items.values().filter(|ended| !**ended).count());
    }

    fn end(&self, item: &str) {
        self.0.lock().unwrap().items.insert(item.to_owned(), true);
    }

    fn has_begun(&self, item: &str) -> bool {
        self.0.lock().unwrap().items.contains_key(item)
    }

    fn most(&self) -> usize {
        self.0.lock().unwrap().most
    }

    /// A branch that begins here and takes some milliseconds.
    fn item(&self) -> FlowBuilder {
        let this = self.clone();
        Flow::builder().modify(move |item: String| {
            this.begin(&item);
            async move {
                tokio::time::sleep(Duration::from_millis(item.parse::<u64>().unwrap() * 7 % 10)).await;
                item
            }
        })
    }

    /// A function at which items end. It refuses those for which the closure returns `true`.
    fn function(&self, refuses: impl Fn(usize) -> bool + Send + Sync + 'static) -> Fake {
        let this = self.clone();
        Fake::with(move |call| {
            this.end(&call.text());
            match refuses(call.text().parse().unwrap()) {
                true => Reply::new("no").status(404),
                false => Reply::new(call.text()),
            }
        })
    }
}

/// Every delivery is doubled, some items fail, and the process dies twice.
#[tokio::test(flavor = "multi_thread")]
async fn at_most_so_many_items_are_in_flight_from_the_first_to_the_last() {
    let in_flight = InFlight::default();
    let for_each = ForEach::new(in_flight.item().apply("f")).at_most(4).complete(Complete::Settled);
    let posts = Posts::default();
    let kit = posts.kit(Flow::builder().for_each(for_each).build().unwrap());
    let kit = kit.function("f", in_flight.function(|item| item % 5 == 3)).start().await;
    kit.deliver_twice();
    let (end, ()) = tokio::join!(kit.request(list(300)).send(), async {
        for called in [50, 200] {
            kit.until_called("f", called).await;
            kit.crash().await;
        }
    });
    let outcomes: Vec<Value> = end.json();
    let failed = outcomes.iter().filter(|item| item["outcome"] == "failed").count();
    assert_eq!((outcomes.len(), failed, distinct(&kit, "f")), (300, 60, 300));
    assert!((2..=4).contains(&in_flight.most()), "{}", in_flight.most());
}

/// One of the first two items runs out of time, and the delivery of the other is killed. The third needs a second slot.
#[tokio::test(flavor = "multi_thread")]
async fn items_that_end_badly_give_their_slots_back() {
    let in_flight = InFlight::default();
    let (waits, ended) = (in_flight.clone(), in_flight.clone());
    let slow = Graph::new().branch("slow", call("hang")).within("slow", Duration::from_millis(300));
    let other = Flow::builder().modify(move |item: String| {
        let waits = waits.clone();
        async move {
            while item == "2" && !waits.has_begun("3") {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            item
        }
    });
    let choice =
        Choice::new(async |item: String| item).branch("0", Flow::builder().graph(slow)).otherwise(other.apply("f"));
    let item = in_flight.item().choose(choice).on_failure(move |_: Context, failure: Failure| {
        ended.end("0");
        std::future::ready(failure.decline())
    });
    let for_each = ForEach::new(item).at_most(2).complete(Complete::Tolerate(1));
    let kit = kit(Flow::builder().for_each(for_each)).function("f", in_flight.function(|_| false)).start().await;
    kit.crash_at("f");
    let end = kit.request(list(20)).send().await;
    let outcomes: Vec<Value> = end.json();
    assert_eq!(outcomes[0]["reason"], "the branch `slow` failed: no answer within 300ms");
    assert!(outcomes[1..].iter().all(|item| item["outcome"] == "done"), "{outcomes:?}");
    assert_eq!((kit.calls("f").len(), distinct(&kit, "f"), in_flight.most()), (20, 19, 2));
}

/// Items and branches are told apart by their number, not by their text.
#[tokio::test]
async fn equal_items_and_odd_names_do_not_collide() {
    for calls in CALLS {
        let kit = kit(Flow::builder().for_each(ForEach::new(calls.flow("a").modify(async |text: String| text))));
        let kit = kit.start().await;
        let items = r#"[1,1,"1",{"x":1},null,""]"#;
        assert_eq!(kit.request(items).send().await.text(), items, "{calls:?}");
        assert_eq!((kit.calls("a").len(), distinct(&kit, "a")), (6, 6), "{calls:?}");

        let long = "n".repeat(300);
        let names = ["../a", "..", "a/b", "a", ":", "1", "1.0/2", "a b\n\"", &long];
        let numbered = |index: usize| calls.flow("a").modify(move |_: ()| std::future::ready(index.to_string()));
        let graph =
            names.iter().enumerate().fold(Graph::new(), |graph, (index, name)| graph.branch(*name, numbered(index)));
        let kit = self::kit(Flow::builder().graph(graph)).start().await;
        let expected: BTreeMap<&str, usize> = names.into_iter().zip(0..).collect();
        let end = kit.request("1").send().await;
        assert_eq!(end.json::<Value>(), json!(expected), "{calls:?}");
        assert_eq!(distinct(&kit, "a"), names.len(), "{calls:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn outputs_that_together_exceed_the_limit_of_an_envelope_are_joined() {
    let limit = 20_000;
    let output = |item: &str| format!("\"{}\"", item.repeat(2000));
    let flow = Flow::builder().for_each(ForEach::new(call("f")).at_most(8)).apply("a").apply("b").build().unwrap();
    let posts = Posts::default();
    let kit = functions(posts.kit(flow)).function("f", Fake::with(move |call| output(&call.text())));
    let kit = kit.setting("envelope_limit", limit.to_string()).start().await;
    let end = kit.request(list(100)).send().await;
    let expected = format!("[{}]", (0..100).map(|item| output(&item.to_string())).collect::<Vec<_>>().join(","));
    assert_eq!((end.outcome(), end.text() == expected), (Some(Outcome::Success), true));
    assert!(kit.calls("b")[0].text() == expected && expected.len() > 10 * limit);
    let sizes = posts.sizes();
    assert!(sizes.len() > 100 && sizes.iter().all(|size| *size <= limit), "{sizes:?}");
}

/// The list is far longer than what has begun.
#[tokio::test(flavor = "multi_thread")]
async fn no_more_items_of_a_long_list_begin_than_may_be_in_flight() {
    for calls in CALLS {
        let ended = Arc::new(AtomicUsize::new(0));
        let counted = ended.clone();
        // After 20 items, the function does not answer any more.
        let item = calls.flow("a").modify(move |item: String| {
            let is_open = counted.fetch_add(1, SeqCst) >= 20;
            async move {
                if is_open {
                    std::future::pending::<()>().await;
                }
                item
            }
        });
        let kit = kit(Flow::builder().for_each(ForEach::new(item).at_most(16))).start().await;
        let request = async {
            kit.request(list(10_000)).answer().await;
            std::future::pending::<()>().await;
        };
        let counting = async {
            kit.until_called("a", 36).await;
            until(async || ended.load(SeqCst) == 36).await;
        };
        tokio::select! {
            () = request => unreachable!(),
            () = counting => {}
        }
        assert_eq!((kit.calls("a").len(), kit.queued().len()), (36, 0), "{calls:?}");
    }
}

#[tokio::test]
async fn a_policy_that_can_be_met_early_waits_for_the_list() {
    for calls in CALLS {
        for (complete, output) in [(Complete::First, "1"), (Complete::AtLeast(1), "[1]")] {
            let for_each = ForEach::new(calls.flow("b")).at_most(1).complete(complete);
            let kit = kit(call("list").for_each(for_each).apply("c"));
            let slow = Fake::json(&[1, 2, 3]).slow(Duration::from_millis(50));
            let kit = kit.function("list", slow).start().await;
            let end = kit.request("x").send().await;
            assert_eq!((end.outcome(), end.text().as_str()), (Some(Outcome::Success), output), "{calls:?}");
            assert_eq!((kit.calls("b").len(), kit.calls("c").len()), (1, 1), "{calls:?}");
        }
    }
}

/// The envelope of an item reaches a store that does not have the list, as if it came back after a loss of the store.
#[tokio::test]
async fn an_item_whose_list_is_not_in_the_store_decides_nothing() {
    let flow = |memory: Memory| {
        let for_each = ForEach::new(call("b")).at_most(1).complete(Complete::First);
        Flow::builder().for_each(for_each).apply("c").state(memory)
    };
    let first = kit(flow(Memory::new())).start().await;
    first.hold_queue();
    first.request("[1,2,3]").answer().await;
    first.until_queued(1).await;
    let (headers, body) = first.queued().remove(0);

    let memory = Memory::new();
    let second = kit(flow(memory.clone())).setting("write_timeout", "1s").start().await;
    let answer = second.request(body).headers(headers).answer().await;
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert_eq!((second.calls("b").len(), second.queued().len(), memory.request_count()), (0, 0, 0));
}
