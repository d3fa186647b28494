//! Flows inside flows: their faults, their plans and their places.

use std::time::Duration;

use bytes::Bytes;
use faasflow_core::graph::{BodyIndex, Follow, Place, Segment, StepIndex};
use faasflow_core::{
    Branches, Call, Choice, Complete, Context, Failure, Flow, FlowBuilder, ForEach, Graph, Items, Json, Outcome, Result,
};

fn call(function: &str) -> FlowBuilder {
    Flow::builder().apply(function)
}

fn sync(function: &str) -> FlowBuilder {
    Flow::builder().apply(Call::new(function).sync())
}

fn shape(flow: FlowBuilder) -> String {
    flow.build().unwrap().plan().shape().to_owned()
}

/// A flow that uses all methods for branches.
#[test]
fn everything_that_an_author_can_write() {
    let archive = Flow::builder().apply("compress").apply("store");
    let flow = Flow::builder()
        .apply("facedetect")
        .graph(
            Graph::new()
                .branch("thumb", Flow::builder().apply("resize").apply("watermark"))
                .branch(
                    "tags",
                    Flow::builder()
                        .apply("classify")
                        .on_failure(async |_: Context, failure: Failure| failure.recover(Json(["none"]))),
                )
                .branch("sheet", Flow::builder().apply("layout"))
                .after("sheet", ["thumb", "tags"])
                .within("sheet", Duration::from_secs(30))
                .complete(Complete::All)
                .join(async |_: Context, mut branches: Branches| branches.take::<Bytes>("sheet")),
        )
        .choose(
            Choice::new(async |photo: Bytes| if photo.len() > 9 { "large" } else { "small" })
                .branch("large", call("shrink"))
                .branch("small", Flow::builder())
                .otherwise(call("inspect")),
        )
        .for_each(
            ForEach::new(call("ocr"))
                .split(async |_: Context, text: String| text.lines().map(str::to_owned).collect::<Vec<_>>())
                .at_most(16)
                .within(Duration::from_secs(9))
                .collect(async |items: Items| -> Result<String> { Ok(items.take_all::<String>()?.join("\n")) }),
        )
        .flow("archive", archive.build().unwrap())
        .parallel([("a", sync("a")), ("b", sync("b"))])
        .build()
        .unwrap();
    insta::assert_snapshot!(flow.plan().shape(), @"[call facedetect] graph{thumb: [call resize] [call watermark]; tags: [call classify]; sheet after thumb tags: [call layout]} [] choice{large: [call shrink]; small: ; otherwise: [call inspect]} [] for_each{item: [call ocr]} [] flow{archive: [call compress] [call store]} [graph{a: call a; b: call b}]");
    assert!(flow.plan().needs_store());
    let names: Vec<&str> = flow.steps().iter().map(|step| &**step.name()).collect();
    insta::assert_snapshot!(names.join(", ").replace("function ", ""), @"`facedetect`, `resize`, `watermark`, `classify`, `layout`, `shrink`, `inspect`, `ocr`, `compress`, `store`, `a`, `b`");
}

#[test]
fn composites_with_only_synchronous_calls_run_within_a_phase() {
    let graph = || Flow::builder().apply("a").parallel([("x", sync("x")), ("y", sync("y"))]);
    assert_eq!(shape(graph()), "[call a, graph{x: call x; y: call y}]");
    assert_eq!(shape(graph().apply("b")), "[call a, graph{x: call x; y: call y}] [call b]");
    let flow = Flow::builder().parallel([("x", sync("x"))]).apply("b");
    assert_eq!(shape(flow), "[graph{x: call x}] [call b]", "the graph contains the first call of the phase");
    let flow = Flow::builder().parallel([("x", Flow::builder().modify(async |_: ()| ()))]).apply("b");
    assert_eq!(shape(flow), "[graph{x: modifier}, call b]", "there was no call before");
    let choice = Choice::new(async |_: ()| "x").branch("x", sync("x")).otherwise(Flow::builder());
    assert_eq!(
        shape(Flow::builder().choose(choice).flow("f", sync("y"))),
        "[choice{x: call x; otherwise: }, flow{f: call y}]"
    );
    let flow = Flow::builder().parallel([("x", sync("x"))]).build().unwrap();
    assert!(!flow.plan().needs_store());
    let segment = flow.plan().segments().next().unwrap();
    assert_eq!(segment.steps().map(StepIndex::number).collect::<Vec<_>>(), [1]);
}

