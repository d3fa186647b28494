//! Explores requests that are remembered, and what is done with them from outside.

use std::time::Instant;

use faasflow_core::machine::forked::Flaw;
use faasflow_core::{Flow, FlowBuilder, ForEach, Graph, Outcome};
use faasflow_testkit::explore::{Action, Explore, Explored, explore};

fn call(function: &str) -> FlowBuilder {
    Flow::builder().apply(function)
}

/// Tries all orders, and prints their number and the duration.
fn all(name: &str, explore: Explore) -> Explored {
    let begun = Instant::now();
    let explored = explore.run();
    println!("{name}: {explored}, in {:.1?}", begun.elapsed());
    assert!(explored.is_exhaustive(), "{name}: {explored}");
    explored
}

/// Tries random orders, and prints the number of states and the duration.
fn some(name: &str, explore: Explore) -> Explored {
    let begun = Instant::now();
    let explored = explore.sample(1, 500).run();
    println!("{name}: {explored}, in {:.1?}", begun.elapsed());
    explored
}

fn linear() -> Flow {
    call("a").apply("b").apply("c").build().unwrap()
}

fn parallel() -> Flow {
    Flow::builder().parallel([("a", call("a")), ("b", call("b"))]).build().unwrap()
}

fn diamond() -> Flow {
    let branches: [(&str, &[&str]); 4] =
        [("top", &[]), ("left", &["top"]), ("right", &["top"]), ("bottom", &["left", "right"])];
    let graph = branches
        .iter()
        .fold(Graph::new(), |graph, (name, after)| graph.branch(*name, call(name)).after(*name, after.iter().copied()));
    Flow::builder().graph(graph).build().unwrap()
}

fn for_each() -> Flow {
    Flow::builder().for_each(ForEach::new(call("f")).at_most(2)).build().unwrap()
}

/// The outcomes with which the request ends in some order.
fn outcomes(explored: &Explored) -> Vec<Outcome> {
    let mut outcomes: Vec<_> = explored.ends().map(|(outcome, ..)| outcome).collect();
    outcomes.dedup();
    outcomes
}

