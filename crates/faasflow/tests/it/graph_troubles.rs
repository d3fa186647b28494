//! Asynchronous branches whose deliveries are repeated, late or cut off, or whose store is unavailable.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use faasflow::bytes::Bytes;
use faasflow::{
    BoxFuture, Complete, Context, Failure, Flow, FlowBuilder, ForEach, Graph, Json, Memory, Outcome, Scope, StateError,
    StateManager as _,
};
use faasflow_core::envelope::Envelope;
use faasflow_core::state::{Condition, Version};
use faasflow_testkit::{Answer, Fake, RecordedCall, Running, TestKit};
use http::{HeaderMap, StatusCode};
use serde_json::Value;

use super::support::store::{Behaviour, Store};
use super::support::until;

fn call(function: &str) -> FlowBuilder {
    Flow::builder().apply(function)
}

async fn start(flow: FlowBuilder) -> Running {
    let kit = TestKit::new(flow.build().unwrap());
    let kit = ["a", "b", "c", "d"].into_iter().fold(kit, |kit, name| kit.function(name, Fake::echo()));
    kit.setting("write_timeout", "20s").start().await
}

/// A fork, a for-each in one of its branches, and a phase behind the join.
fn nested() -> FlowBuilder {
    let items = Flow::builder().for_each(ForEach::new(call("a").apply("b")).at_most(2));
    Flow::builder().parallel([("items", items), ("whole", call("c"))]).apply("d")
}

const NESTED: &str = r#"{"items":[1,2,3],"whole":[1,2,3]}"#;

/// Counts the ends of a request.
fn counted(flow: FlowBuilder) -> (FlowBuilder, Arc<AtomicUsize>) {
    let ends = Arc::new(AtomicUsize::new(0));
    let count = ends.clone();
    let flow = flow.finally(move |_: Context, outcome: Outcome| {
        assert_eq!(outcome, Outcome::Success);
        count.fetch_add(1, SeqCst);
        std::future::ready(())
    });
    (flow, ends)
}