#[test]
fn composites_with_an_asynchronous_call_have_their_own_phases() {
    let flow = call("a")
        .parallel([("x", sync("x").apply("x2")), ("y", sync("y"))])
        .modify(async |_: ()| ())
        .apply("b")
        .apply("c");
    let flow = flow.build().unwrap();
    let plan = flow.plan();
    assert_eq!(plan.shape(), "[call a] graph{x: [call x] [call x2]; y: [call y]} [modifier, call b] [call c]");
    let follows: Vec<&Follow> = plan.segments().map(Segment::follow).collect();
    let [Follow::Fork(graph), Follow::Next(x2), Follow::Arrive(x), Follow::Arrive(y), Follow::Next(c), Follow::End] =
        follows[..]
    else {
        panic!("{follows:?}")
    };
    assert!(graph == x && graph == y);
    assert_eq!((x2.phase(), c.phase()), (3, 6));
    assert_eq!(plan.join(*graph).place().phase(), 5);
    assert_eq!(plan.join(*graph).steps().map(StepIndex::number).collect::<Vec<_>>(), [5, 6]);
}

#[test]
fn a_choice_and_a_sub_flow_continue_the_same_token() {
    let choice = Choice::new(async |_: ()| "x").branch("x", call("x")).branch("empty", Flow::builder());
    let flow = call("a").choose(choice).build().unwrap();
    let plan = flow.plan();
    assert_eq!(plan.shape(), "[call a] choice{x: [call x]; empty: }");
    let segments: Vec<_> = plan.segments().collect();
    let Follow::Choose(choice) = *segments[0].follow() else { panic!("{:?}", segments[0]) };
    assert!(matches!(plan.entry(choice, 0), Follow::Next(x) if x.phase() == 2));
    assert_eq!(*plan.entry(choice, 1), Follow::End, "the empty branch passes the payload through");
    assert_eq!(*segments[1].follow(), Follow::End);
    assert!(plan.needs_store(), "the decision is recorded");

    let flow = call("a").flow("f", call("b").apply("c")).apply("d").build().unwrap();
    let phases = flow.plan().segments().map(|segment| segment.next().map(Place::phase));
    assert_eq!(phases.collect::<Vec<_>>(), [Some(2), Some(3), Some(4), None]);
    assert!(!flow.plan().needs_store());
}

/// A place whose path does not lead to its segment is not a place of the plan.
#[test]
fn only_paths_of_the_plan_are_places() {
    let flow = Flow::builder().parallel([("x", call("x")), ("y", call("y"))]).for_each(ForEach::new(call("z"))).build();
    let flow = flow.unwrap();
    let plan = flow.plan();
    assert_eq!(plan.shape(), "[] graph{x: [call x]; y: [call y]} [] for_each{item: [call z]} []");
    let is_place = |place: Place| plan.segment(&place).is_some();
    let (fork, x, y, join, z) = (Place::from(1), Place::from(2), Place::from(3), Place::from(4), Place::from(5));
    assert!(is_place(fork.member(0, &x)) && is_place(fork.member(1, &y)) && is_place(join.member(9_999, &z)));
    assert!(is_place(fork.member(0, &x).in_generation(3)));
    assert!(!is_place(x.clone()), "a branch needs a path");
    assert!(!is_place(fork.member(1, &x)), "the path is that of the other branch");
    assert!(!is_place(join.member(0, &x)), "another fork");
    assert!(!is_place(fork.member(0, &join)) && !is_place(fork.member(0, &x).member(0, &z)), "too long a path");
}

/// The fingerprint of the part ahead of a place depends only on the steps that can still follow.
#[test]
fn a_change_of_earlier_steps_does_not_change_the_part_ahead() {
    let flow = |first: &str, x: &str, y: &str, late: &str, last: &str| {
        let graph = Graph::new()
            .branch("x", call(x).apply("x2"))
            .branch("y", call(y))
            .branch("z", call(late))
            .after("z", ["x"]);
        call(first).graph(graph).apply(last).build().unwrap()
    };
    let old = flow("a", "x", "y", "z", "b");
    // Phases: a; x, x2; y; z; b.
    let unchanged = |new: &Flow| -> Vec<usize> {
        let pairs = old.plan().segments().zip(new.plan().segments());
        pairs.filter(|(old, new)| old.ahead() == new.ahead()).map(|(old, _)| old.place().phase()).collect()
    };
    assert_eq!(unchanged(&flow("a", "x", "y", "z", "b")), [1, 2, 3, 4, 5, 6]);
    assert_eq!(unchanged(&flow("A", "x", "y", "z", "b")), [2, 3, 4, 5, 6]);
    assert_eq!(unchanged(&flow("a", "X", "y", "z", "b")), [3, 4, 5, 6], "the other branches do not pass through it");
    assert_eq!(unchanged(&flow("a", "x", "Y", "z", "b")), [2, 3, 5, 6]);
    assert_eq!(unchanged(&flow("a", "x", "y", "Z", "b")), [4, 6], "z comes after x");
    assert_eq!(unchanged(&flow("a", "x", "y", "z", "B")), [] as [usize; 0]);
}