#[test]
fn requests_end_in_the_same_way_if_they_are_remembered() {
    let cases = [
        ("3 phases", linear(), "1", "1"),
        ("parallel of 2", parallel(), "1", r#"{"a":1,"b":1}"#),
        ("diamond", diamond(), "1", r#"{"bottom":{"left":{"top":1},"right":{"top":1}}}"#),
        ("for-each of 3, 2 at once", for_each(), "[1,2,3]", "[1,2,3]"),
    ];
    for (name, flow, input, output) in cases {
        let explored = all(&format!("{name}, remembered, 1 fault"), explore(&flow, input).remembered());
        assert_eq!((explored.outcome(), explored.output().as_str()), (Outcome::Success, output));
    }
}

#[test]
fn a_request_ends_after_it_was_paused() {
    let explored = all("3 phases, paused, 1 fault", explore(&linear(), "1").action(Action::Pause));
    assert_eq!(explored.outcome(), Outcome::Success);
    let flow = parallel();
    let paused = || explore(&flow, "1").action(Action::Pause);
    assert_eq!(all("parallel of 2, paused, no fault", paused().faults(0)).outcome(), Outcome::Success);
    assert_eq!(some("parallel of 2, paused, 2 faults", paused().faults(2)).outcome(), Outcome::Success);
    let twice = explore(&linear(), "1").action(Action::Pause).action(Action::Pause).faults(0);
    assert_eq!(all("3 phases, paused twice", twice).outcome(), Outcome::Success);
}

#[test]
fn a_request_that_is_stopped_ends_once() {
    for (name, flow) in [("3 phases", linear()), ("parallel of 2", parallel())] {
        let explored = all(&format!("{name}, stopped"), explore(&flow, "1").action(Action::Stop));
        assert_eq!(outcomes(&explored), [Outcome::Stopped, Outcome::Success]);
    }
}

#[test]
fn what_is_lost_is_recovered() {
    let explored = all("3 phases, recovered, 1 fault", explore(&linear(), "1").action(Action::Recover));
    assert_eq!(explored.outcome(), Outcome::Success);
    for (name, flow, input) in
        [("parallel of 2", parallel(), "1"), ("diamond", diamond(), "1"), ("for-each of 3", for_each(), "[1,2,3]")]
    {
        let recovered = explore(&flow, input).action(Action::Recover).faults(2);
        assert_eq!(some(&format!("{name}, recovered, 2 faults"), recovered).outcome(), Outcome::Success);
    }
}

#[test]
fn a_redrive_executes_what_has_not_succeeded() {
    let flow = linear();
    let redriven = || explore(&flow, "1").failing_until_redriven("b").action(Action::Redrive);
    let explored = all("3 phases, redriven", redriven());
    assert_eq!(outcomes(&explored), [Outcome::Failure, Outcome::Success]);
    let flow = parallel();
    let redriven = || explore(&flow, "1").failing_until_redriven("b").action(Action::Redrive);
    let explored = all("parallel of 2, redriven, no fault", redriven().faults(0));
    assert_eq!(outcomes(&explored), [Outcome::Failure, Outcome::Success]);
    some("parallel of 2, redriven, 2 faults", redriven().faults(2));
}

/// The redrive follows a pause, or the pause interrupts the redrive.
#[test]
fn a_request_that_is_paused_and_redriven_ends() {
    let flow = parallel();
    let both = || {
        let redriven = explore(&flow, "1").failing_until_redriven("b").action(Action::Redrive);
        redriven.action(Action::Pause).interruptions(1)
    };
    let explored = all("parallel of 2, paused and redriven, 1 fault", both());
    assert_eq!(outcomes(&explored), [Outcome::Failure, Outcome::Success]);
}

/// The outcomes and outputs are the same if equivalent orders are tried too.
#[test]
fn orders_that_are_left_out_end_in_no_other_way() {
    let (linear, parallel, each) = (linear(), parallel(), for_each());
    let failing = |flow| explore(flow, "1").failing_until_redriven("b").action(Action::Redrive).faults(0);
    let cases: [(&str, &dyn Fn() -> Explore); 7] = [
        ("parallel of 2", &|| explore(&parallel, "1")),
        ("parallel of 2, remembered", &|| explore(&parallel, "1").remembered()),
        ("parallel of 2, redriven", &|| failing(&parallel)),
        ("3 phases, redriven", &|| failing(&linear).faults(1)),
        ("3 phases, stopped", &|| explore(&linear, "1").action(Action::Stop)),
        ("3 phases, recovered", &|| explore(&linear, "1").action(Action::Recover)),
        ("for-each of 2", &|| explore(&each, "[1,2]")),
    ];
    for (name, make) in cases {
        let (reduced, full) = (all(name, make()), all(&format!("{name}, in full"), make().in_full()));
        let ends = |explored: &Explored| explored.ends().map(|(outcome, text, _)| (outcome, text)).collect::<Vec<_>>();
        assert_eq!(ends(&reduced), ends(&full), "{name}");
        assert!(reduced.states < full.states, "{name}: {reduced}");
    }
}

/// What has succeeded in the first phase is used, and what comes after it is executed again.
#[test]
fn a_redrive_from_a_phase_decides_anew_from_there() {
    let flow = linear();
    let again = || explore(&flow, "1").action(Action::RedriveFromSecond);
    let explored = all("3 phases, redriven from the second, 1 fault", again());
    assert_eq!(explored.outcome(), Outcome::Success);
    let failing = || again().failing_until_redriven("b");
    let explored = all("3 phases, redriven from the second and from what failed", failing().action(Action::Redrive));
    assert_eq!(outcomes(&explored), [Outcome::Failure, Outcome::Success]);
    let flow = parallel();
    let again = explore(&flow, "1").failing_until_redriven("b").action(Action::RedriveFromSecond);
    let explored = all("parallel of 2, redriven from the second phase, 1 fault", again.interruptions(1));
    assert_eq!(outcomes(&explored), [Outcome::Failure, Outcome::Success]);
}

#[test]
fn a_list_that_is_split_after_a_redrive_has_its_items() {
    let flow = call("first").for_each(ForEach::new(call("f")).at_most(2)).build().unwrap();
    let redriven = explore(&flow, "[1,2]").failing_until_redriven("first").action(Action::Redrive).faults(0);
    let explored = all("for-each of 2 whose list is split after a redrive", redriven);
    assert!(explored.ends().any(|(outcome, output, _)| outcome == Outcome::Success && output == "[1,2]"));
}

#[test]
fn a_list_that_was_split_before_two_redrives_has_its_items() {
    let flow = for_each();
    let redriven = explore(&flow, "[1]").failing("f").action(Action::Redrive).action(Action::Redrive).faults(0);
    let explored = all("for-each of 1, redriven twice, no fault", redriven);
    assert_eq!(outcomes(&explored), [Outcome::Failure]);
}

/// Checks that an exploration finds an order that reveals a mistake.
fn finds(flaw: Flaw, explore: &dyn Fn() -> Explore, expected: &str) {
    let violation = explore().flaw(flaw).try_run().expect_err("the mistake is found");
    println!("{flaw:?}: {violation}");
    assert!(violation.what().contains(expected), "{violation}");
    let again = explore().flaw(flaw).replay(violation.seed()).expect_err("the same order shows it again");
    assert_eq!((again.what(), again.events()), (violation.what(), violation.events()));
}

#[test]
fn resuming_in_the_wrong_order_is_found() {
    finds(Flaw::PostBeforeResume, &|| explore(&linear(), "1").action(Action::Pause), "has not ended");
}

/// The caller who resumes the request may have looked before the token left its note.
#[test]
fn a_token_that_does_not_look_again_after_a_pause_is_found() {
    finds(Flaw::HoldWithoutLook, &|| explore(&linear(), "1").action(Action::Pause), "has not ended");
}

#[test]
fn stopping_what_has_ended_is_found() {
    finds(Flaw::StopWithoutClaim, &|| explore(&linear(), "1").action(Action::Stop), "two different ways");
}

#[test]
fn executing_again_what_has_succeeded_is_found() {
    let redriven = || explore(&linear(), "1").failing_until_redriven("b").action(Action::Redrive);
    finds(Flaw::ExecuteAgain, &redriven, "is executed again");
}

/// Everything that can be done, in random orders.
#[test]
fn everything_at_once() {
    for (name, flow, input) in
        [("3 phases", linear(), "1"), ("parallel of 2", parallel(), "1"), ("for-each of 3", for_each(), "[1,2,3]")]
    {
        let actions = [Action::Pause, Action::Stop, Action::Recover, Action::Redrive];
        let explore = actions.into_iter().fold(explore(&flow, input).faults(3), Explore::action);
        let explored = some(&format!("{name}, everything, 3 faults"), explore);
        assert!(outcomes(&explored).contains(&Outcome::Success), "{explored}");
    }
}