fn distinct_calls(kit: &Running, name: &str) -> usize {
    let calls = kit.calls(name);
    calls.iter().map(|call| call.header("idempotency-key").unwrap().to_owned()).collect::<BTreeSet<_>>().len()
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_delivered_twice_ends_once() {
    let (flow, ends) = counted(nested());
    let kit = start(flow).await;
    kit.deliver_twice();
    let sent = kit.request("[1,2,3]").header("x-faasflow-callback-url", kit.callback_url("end")).answer().await;
    assert_eq!(sent.status, 202);
    let report = kit.until_called("callback/end", 1).await;
    assert_eq!(report[0].text(), NESTED);
    assert_eq!(["a", "b", "c", "d"].map(|name| distinct_calls(&kit, name)), [3, 3, 1, 1]);
    let inputs: BTreeSet<_> = kit.calls("d").iter().map(RecordedCall::text).collect();
    assert_eq!(inputs, BTreeSet::from([NESTED.to_owned()]));
    until(async || ends.load(SeqCst) == 1).await;
    assert_eq!(kit.calls("callback/end").len(), 1);
}

/// Each item begins another one. If a second delivery of an item began it again, every step would have more deliveries.
#[tokio::test(flavor = "multi_thread")]
async fn duplicates_do_not_multiply_along_a_for_each() {
    const ITEMS: usize = 60;
    for at_most in [1, 16] {
        let (flow, ends) = counted(Flow::builder().for_each(ForEach::new(call("a")).at_most(at_most)));
        let kit = start(flow).await;
        kit.deliver_twice();
        let list = serde_json::to_string(&(0..ITEMS).collect::<Vec<_>>()).unwrap();
        let sent = kit.request(list.clone()).header("x-faasflow-callback-url", kit.callback_url("end")).answer().await;
        assert_eq!(sent.status, 202);
        assert_eq!(kit.until_called("callback/end", 1).await[0].text(), list);
        // Each item and the join, twice.
        let expected = 2 * (ITEMS + 1);
        let answers = kit.until_delivered(expected).await;
        assert!(answers.iter().all(StatusCode::is_success), "{answers:?}");
        assert_eq!(answers.len(), expected);
        assert_eq!((kit.calls("a").len(), kit.calls("callback/end").len()), (ITEMS, 1));
        assert_eq!(ends.load(SeqCst), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_anywhere_is_healed_by_the_next_delivery() {
    for function in ["a", "b", "c", "d"] {
        let memory = Memory::new();
        let kit = start(nested().state(memory.clone())).await;
        kit.hold_queue();
        let (end, ()) = tokio::join!(kit.request("[1,2,3]").send(), async {
            kit.until_queued(2).await;
            kit.crash_at(function);
            kit.release_queue();
        });
        assert_eq!((end.outcome(), end.text().as_str()), (Some(Outcome::Success), NESTED), "{function}");
        assert!(kit.calls(function).len() > distinct_calls(&kit, function), "{function} was called again");
        assert_eq!(["a", "b", "c", "d"].map(|name| distinct_calls(&kit, name)), [3, 3, 1, 1], "{function}");
    }
}

/// Sends an envelope of the queue as the queue would.
pub(crate) async fn deliver(kit: &Running, (headers, body): (HeaderMap, Bytes)) -> Answer {
    kit.request(body).headers(headers).answer().await
}

/// The envelopes of the branches of a request that waits in the queue.
async fn forked(kit: &Running, body: &'static str, count: usize) -> Vec<(HeaderMap, Bytes)> {
    kit.hold_queue();
    let sent = kit.request(body).header("x-faasflow-callback-url", kit.callback_url("end")).answer().await;
    assert_eq!(sent.status, 202, "{}", sent.text());
    kit.until_queued(count).await;
    kit.queued()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_envelope_that_comes_after_the_end_executes_nothing() {
    let (flow, ends) = counted(nested());
    let kit = start(flow).await;
    let envelopes = forked(&kit, "[1,2,3]", 2).await;
    kit.release_queue();
    kit.until_called("callback/end", 1).await;
    until(async || ends.load(SeqCst) == 1).await;
    let calls = ["a", "b", "c", "d"].map(|name| kit.calls(name).len());
    for envelope in envelopes {
        let answer = deliver(&kit, envelope).await;
        assert!(answer.status.is_success(), "{}: {}", answer.status, answer.text());
    }
    assert_eq!(["a", "b", "c", "d"].map(|name| kit.calls(name).len()), calls);
    assert_eq!((ends.load(SeqCst), kit.calls("callback/end").len()), (1, 1));
}

/// The losing branch arrives when the join has been executed and the request has not ended yet.
#[tokio::test(flavor = "multi_thread")]
async fn a_branch_that_comes_after_its_join_is_dropped() {
    let graph = Graph::new().branch("quick", call("a")).branch("late", call("b")).complete(Complete::First);
    let kit = start(Flow::builder().graph(graph).apply("c").apply("d")).await;
    let mut envelopes = forked(&kit, "1", 2).await;
    let is_quick = |(_, body): &(HeaderMap, Bytes)| {
        let place = Envelope::decode(body).unwrap().place;
        place.fork().is_some_and(|(_, member)| member == 0)
    };
    let quick = envelopes.iter().position(is_quick).expect("the first branch is in the queue");
    assert!(deliver(&kit, envelopes.remove(quick)).await.status.is_success());
    kit.until_queued(3).await;
    let is_join = |(_, body): &(HeaderMap, Bytes)| Envelope::decode(body).unwrap().place.fork().is_none();
    let join = kit.queued().into_iter().find(is_join).expect("the join is in the queue");
    assert!(deliver(&kit, join).await.status.is_success());
    assert_eq!(kit.calls("c").len(), 1);
    let late = deliver(&kit, envelopes.remove(0)).await;
    assert!(late.status.is_success(), "{}: {}", late.status, late.text());
    assert!(kit.calls("b").is_empty(), "its result is not needed");
    kit.release_queue();
    assert_eq!(kit.until_called("callback/end", 1).await[0].text(), "1");
    assert_eq!(["b", "c", "d"].map(|name| distinct_calls(&kit, name)), [0, 1, 1]);
}

/// What was split first stays the list, however often the fork is delivered.
#[tokio::test(flavor = "multi_thread")]
async fn a_fork_that_is_delivered_again_begins_the_same_items() {
    let splits = Arc::new(AtomicUsize::new(0));
    let count = splits.clone();
    let split = move |_: ()| {
        let first = count.fetch_add(1, SeqCst);
        std::future::ready((0..=first).map(|_| first.to_string()).collect::<Vec<_>>())
    };
    let for_each = ForEach::new(call("b")).split(split);
    let kit = start(Flow::builder().apply("a").apply("c").for_each(for_each)).await;
    let fork = forked(&kit, "x", 1).await.remove(0);
    for _ in 0..3 {
        assert!(deliver(&kit, fork.clone()).await.status.is_success());
    }
    kit.release_queue();
    assert_eq!(kit.until_called("callback/end", 1).await[0].text(), "[0]");
    assert_eq!((splits.load(SeqCst), distinct_calls(&kit, "b"), kit.calls("c").len()), (1, 1, 1));
}

/// A state manager that has trouble with the keys that begin with `at`, a number of times.
#[derive(Clone)]
struct Troubled {
    memory: Memory,
    at: &'static str,
    times: Arc<AtomicUsize>,
    /// Whether a write happens before the error.
    writes: bool,
    /// The largest value that it takes, in bytes.
    largest: usize,
    /// How long it takes to answer.
    delay: Duration,
}

impl Troubled {
    fn new(at: &'static str, writes: bool) -> Troubled {
        Troubled {
            memory: Memory::new(),
            at,
            times: Arc::default(),
            writes,
            largest: usize::MAX,
            delay: Duration::ZERO,
        }
    }

    fn has_trouble(&self, key: &str) -> bool {
        key.starts_with(self.at) && self.times.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)).is_ok()
    }
}

impl Behaviour for Troubled {
    fn memory(&self) -> &Memory {
        &self.memory
    }

    fn get<'a>(&'a self, scope: &'a Scope, key: &'a str) -> BoxFuture<'a, Result<Option<Bytes>, StateError>> {
        Box::pin(async move {
            tokio::time::sleep(self.delay).await;
            self.memory.get(scope, key).await
        })
    }

    fn set<'a>(&'a self, scope: &'a Scope, key: &'a str, value: Bytes) -> BoxFuture<'a, Result<(), StateError>> {
        if value.len() > self.largest {
            let error = StateError::permanent("the value is too large");
            return Box::pin(async move { Err(error.with_sizes(value.len() as u64, self.largest as u64)) });
        }
        Box::pin(async move {
            tokio::time::sleep(self.delay).await;
            self.memory.set(scope, key, value).await
        })
    }

    fn set_if<'a>(
        &'a self,
        scope: &'a Scope,
        key: &'a str,
        value: Bytes,
        condition: Condition,
    ) -> BoxFuture<'a, Result<Option<Version>, StateError>> {
        Box::pin(async move {
            tokio::time::sleep(self.delay).await;
            let has_trouble = self.has_trouble(key);
            if !has_trouble || self.writes {
                let written = self.memory.set_if(scope, key, value, condition).await;
                if !has_trouble {
                    return written;
                }
            }
            Err(StateError::temporary("the connection was closed"))
        })
    }
}

