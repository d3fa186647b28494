//! The comparison of an earlier definition with the one that is deployed.

use faasflow_core::graph::{BodyIndex, Earlier, Place, Plan, Segment, StepIndex};
use faasflow_core::{Call, Choice, Flow, FlowBuilder, ForEach, Graph};
use proptest::prelude::*;

/// An element of a flow that is built at random.
#[derive(Clone, Debug)]
enum Part {
    Modifier,
    Callback,
    Sync(&'static str),
    Call(&'static str),
    Graph(Vec<Vec<Part>>, bool),
    Choice(Vec<Vec<Part>>),
    ForEach(Vec<Part>),
    Flow(Vec<Part>),
}

const FUNCTIONS: [&str; 2] = ["f", "g-1.x_y"];
/// The names of branches, some of which have to be quoted.
const BRANCHES: [&str; 3] = ["a", "after", "é \"\\{]; :\n\u{7f}"];

fn build(parts: &[Part]) -> FlowBuilder {
    let all = |bodies: &[Vec<Part>]| bodies.iter().map(|body| build(body)).zip(BRANCHES).collect::<Vec<_>>();
    parts.iter().fold(Flow::builder(), |flow, part| match part {
        Part::Modifier => flow.modify(async |payload: bytes::Bytes| payload),
        Part::Callback => flow.callback("http://example.com"),
        Part::Sync(function) => flow.apply(Call::new(*function).sync()),
        Part::Call(function) => flow.apply(*function),
        Part::Graph(bodies, chained) => {
            let graph = all(bodies).into_iter().fold(Graph::new(), |graph, (body, name)| graph.branch(name, body));
            flow.graph(if *chained && bodies.len() > 1 { graph.after(BRANCHES[1], [BRANCHES[0]]) } else { graph })
        }
        Part::Choice(bodies) => {
            let choice = Choice::new(async |_: bytes::Bytes| "a");
            flow.choose(all(bodies).into_iter().fold(choice, |choice, (body, name)| choice.branch(name, body)))
        }
        Part::ForEach(body) => flow.for_each(ForEach::new(build(body))),
        Part::Flow(body) => flow.flow("part", build(body)),
    })
}

fn plan(parts: &[Part]) -> Plan {
    build(parts).build().unwrap().plan().clone()
}

fn part() -> impl Strategy<Value = Part> {
    let step = prop_oneof![
        Just(Part::Modifier),
        Just(Part::Callback),
        prop::sample::select(&FUNCTIONS[..]).prop_map(Part::Sync),
        prop::sample::select(&FUNCTIONS[..]).prop_map(Part::Call),
        prop::sample::select(&FUNCTIONS[..]).prop_map(Part::Call),
    ];
    step.prop_recursive(3, 24, 3, |inner| {
        let body = prop::collection::vec(inner, 1..4);
        let bodies = prop::collection::vec(body.clone(), 1..4);
        prop_oneof![
            (bodies.clone(), any::<bool>()).prop_map(|(bodies, chained)| Part::Graph(bodies, chained)),
            (bodies, any::<bool>()).prop_map(|(mut bodies, is_empty)| {
                if is_empty {
                    bodies[0].clear();
                }
                Part::Choice(bodies)
            }),
            body.clone().prop_map(Part::ForEach),
            body.prop_map(Part::Flow),
        ]
    })
}

fn parts() -> impl Strategy<Value = Vec<Part>> {
    prop::collection::vec(part(), 1..5)
}

/// The places of a plan, each with a path that leads to it.
fn places(plan: &Plan) -> Vec<Place> {
    fn in_body(plan: &Plan, body: BodyIndex, segment: &Place) -> Place {
        let Some((composite, branch)) = plan.body(body).owner() else { return segment.clone() };
        let outline = plan.composite(composite);
        match outline.kind().joins() {
            true => {
                let index = if outline.branches().len() == 1 { 0 } else { u32::try_from(branch).unwrap() };
                in_body(plan, plan.parent(composite), plan.fork(composite).place()).member(index, segment)
            }
            false => in_body(plan, plan.parent(composite), segment),
        }
    }
    plan.segments().map(|segment| in_body(plan, segment.body(), segment.place())).collect()
}

fn steps(segment: &Segment) -> Vec<StepIndex> {
    segment.steps().collect()
}

proptest! {
    #[test]
    fn a_shape_has_everything_that_a_plan_has(parts in parts()) {
        let plan = plan(&parts);
        let earlier = Earlier::new(plan.shape(), &plan).unwrap();
        prop_assert_eq!(earlier.plan(), &plan);
        for place in places(&plan) {
            prop_assert_eq!(earlier.segment(&place), plan.segment(&place));
        }
        for segment in plan.segments() {
            for step in segment.steps() {
                prop_assert_eq!(earlier.step_number(step), Some(step.number()));
            }
        }
        prop_assert_eq!(earlier.same_phases(), plan.phase_count());
        prop_assert!(earlier.is_same_from(1));
    }

    #[test]
    fn phases_that_are_added_or_removed_behind_change_nothing_ahead(
        before in prop::collection::vec(part(), 0..4),
        instead in prop::collection::vec(part(), 0..4),
        after in parts(),
    ) {
        // What comes before ends with a phase of its own.
        let cut = [Part::Call("cut"), Part::Call("next")];
        let (old, new) = (plan(&[&before, &cut[..], &after].concat()), plan(&[&instead, &cut[..], &after].concat()));
        let Some(earlier) = Earlier::new(old.shape(), &new) else { return Err(TestCaseError::reject("too long")) };
        let cut_at = |plan: &Plan, parts: &[Part]| {
            let steps = count(parts) + 1;
            plan.segments().position(|segment| segment.steps().any(|step| step.index() == steps)).unwrap()
        };
        let (from, to) = (cut_at(&old, &before), cut_at(&new, &instead));
        let shift = |number: usize| number + to - from;
        for place in places(&old).iter().filter(|place| place.phase() > from) {
            let Some(segment) = earlier.segment(place) else {
                return Err(TestCaseError::fail(format!("{place} of {} has no segment in {}", old.shape(), new.shape())));
            };
            prop_assert_eq!(segment.place().phase(), shift(place.phase()));
            let known: Vec<_> = steps(segment).into_iter().map(|step| earlier.step_number(step)).collect();
            let numbers: Vec<_> = steps(old.segment(place).unwrap()).iter().map(|step| Some(step.number())).collect();
            prop_assert_eq!(known, numbers);
        }
    }

    /// Version 0.1 compared what is ahead of the same number.
    #[test]
    fn what_could_go_on_before_still_can(old in parts(), new in parts()) {
        let (old, new) = (plan(&old), plan(&new));
        let Some(earlier) = Earlier::new(old.shape(), &new) else { return Err(TestCaseError::reject("too long")) };
        for place in places(&old) {
            let (before, deployed) = (old.segment(&place).unwrap(), new.segment(&place));
            if let Some(deployed) = deployed.filter(|deployed| deployed.ahead() == before.ahead()) {
                prop_assert_eq!(earlier.segment(&place), Some(deployed), "{} {} {}", place, old.shape(), new.shape());
            }
        }
    }

    #[test]
    fn any_text_is_read_without_a_panic(text in "(\\[|\\]|\\{|\\}|call f|modifier|graph|choice|a: |; |, | |after|\"){0,30}") {
        let new = plan(&[Part::Call("f")]);
        if let Some(earlier) = Earlier::new(&text, &new) {
            prop_assert_eq!(earlier.plan().shape(), text);
        }
    }
}

/// The number of steps, including those inside.
fn count(parts: &[Part]) -> usize {
    let inside = |part: &Part| match part {
        Part::Graph(bodies, _) | Part::Choice(bodies) => bodies.iter().map(|body| count(body)).sum(),
        Part::ForEach(body) | Part::Flow(body) => count(body),
        _ => 1,
    };
    parts.iter().map(inside).sum()
}

fn call(function: &str) -> FlowBuilder {
    Flow::builder().apply(function)
}

fn planned(flow: FlowBuilder) -> Plan {
    flow.build().unwrap().plan().clone()
}

/// The places of the first flow that can be executed by the second one, with their numbers there.
fn fits(old: FlowBuilder, new: FlowBuilder) -> Vec<String> {
    let (old, new) = (planned(old), planned(new));
    let earlier = Earlier::new(old.shape(), &new).unwrap();
    let places = places(&old).into_iter();
    let fits = places.filter_map(|place| Some(format!("{place}={}", earlier.segment(&place)?.place())));
    fits.collect()
}

#[test]
fn a_change_within_a_branch_concerns_the_tokens_that_have_it_ahead() {
    let graph = |x: FlowBuilder, y: FlowBuilder| {
        call("a").graph(Graph::new().branch("x", x).branch("y", y).branch("z", call("z")).after("z", ["y"])).apply("b")
    };
    let old = || graph(call("x1").apply("x2"), call("y"));
    // A phase in `x` is added behind both, or between them.
    let added = graph(call("x0").apply("x1").apply("x2"), call("y"));
    assert_eq!(fits(old(), added), ["1.0/2=3", "1.0/3=4", "1.1/4=5", "1.2/5=6", "6=7"]);
    let added = graph(call("x1").apply("x0").apply("x2"), call("y"));
    assert_eq!(fits(old(), added), ["1.0/3=4", "1.1/4=5", "1.2/5=6", "6=7"]);
    // `z` comes after `y`, so a change in `z` is ahead of `y`.
    let other = Graph::new().branch("x", call("x1").apply("x2")).branch("y", call("y"));
    let other = call("a").graph(other.branch("z", call("other")).after("z", ["y"])).apply("b");
    assert_eq!(fits(old(), other), ["1.0/2=2", "1.0/3=3", "6=6"]);
    // The join sees the names of the branches.
    let renamed = Graph::new().branch("x", call("x1").apply("x2")).branch("y", call("y")).branch("z", call("z"));
    assert_eq!(fits(old(), call("a").graph(renamed).apply("b")), [""; 0]);
}

#[test]
fn a_token_in_a_branch_of_a_choice_goes_on_in_that_branch() {
    let branches = |names: &[&str]| {
        let choice = Choice::new(async |_: bytes::Bytes| "a");
        let choice = names.iter().fold(choice, |choice, name| choice.branch(*name, call("f").apply("f")));
        call("a").choose(choice).apply("b")
    };
    assert_eq!(fits(branches(&["x", "y"]), branches(&["y", "x"])), ["2=4", "3=5", "4=2", "5=3", "6=6"]);
    assert_eq!(fits(branches(&["x", "y"]), branches(&["y"])), ["4=2", "5=3", "6=4"]);
    assert_eq!(fits(branches(&["x", "y"]), branches(&["x", "z"])), ["2=2", "3=3", "4=4", "5=5", "6=6"]);
}

#[test]
fn the_phases_that_are_the_same_at_the_beginning_are_counted() {
    let same = |old: FlowBuilder, new: FlowBuilder| {
        let (old, new) = (planned(old), planned(new));
        Earlier::new(old.shape(), &new).unwrap().same_phases()
    };
    let graph = |flow: FlowBuilder, x: &str| flow.parallel([("x", call(x)), ("y", call("y"))]);
    assert_eq!(same(call("a").apply("b").apply("c"), call("a").apply("b").apply("d")), 2);
    assert_eq!(same(call("a").apply("b"), call("a").apply("x").apply("b")), 1);
    assert_eq!(same(call("a").apply("b"), call("b").apply("a")), 0);
    assert_eq!(same(graph(call("a"), "x").apply("b"), graph(call("a"), "x").apply("c")), 3);
    assert_eq!(same(graph(call("a"), "x").apply("b"), graph(call("a"), "z").apply("b")), 1);
    assert_eq!(same(graph(call("a"), "x").apply("b"), call("a").apply("b")), 1);
}

#[test]
fn a_shape_that_was_cut_off_is_not_read() {
    let long = |count: usize| (0..count).fold(Flow::builder(), |flow, _| flow.apply("a-long-name-of-a-function"));
    let (short, long) = (planned(long(3)), planned(long(200)));
    assert!(long.shape().len() > 4096);
    assert!(Earlier::new(long.shape(), &short).is_none());
    assert!(Earlier::new(&long.shape()[..4096], &short).is_none());
    assert!(Earlier::new(short.shape(), &long).is_some());
}
