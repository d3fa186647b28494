//! Faults of flows inside flows: each is reported with the graph and the branch that it is in.

use std::time::Duration;

use bytes::Bytes;
use faasflow_core::graph::Follow;
use faasflow_core::handler::BoxFuture;
use faasflow_core::state::{Scope, StateError, StateManager};
use faasflow_core::{
    Branches, Choice, Complete, Composite, Context, Failure, Flow, FlowBuilder, ForEach, Graph, Items, Outcome,
};

fn call(function: &str) -> FlowBuilder {
    Flow::builder().apply(function)
}

/// A state manager that is never used.
struct Unused;

impl StateManager for Unused {
    fn name(&self) -> &str {
        "unused"
    }

    fn get<'a>(&'a self, _: &'a Scope, _: &'a str) -> BoxFuture<'a, Result<Option<Bytes>, StateError>> {
        unreachable!()
    }

    fn set<'a>(&'a self, _: &'a Scope, _: &'a str, _: Bytes) -> BoxFuture<'a, Result<(), StateError>> {
        unreachable!()
    }

    fn remove<'a>(&'a self, _: &'a Scope, _: &'a str) -> BoxFuture<'a, Result<(), StateError>> {
        unreachable!()
    }

    fn remove_request<'a>(&'a self, _: &'a Scope) -> BoxFuture<'a, Result<(), StateError>> {
        unreachable!()
    }
}

/// The faults of a flow that cannot be built, one a line, with the code of each.
fn faults(flow: FlowBuilder) -> String {
    let error = flow.build().unwrap_err();
    let lines: Vec<String> = error.faults().iter().map(|fault| format!("{} {fault}", fault.code())).collect();
    lines.join("\n").replace("crates/core/tests/it/", "")
}