/// The store is away between the writes of a delivery: after the result of a member, at the claim, and at the end.
#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_goes_away_between_two_writes_delays_a_request_and_no_more() {
    for writes in [false, true] {
        for at in ["result/", "member/", "entry/", "posted/", "over@", "finished@"] {
            for times in [1, 40] {
                let troubled = Troubled::new(at, writes);
                let kit = start(nested().state(Store(troubled.clone()))).await;
                kit.hold_queue();
                let (end, ()) = tokio::join!(kit.request("[1,2,3]").send(), async {
                    kit.until_queued(2).await;
                    troubled.times.store(times, SeqCst);
                    kit.release_queue();
                });
                let case = format!("{at}, {times} times, writes: {writes}");
                assert_eq!((end.outcome(), end.text().as_str()), (Some(Outcome::Success), NESTED), "{case}");
                assert_eq!(["a", "b", "c", "d"].map(|name| distinct_calls(&kit, name)), [3, 3, 1, 1], "{case}");
                // There was trouble.
                until(async || troubled.times.load(SeqCst) < times).await;
            }
        }
    }
}

/// The same after a join that was decided while members were left.
#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_goes_away_after_an_early_join_delays_a_request_and_no_more() {
    for (writes, times) in [(false, 1), (false, 40), (true, 1), (true, 40)] {
        let troubled = Troubled::new("decided/", writes);
        let items = ForEach::new(call("a")).at_most(1).complete(Complete::AtLeast(1));
        let kit = start(Flow::builder().for_each(items).apply("d").state(Store(troubled.clone()))).await;
        troubled.times.store(times, SeqCst);
        let end = kit.request("[1,2,3]").send().await;
        let case = format!("{times} times, writes: {writes}");
        assert_eq!((end.outcome(), end.text().as_str()), (Some(Outcome::Success), "[1]"), "{case}");
        assert_eq!(["a", "d"].map(|name| distinct_calls(&kit, name)), [1, 1], "{case}");
        until(async || troubled.times.load(SeqCst) < times).await;
    }
}