#[test]
fn every_fault_is_reported_with_its_place() {
    let deep = (0..9).fold(call("f"), |flow, _| Flow::builder().flow("deeper", flow));
    let error = Flow::builder()
        .graph(
            Graph::new()
                .branch("a", call("no such name"))
                .branch("A", Flow::builder().finally(async |_: Context, _: Outcome| ()).apply("f"))
                .branch("", Flow::builder())
                .after("a", ["nobody"])
                .within("nobody", Duration::from_secs(1))
                .within("a", Duration::ZERO)
                .complete(Complete::AtLeast(4)),
        )
        .graph(
            Graph::new()
                .branch("x", call("f"))
                .after("x", ["y"])
                .branch("y", call("f"))
                .after("y", ["z"])
                .branch("z", call("f"))
                .after("z", ["x"]),
        )
        .graph(Graph::new().branch("self", call("f")).after("self", ["self"]).complete(Complete::TolerateShare(101)))
        .parallel::<&str, FlowBuilder>([])
        .for_each(ForEach::new(call("f")).at_most(0).within(Duration::ZERO).complete(Complete::AtLeast(0)))
        .choose(Choice::new(async |_: ()| "x"))
        .choose(
            Choice::new(async |_: ()| "x").branch("1", call("f")).branch("1", call("f")).otherwise(call("bad name")),
        )
        .flow("deep", deep)
        .build()
        .unwrap_err();
    let text = error.to_string().replace("crates/core/tests/it/", "");
    insta::assert_snapshot!(text, @r"
    the flow cannot be built:
      - graph (graphs.rs:179): the graph has no branch `nobody`
      - graph (graphs.rs:180): the graph has no branch `nobody`
      - graph (graphs.rs:174): `AtLeast(4)` cannot be met by 3 branches
      - graph (graphs.rs:176): the name `a` is used twice (again at graphs.rs:177)
      - graph (graphs.rs:178): a branch has no name
      - graph at graphs.rs:174 > branch `a` (graphs.rs:181): a `within` of 0 would fail every request
      - graph at graphs.rs:174 > branch `a` > step 1 (function `no such name`, graphs.rs:12): `no such name` is not a valid function name
      - graph at graphs.rs:174 > branch `A` (graphs.rs:177): `finally` is set in a branch
      - graph (graphs.rs:191): branches wait for each other: `x` after `y` after `z` after `x`
      - graph (graphs.rs:193): branches wait for each other: `self` after `self`
      - graph (graphs.rs:193): 101 % of the members cannot fail
      - graph (graphs.rs:194): the graph has no branch
      - for-each (graphs.rs:195): `at_most(0)` would never begin an item
      - for-each (graphs.rs:195): a `within` of 0 would fail every request
      - for-each (graphs.rs:195): `AtLeast(0)` is met before anything begins
      - choice (graphs.rs:196): the choice has no branch
      - choice (graphs.rs:198): the name `1` is used twice (again at graphs.rs:198)
      - choice at graphs.rs:197 > branch `otherwise` > step 10 (function `bad name`, graphs.rs:12): `bad name` is not a valid function name
      - flow `deep` > flow `deeper` > flow `deeper` > flow `deeper` > flow `deeper` > flow `deeper` > flow `deeper` > flow `deeper` > flow `deeper` (graphs.rs:172): flows are nested more than 8 deep
    ");
    let codes: Vec<&str> = error.faults().iter().map(|fault| fault.code().as_str()).collect();
    insta::assert_snapshot!(codes.join(" "), @"FF0111 FF0111 FF0116 FF0110 FF0110 FF0117 FF0102 FF0114 FF0112 FF0112 FF0116 FF0113 FF0115 FF0117 FF0116 FF0113 FF0110 FF0102 FF0118");
}

/// A flow may contain the same flow several times. Each has its own steps.
#[test]
fn a_flow_can_be_part_of_another_more_than_once() {
    let archive = call("compress").apply("store").build().unwrap();
    let flow =
        Flow::builder().parallel([("a", archive.clone()), ("b", archive.clone())]).flow("c", archive).build().unwrap();
    assert_eq!(flow.steps().len(), 6);
    assert_eq!(
        flow.plan().shape(),
        "[] graph{a: [call compress] [call store]; b: [call compress] [call store]} [] flow{c: [call compress] [call store]}"
    );
    assert!(flow.handler_of(BodyIndex::default()).is_none());
}

/// The store knows what the members of a join have written by the number of the fork.
#[test]
fn a_join_whose_fork_has_another_number_is_another_join() {
    let flow = |first: FlowBuilder, x: FlowBuilder| first.parallel([("x", x), ("y", call("y"))]).build().unwrap();
    let old = flow(call("a").apply("a2"), call("x"));
    let new = flow(call("a"), call("x").apply("x2"));
    let join = Place::from(5);
    assert_eq!(old.plan().segment(&join).unwrap().joins(), new.plan().segment(&join).unwrap().joins());
    assert_ne!(old.plan().segment(&join).unwrap().ahead(), new.plan().segment(&join).unwrap().ahead());
}