#[test]
fn what_belongs_to_the_whole_flow_is_a_fault_in_every_kind_of_branch() {
    let inner = || call("f").state(Unused).finally(async |_: Context, _: Outcome| ());
    let nested = Flow::builder().for_each(ForEach::new(inner()));
    let flow = Flow::builder()
        .graph(Graph::new().branch("a", inner()).branch("b", nested))
        .choose(Choice::new(async |_: ()| "x").branch("x", inner()).otherwise(inner()))
        .for_each(ForEach::new(inner()))
        .flow("sub", inner());
    insta::assert_snapshot!(faults(flow), @"
    FF0114 graph at faults.rs:54 > branch `a` (faults.rs:54): `state` is set in a branch
    FF0114 graph at faults.rs:54 > branch `a` (faults.rs:54): `finally` is set in a branch
    FF0114 graph at faults.rs:54 > branch `b` > for-each at faults.rs:52: `state` is set in a branch
    FF0114 graph at faults.rs:54 > branch `b` > for-each at faults.rs:52: `finally` is set in a branch
    FF0114 choice at faults.rs:55 > branch `x` (faults.rs:55): `state` is set in a branch
    FF0114 choice at faults.rs:55 > branch `x` (faults.rs:55): `finally` is set in a branch
    FF0114 choice at faults.rs:55 > branch `otherwise` (faults.rs:55): `state` is set in a branch
    FF0114 choice at faults.rs:55 > branch `otherwise` (faults.rs:55): `finally` is set in a branch
    FF0114 for-each at faults.rs:56: `state` is set in a branch
    FF0114 for-each at faults.rs:56: `finally` is set in a branch
    FF0114 flow `sub` (faults.rs:57): `state` is set in a branch
    FF0114 flow `sub` (faults.rs:57): `finally` is set in a branch
    ");
}

#[test]
fn what_is_set_twice_is_a_fault_with_its_place() {
    let graph = Graph::new()
        .branch("a", call("f").on_failure(async |failure: Failure| failure.decline()))
        .branch("b", call("f"))
        .join(async |_: Branches| "first")
        .join(async |_: Branches| "second");
    let for_each = ForEach::new(call("f"))
        .split(async |_: ()| vec!["first"])
        .collect(async |_: Items| "first")
        .split(async |_: ()| vec!["second"])
        .collect(async |_: Items| "second");
    let choice = Choice::new(async |_: ()| "x").branch("x", call("f")).otherwise(call("f")).otherwise(call("f"));
    let twice = call("f")
        .on_failure(async |failure: Failure| failure.decline())
        .on_failure(async |failure: Failure| failure.decline());
    let flow = Flow::builder().graph(graph).for_each(for_each).choose(choice).parallel([("c", twice)]);
    insta::assert_snapshot!(faults(flow), @"
    FF0103 graph (faults.rs:90): `join` is set twice (again at faults.rs:80)
    FF0103 for-each (faults.rs:90): `split` is set twice (again at faults.rs:84)
    FF0103 for-each (faults.rs:90): `collect` is set twice (again at faults.rs:85)
    FF0103 choice (faults.rs:90): `otherwise` is set twice (again at faults.rs:86)
    FF0103 graph at faults.rs:90 > branch `c` (faults.rs:90): `on_failure` is set twice (again at faults.rs:89)
    ");
}

/// Two graphs with the same names of branches are told apart.
#[test]
fn the_place_names_every_graph_and_branch_on_the_way() {
    let bad = || Flow::builder().graph(Graph::new().branch("x", call("not a name")).branch("y", call("f")));
    let graph =
        Graph::new().branch("a", bad()).branch("b", Flow::builder().flow("sub", bad())).within("b", Duration::ZERO);
    let flow = Flow::builder().graph(graph).choose(Choice::new(async |_: ()| "x").branch("a", bad()));
    insta::assert_snapshot!(faults(flow), @"
    FF0102 graph at faults.rs:106 > branch `a` > graph at faults.rs:103 > branch `x` > step 1 (function `not a name`, faults.rs:14): `not a name` is not a valid function name
    FF0117 graph at faults.rs:106 > branch `b` (faults.rs:105): a `within` of 0 would fail every request
    FF0102 graph at faults.rs:106 > branch `b` > flow `sub` > graph at faults.rs:103 > branch `x` > step 3 (function `not a name`, faults.rs:14): `not a name` is not a valid function name
    FF0102 choice at faults.rs:106 > branch `a` > graph at faults.rs:103 > branch `x` > step 5 (function `not a name`, faults.rs:14): `not a name` is not a valid function name
    ");
}

/// An author should not have to remove one circle to learn of the next.
#[test]
fn all_circles_are_reported_and_unknown_names_once_for_each_call() {
    let names = ["a", "b", "c", "d"];
    let graph = names.iter().fold(Graph::new(), |graph, name| graph.branch(*name, call("f")));
    let graph =
        graph.after("a", ["b"]).after("b", ["a"]).after("c", ["d"]).after("d", ["c"]).after("nobody", ["a", "b"]);
    insta::assert_snapshot!(faults(Flow::builder().graph(graph)), @"
    FF0111 graph (faults.rs:121): the graph has no branch `nobody`
    FF0112 graph (faults.rs:121): branches wait for each other: `a` after `b` after `a`
    FF0112 graph (faults.rs:121): branches wait for each other: `c` after `d` after `c`
    ");
}

#[test]
fn of_policies_and_limits_the_last_one_counts() {
    let second = Duration::from_secs(1);
    let graph = Graph::new()
        .branch("a", call("f"))
        .complete(Complete::AtLeast(9))
        .complete(Complete::Settled)
        .within("a", second)
        .within("a", 2 * second);
    let for_each = ForEach::new(call("f"))
        .at_most(1)
        .at_most(2)
        .complete(Complete::First)
        .complete(Complete::Settled)
        .within(second)
        .within(2 * second);
    let flow = Flow::builder().graph(graph).for_each(for_each).build().unwrap();
    let forks = flow.plan().segments().filter_map(|segment| match segment.follow() {
        Follow::Fork(composite) => Some(flow.composite(*composite)),
        _ => None,
    });
    let composites: Vec<&Composite> = forks.collect();
    let Composite::Graph { complete: Complete::Settled, within, .. } = composites[0] else { panic!() };
    assert_eq!(within, &[Some(2 * second)]);
    let Composite::ForEach { complete: Complete::Settled, at_most: 2, within, .. } = composites[1] else { panic!() };
    assert_eq!(*within, Some(2 * second));
}

#[test]
fn search_keys_and_secrets_belong_to_the_whole_flow() {
    let inner = call("f").search_key(|key: String| key).secret("/pin");
    let faults = faults(Flow::builder().flow("sub", inner));
    for what in ["search_key", "secret"] {
        assert!(faults.contains(&format!("`{what}` is set in a branch")), "{faults}");
    }
    assert_eq!(faults.matches("FF0114").count(), 2, "{faults}");
}

#[test]
fn a_secret_needs_a_pointer_or_a_header() {
    let flow = call("f").secret("card/number").secret("").secret_header("x api key").secret("/fine");
    let faults = faults(flow);
    let lines: Vec<&str> = faults.lines().collect();
    assert_eq!(lines.len(), 3, "{faults}");
    assert!(lines[0].starts_with("FF0119") && lines[0].contains("`card/number` does not lead to a field"), "{faults}");
    assert!(lines[1].starts_with("FF0119") && lines[2].starts_with("FF0106"), "{faults}");
}