/// A value that the store never takes is a failure, and not an outage that would last for ever.
#[tokio::test(flavor = "multi_thread")]
async fn s4_a_value_over_the_limit_of_the_store_is_a_failure() {
    let stored = |complete: Complete| {
        let items = ForEach::new(call("echo").modify(async |size: String| vec![b'1'; size.parse().unwrap()]));
        let store = Troubled { largest: 100_000, ..Troubled::new("", false) };
        Flow::builder().for_each(items.complete(complete)).state(Store(store))
    };
    // The items of the list are too large.
    let kit = start_with_echo(stored(Complete::All)).await;
    let end = kit.request(format!("[{}]", "1".repeat(150_000))).send().await;
    assert_eq!(end.outcome(), Some(Outcome::Failure), "{}", end.text());
    assert_eq!((end.json::<Value>()["step"].as_str(), kit.calls("echo").len()), (Some("for-each"), 0));

    // The output of an item is too large, under each kind of policy.
    for (complete, outcome) in [
        (Complete::All, Outcome::Failure),
        (Complete::Settled, Outcome::Success),
        (Complete::Tolerate(0), Outcome::Failure),
        (Complete::Tolerate(1), Outcome::Success),
        (Complete::TolerateShare(50), Outcome::Success),
        (Complete::AtLeast(2), Outcome::Failure),
        (Complete::AtLeast(1), Outcome::Success),
        (Complete::First, Outcome::Success),
    ] {
        let end = start_with_echo(stored(complete)).await.request("[150000,3]").send().await;
        assert_eq!(end.outcome(), Some(outcome), "{complete:?}: {}", end.text());
        let both = "the state manager does not keep its payload: 150000 bytes, over the limit of 100000";
        if !matches!(complete, Complete::AtLeast(1) | Complete::First) {
            assert!(end.text().contains(both), "{complete:?}: {}", end.text());
        }
    }
}

