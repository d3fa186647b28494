//! Explores every order of deliveries of small flows with branches.

use std::time::Instant;

use faasflow_core::machine::forked::Flaw;
use faasflow_core::{Call, Choice, Complete, Context, Failure, Flow, FlowBuilder, ForEach, Graph, Outcome};
use faasflow_testkit::explore::{Cost, Explore, Explored, explore};

fn call(function: &str) -> FlowBuilder {
    Flow::builder().apply(function)
}

/// Runs the exploration, and prints its size and duration.
fn run(name: &str, explore: Explore) -> Explored {
    let begun = Instant::now();
    let explored = explore.run();
    println!("{name}: {explored}, in {:.1?}", begun.elapsed());
    explored
}

fn all(name: &str, explore: Explore) -> Explored {
    let explored = run(name, explore);
    assert!(explored.is_exhaustive(), "{name}: {explored}");
    explored
}

fn parallel(names: &[&str]) -> Flow {
    Flow::builder().parallel(names.iter().map(|name| (*name, call(name)))).build().unwrap()
}

#[test]
fn parallel_of_two() {
    let flow = parallel(&["a", "b"]);
    let explored = all("parallel of 2, 1 fault", explore(&flow, "1"));
    assert_eq!((explored.outcome(), explored.output().as_str()), (Outcome::Success, r#"{"a":1,"b":1}"#));
    all("parallel of 2, 2 faults", explore(&flow, "1").faults(2));
}

#[test]
fn parallel_of_three() {
    let flow = parallel(&["a", "b", "c"]);
    let explored = all("parallel of 3, 1 fault", explore(&flow, "1"));
    assert_eq!(explored.output(), r#"{"a":1,"b":1,"c":1}"#);
}

#[test]
fn nested_parallel() {
    let inner = || Flow::builder().parallel([("x", call("x")), ("y", call("y"))]);
    let flow = Flow::builder().parallel([("a", inner()), ("b", inner())]).build().unwrap();
    let explored = all("nested parallel, 1 fault", explore(&flow, "1"));
    assert_eq!(explored.output(), r#"{"a":{"x":1,"y":1},"b":{"x":1,"y":1}}"#);
    run("nested parallel, 3 faults", explore(&flow, "1").faults(3).sample(1, 1_000));
    let flow = Flow::builder().parallel([("a", inner()), ("b", call("b"))]).build().unwrap();
    all("parallel of a parallel and a call, 1 fault", explore(&flow, "1"));
}

/// A graph whose branches call the functions with their names, after the branches in the lists.
fn graph(branches: &[(&str, &[&str])]) -> Flow {
    let graph = branches
        .iter()
        .fold(Graph::new(), |graph, (name, after)| graph.branch(*name, call(name)).after(*name, after.iter().copied()));
    Flow::builder().graph(graph).build().unwrap()
}

#[test]
fn a_diamond() {
    let flow = graph(&[("top", &[]), ("left", &["top"]), ("right", &["top"]), ("bottom", &["left", "right"])]);
    let explored = all("diamond, 1 fault", explore(&flow, "1"));
    assert_eq!(explored.output(), r#"{"bottom":{"left":{"top":1},"right":{"top":1}}}"#);
}

/// `c` waits only for `a`, and `d` for `a` and `b`. Such a graph cannot be divided into levels.
#[test]
fn an_n_shaped_graph() {
    let flow = graph(&[("a", &[]), ("b", &[]), ("c", &["a"]), ("d", &["a", "b"])]);
    let explored = all("N-shaped graph, 1 fault", explore(&flow, "1"));
    assert_eq!(explored.output(), r#"{"c":{"a":1},"d":{"a":1,"b":1}}"#);
}

#[test]
fn a_choice_inside_parallel() {
    let choice = Choice::new(async |text: String| if text == "1" { "one" } else { "more" })
        .branch("one", Flow::builder())
        .branch("more", call("more"));
    let choosing = Flow::builder().apply("a").choose(choice);
    let flow = Flow::builder().parallel([("a", choosing), ("b", call("b"))]).build().unwrap();
    let explored = all("choice of an empty branch inside parallel, 1 fault", explore(&flow, "1"));
    assert_eq!(explored.output(), r#"{"a":1,"b":1}"#);
    let explored =
        all("choice of a call inside parallel, 1 fault", explore(&flow, "2").function("more", |_| Ok("3".into())));
    assert_eq!(explored.output(), r#"{"a":3,"b":2}"#);
}

#[test]
fn a_for_each_of_three_with_two_at_once() {
    let flow = Flow::builder().for_each(ForEach::new(call("f")).at_most(2)).build().unwrap();
    let explored = all("for-each of 3, 2 at once, 1 fault", explore(&flow, "[1,2,3]"));
    assert_eq!(explored.output(), "[1,2,3]");
    run("for-each of 3, 2 at once, 3 faults", explore(&flow, "[1,2,3]").faults(3).sample(1, 500));
    let one = Flow::builder().for_each(ForEach::new(call("f")).at_most(1)).build().unwrap();
    all("for-each of 2, 1 at once, 1 fault", explore(&one, "[1,2]"));
    let explored = all("for-each of none", explore(&flow, "[]"));
    assert_eq!(explored.output(), "[]");
    let explored = all("for-each of 1", explore(&flow, r#"[{"x":1}]"#));
    assert_eq!(explored.output(), r#"[{"x":1}]"#);
}

/// Every policy for three members, with no failure, one failure and only failures, in all orders with one fault and some orders
/// with three faults. A graph and a for-each must agree.
#[test]
fn every_policy() {
    let policies = [
        (Complete::All, [true, false, false]),
        (Complete::Settled, [true, true, true]),
        (Complete::First, [true, true, false]),
        (Complete::AtLeast(2), [true, true, false]),
        (Complete::Tolerate(1), [true, true, false]),
    ];
    assert_eq!(Complete::TolerateShare(34).policy(3), Complete::Tolerate(1).policy(3));
    for (policy, successes) in policies {
        for (failures, success) in [0, 1, 3].into_iter().zip(successes) {
            let graph = [("a", 1), ("b", 2), ("c", 3)].into_iter().fold(Graph::new(), |graph, (name, number)| {
                graph.branch(name, call(if number <= failures { "fails" } else { "works" }))
            });
            let graph = Flow::builder().graph(graph.complete(policy)).build().unwrap();
            let each = ForEach::new(call("f")).at_most(2).complete(policy);
            let for_each = Flow::builder().for_each(each).build().unwrap();
            let fails = move |text: &str| match text.parse::<i32>().unwrap() <= failures {
                true => Err("no".to_owned()),
                false => Ok(text.to_owned()),
            };
            let expected = if success { Outcome::Success } else { Outcome::Failure };
            for (kind, make) in [
                ("graph", &(|| explore(&graph, "1").failing("fails")) as &dyn Fn() -> Explore),
                ("for-each", &|| explore(&for_each, "[1,2,3]").function("f", fails)),
            ] {
                let name = format!("{kind}, {policy:?}, {failures} failures");
                let explored = all(&format!("{name}, 1 fault"), make());
                assert!(explored.ends().all(|(outcome, ..)| outcome == expected), "{name}");
                let explored = run(&format!("{name}, 3 faults"), make().faults(3).sample(3, 100));
                assert!(explored.ends().all(|(outcome, ..)| outcome == expected), "{name}");
            }
        }
    }
}

/// Every policy for two branches, with no failure, one failure and only failures, in all orders with one fault.
#[test]
fn every_policy_of_two_with_a_fault() {
    let policies = [
        (Complete::All, [true, false, false]),
        (Complete::Settled, [true, true, true]),
        (Complete::First, [true, true, false]),
        (Complete::AtLeast(1), [true, true, false]),
        (Complete::AtLeast(2), [true, false, false]),
        (Complete::Tolerate(1), [true, true, false]),
        (Complete::TolerateShare(50), [true, true, false]),
    ];
    for (policy, successes) in policies {
        for (failures, success) in (0..).zip(successes) {
            let function = |number| call(if number < failures { "fails" } else { "works" });
            let graph = Graph::new().branch("a", function(0)).branch("b", function(1)).complete(policy);
            let flow = Flow::builder().graph(graph).build().unwrap();
            let name = format!("{policy:?} of 2, {failures} failures, 1 fault");
            let explored = all(&name, explore(&flow, "1").failing("fails"));
            let expected = if success { Outcome::Success } else { Outcome::Failure };
            assert!(explored.ends().all(|(outcome, ..)| outcome == expected), "{name}");
        }
    }
}

/// The handler of a branch is asked first, and can recover with an output of the branch. Otherwise, the flow's handler is asked.
#[test]
fn failing_branches() {
    let recovering = call("fails").on_failure(async |_: Context, failure: Failure| failure.recover("0"));
    let flow = Flow::builder().parallel([("a", recovering), ("b", call("b"))]).build().unwrap();
    let explored = all("a branch recovers, 1 fault", explore(&flow, "1").failing("fails"));
    assert_eq!((explored.outcome(), explored.output().as_str()), (Outcome::Success, r#"{"a":0,"b":1}"#));

    let flow = Flow::builder()
        .parallel([("a", Flow::builder().parallel([("x", call("fails")), ("y", call("y"))])), ("b", call("b"))])
        .on_failure(async |_: Context, failure: Failure| failure.recover(failure.reason()))
        .build()
        .unwrap();
    let explored = all("an inner branch fails, no fault", explore(&flow, "1").failing("fails").faults(0));
    assert_eq!(explored.outcome(), Outcome::Recovered);
    assert_eq!(explored.output(), "the branch `a` failed: the branch `x` failed: it answered 404 Not Found");

    let replying = Call::new("fails").on_failure(async |_: Context, failure: Failure| failure.reply("sorry"));
    let replying = Flow::builder().apply(replying);
    let flow = Flow::builder().parallel([("a", replying), ("b", call("b"))]).build().unwrap();
    let explored = all("a step of a branch replies, 1 fault", explore(&flow, "1").failing("fails"));
    assert_eq!((explored.outcome(), explored.output().as_str()), (Outcome::Failure, "sorry"));
}

/// Checks that an exploration finds an order that reveals a mistake in the protocol, and that the order can be replayed.
fn finds(flow: &Flow, input: &'static str, flaw: Flaw, expected: &str) {
    let explore = || explore(flow, input).flaw(flaw);
    let violation = explore().try_run().expect_err("the mistake is found");
    println!("{flaw:?}: {violation}");
    assert!(violation.what().contains(expected), "{violation}");
    assert!(violation.events().len() < 40, "it is short: {violation}");
    let again = explore().replay(violation.seed()).expect_err("the same order shows it again");
    assert_eq!((again.what(), again.events()), (violation.what(), violation.events()));
    let sampled = explore().sample(7, 20_000).try_run().expect_err("random orders show it too");
    assert!(explore().replay(sampled.seed()).is_err(), "{sampled}");
}

#[test]
fn a_join_without_a_claim_is_found() {
    finds(&parallel(&["a", "b"]), "1", Flaw::NoClaim, "is fired by");
}

#[test]
fn counting_instead_of_a_set_is_found() {
    finds(&parallel(&["a", "b"]), "1", Flaw::CountInsteadOfSet, "has not ended");
}

#[test]
fn a_claim_before_the_write_is_found() {
    finds(&parallel(&["a", "b"]), "1", Flaw::ClaimBeforeWrite, "which was not written");
}

#[test]
fn a_replay_lists_what_happens() {
    let flow = Flow::builder().parallel([("only", call("a"))]).build().unwrap();
    let events = explore(&flow, "1").replay("x11").unwrap();
    assert_eq!(
        events,
        [
            "phase 1 is delivered",
            "phase 1 creates result/1",
            "phase 1 posts only (1.0/2)",
            "only (1.0/2) is delivered",
            "only (1.0/2) reads entry/1/0, which is not there",
            "only (1.0/2) creates member/1/0",
            "only (1.0/2) creates entry/1/0",
            "only (1.0/2) posts phase 3",
            "phase 3 is delivered",
            "phase 3 creates result/3",
            "phase 3 creates over@0",
        ]
    );
}

/// A graph inside a for-each inside a graph, with several faults, has too many orders to try all of them.
#[test]
fn a_larger_flow_is_sampled() {
    let each = ForEach::new(Flow::builder().parallel([("x", call("x")), ("y", call("y"))])).at_most(2);
    let flow = Flow::builder()
        .parallel([("items", Flow::builder().for_each(each)), ("b", call("b").apply("b2"))])
        .apply("end")
        .build()
        .unwrap();
    let explored = run("sampled", explore(&flow, "[1,2,3]").faults(4).sample(1, 300));
    let item = |number: u8| format!(r#"{{"x":{number},"y":{number}}}"#);
    let items = [1, 2, 3].map(item).join(",");
    assert_eq!(explored.output(), format!(r#"{{"items":[{items}],"b":[1,2,3]}}"#));
}

/// A member of a thousand reads and writes no more keys than a member of a hundred. Without optimizations, ten thousand take
/// minutes, so only a release build counts them as well.
#[test]
fn the_cost_of_a_for_each_is_linear() {
    let flow = Flow::builder().for_each(ForEach::new(call("f")).at_most(16)).build().unwrap();
    let mut per_item = Vec::new();
    let counts: &[u32] = if cfg!(debug_assertions) { &[10, 100, 1_000] } else { &[10, 100, 1_000, 10_000] };
    for &items in counts {
        let list = serde_json::to_string(&(0..items).collect::<Vec<_>>()).unwrap();
        let cost = explore(&flow, list).cost(1);
        per_item.push(print_cost("one after the other", items, cost));
        assert!(cost.most_in_one < 40, "{cost:?}");
    }
    let [_, (reads, creates), .., (many_reads, many_creates)] = per_item[..] else { panic!("{per_item:?}") };
    assert!(many_reads < reads * 1.1 && many_creates < creates * 1.1, "{per_item:?}");
}

/// The cost stays bounded if all items in flight end at the same time, so that each tries several entries.
#[test]
fn the_cost_of_competing_is_bounded_by_the_items_in_flight() {
    let mut per_item = Vec::new();
    for (at_most, items) in [(16, 100), (16, 1_000), (4, 100), (4, 1_000)] {
        let flow = Flow::builder().for_each(ForEach::new(call("f")).at_most(at_most)).build().unwrap();
        let list = serde_json::to_string(&(0..items).collect::<Vec<_>>()).unwrap();
        let cost = explore(&flow, list).contended_cost(1);
        per_item.push(print_cost(&format!("{at_most} at the same time"), items, cost));
    }
    let [(few, _), (many, _), (few_of_4, _), (many_of_4, _)] = per_item[..] else { panic!("{per_item:?}") };
    assert!(many < few * 1.2 && many_of_4 < few_of_4 * 1.2, "{per_item:?}");
}

fn print_cost(name: &str, items: u32, cost: Cost) -> (f64, f64) {
    let each = |count: usize| count as f64 / f64::from(items);
    let (reads, creates, posts) = (each(cost.reads), each(cost.creates), each(cost.posts));
    let most = cost.most_in_one;
    println!(
        "{items} items, {name}: each {reads:.2} reads, {creates:.2} creates, {posts:.2} posts; {most} keys at most"
    );
    (reads, creates)
}