/// A store on a network does not answer at once. What is left of the time must be enough for it, whatever handlers have used.
#[tokio::test(flavor = "multi_thread")]
async fn handlers_that_use_all_of_the_time_do_not_keep_a_request_from_ending() {
    let remote = || Troubled { delay: Duration::from_millis(5), ..Troubled::new("", false) };
    let recovering = Flow::builder().apply("hangs").on_failure(async |context: Context, failure: Failure| {
        context.set("failed", &true).await?;
        Ok(failure.recover(Json(0)))
    });
    let flow = Flow::builder()
        .parallel([("a", call("echo")), ("b", recovering)])
        .finally(async |_: Context, _: Outcome| std::future::pending::<()>().await)
        .state(Store(remote()));
    let kit = TestKit::new(flow.build().unwrap()).function("echo", Fake::echo()).function("hangs", Fake::hanging());
    let kit = kit.setting("write_timeout", "2s").start().await;
    let end = kit.request("1").send().await;
    assert_eq!((end.outcome(), end.text().as_str()), (Some(Outcome::Success), r#"{"a":1,"b":0}"#));
    let statuses = kit.until_delivered(3).await;
    assert!(statuses.iter().all(http::StatusCode::is_success), "{statuses:?}");
    assert_eq!(kit.calls("hangs").len(), 1);
}

async fn start_with_echo(flow: FlowBuilder) -> Running {
    TestKit::new(flow.build().unwrap()).function("echo", Fake::echo()).start().await
}

fn version(first: &str, last: &str) -> FlowBuilder {
    call(first).apply("b").parallel([("x", call("c")), ("y", call("c"))]).apply(last)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_breaks_only_requests_that_have_its_change_ahead() {
    let memory = Memory::new();
    let old = start(version("a", "d").state(memory.clone())).await;
    old.hold_queue();
    let sent = old.request("1").header("x-faasflow-callback-url", old.callback_url("end")).answer().await;
    assert_eq!(sent.status, 202, "{}", sent.text());
    old.until_queued(1).await;
    let envelope = old.queued().remove(0);

    let other_end = start(version("a", "a").state(memory.clone())).await;
    let refused = deliver(&other_end, envelope.clone()).await;
    assert_eq!(refused.status, 409, "{}", refused.text());
    assert!(other_end.calls("b").is_empty());

    let other_start = start(version("d", "d").state(memory.clone())).await;
    let accepted = deliver(&other_start, envelope.clone()).await;
    assert_eq!(accepted.status, 200, "{}", accepted.text());
    assert_eq!(old.until_called("callback/end", 1).await[0].text(), r#"{"x":1,"y":1}"#);
    assert_eq!((other_start.calls("b").len(), other_start.calls("c").len()), (1, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn deployments_under_load_break_no_request_that_has_their_change_behind_it() {
    const REQUESTS: usize = 40;
    let slow = || Fake::echo().slow(Duration::from_millis(50));
    let kit = TestKit::new(version("a", "d").build().unwrap()).function("b", slow()).function("c", slow());
    let kit = ["a", "d", "e"].into_iter().fold(kit, |kit, name| kit.function(name, Fake::echo())).start().await;
    for (request, first) in (0..REQUESTS).zip(["e", "a"].into_iter().cycle().flat_map(|first| [first; 10])) {
        let callback = kit.callback_url("end");
        let sent = kit.request(request.to_string()).header("x-faasflow-callback-url", callback).answer().await;
        assert_eq!(sent.status, 202, "{}", sent.text());
        if request % 10 == 9 {
            kit.deploy(version(first, "d").build().unwrap()).await;
        }
    }
    // An end is reported again if the deployment cut off its report.
    let texts = || kit.calls("callback/end").iter().map(RecordedCall::text).collect::<BTreeSet<_>>();
    until(async || texts().len() == REQUESTS).await;
    let expected: BTreeSet<String> =
        (0..REQUESTS).map(|request| format!(r#"{{"x":{request},"y":{request}}}"#)).collect();
    assert_eq!(texts(), expected);
    let firsts = [kit.calls("a").len(), kit.calls("e").len()];
    assert!(firsts.iter().all(|calls| *calls > 0), "{firsts:?}");
}

/// Envelopes of the version before do not say what is ahead of them. If they have no shape either, the whole definition has to be
/// the same.
#[tokio::test(flavor = "multi_thread")]
async fn an_envelope_that_does_not_say_what_is_ahead_needs_a_shape_or_the_same_definition() {
    let two = |first: &str| call(first).apply("b");
    let old = start(two("a")).await;
    let (mut headers, body) = forked(&old, "1", 1).await.remove(0);
    let mut envelope = Envelope::decode(&body).unwrap();
    assert!(envelope.ahead.take().is_some() && envelope.branching.is_none());
    let mut signed = |envelope: &Envelope| {
        let body = envelope.encode().into_parts().concat();
        let (name, signature) = old.sign(&body);
        headers.insert(name, signature);
        (headers.clone(), faasflow::bytes::Bytes::from(body))
    };
    let with_shape = signed(&envelope);
    envelope.shape.clear();
    let without = signed(&envelope);
    let refused = deliver(&start(two("d")).await, without.clone()).await;
    assert_eq!(refused.status, 409, "{}", refused.text());
    for (first, envelope) in [("a", without), ("d", with_shape)] {
        let accepted = deliver(&start(two(first)).await, envelope).await;
        assert_eq!(accepted.status, 200, "{}", accepted.text());
    }
}
