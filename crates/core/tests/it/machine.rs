//! Requests end once, whatever becomes of the deliveries of their tokens.

use std::collections::{BTreeMap, HashSet};

use bytes::Bytes;
use faasflow_core::envelope::Carried;
use faasflow_core::failure::FailureKind;
use faasflow_core::graph::{BodyIndex, Place, Plan, PlannedStep};
use faasflow_core::machine::{Caller, Effect, Happened, OnOutage, Outage, Token, Unfit, advance};
use faasflow_core::{Call, Failure, Flow, ForEach, Outcome, Payload, Resolution};
use proptest::prelude::*;

/// What the functions and handlers of a request do at one of its places.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Behaviour {
    Succeeds,
    Fails(Option<Decision>),
    Replies,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Decision {
    Recover,
    Reply,
    Decline,
}

/// What becomes of one delivery.
#[derive(Clone, Debug)]
struct Fate {
    /// Which of those that wait is delivered.
    pick: usize,
    /// The queue's message is lost on its way, and is delivered again.
    lost: bool,
    /// The process dies when it has begun so many effects.
    dies_after: Option<usize>,
    /// The effect of this number meets an outage, where it can meet one.
    outage_at: Option<usize>,
    /// How often what is forwarded is posted: the answer to a post may be lost.
    posts: usize,
    /// The answer to the delivery is lost, so the queue delivers again what was already dealt with.
    answer_lost: bool,
}

#[derive(Clone, Debug)]
struct Delivery {
    request: usize,
    place: Place,
    payload: Payload,
    caller: Caller,
}

#[derive(Clone, Debug, PartialEq)]
struct End {
    place: Place,
    outcome: Outcome,
    output: Bytes,
}

/// A queue, and what the outside has seen.
struct World<'a> {
    plan: &'a Plan,
    behaviours: &'a [Vec<Behaviour>],
    waiting: Vec<Delivery>,
    /// The queue drops what it has had already.
    accepted: HashSet<[u8; 16]>,
    /// Of each request: what its deliveries were answered with at its end.
    ends: BTreeMap<usize, Vec<End>>,
    reports: BTreeMap<usize, Vec<(Outcome, Bytes)>>,
    /// The effects of the delivery that is worked on, in a word each.
    done: Vec<&'static str>,
}

enum Answer {
    Settled,
    Again,
}

impl World<'_> {
    fn behaviour(&self, delivery: &Delivery) -> Behaviour {
        self.behaviours[delivery.request][delivery.place.phase() - 1]
    }

    fn post(&mut self, request: usize, mut token: Token, times: usize) {
        for _ in 0..times {
            let id = token.place().call_id("flow", &request.to_string());
            if self.accepted.insert(id) {
                let Carried::Inline(payload) = token.take_payload() else { panic!("payloads are inline here") };
                self.waiting.push(Delivery { request, place: token.place().clone(), payload, caller: Caller::Left });
            }
        }
    }

    fn deliver(&mut self, delivery: &Delivery, fate: &Fate) -> Answer {
        self.done.clear();
        let token = Token::new(delivery.place.clone(), delivery.payload.clone()).with_caller(delivery.caller);
        let mut effects = advance(self.plan, &token, Happened::Arrived);
        let mut count = 0;
        loop {
            let effect = effects.next().expect("effects end with an answer");
            if fate.dies_after == Some(count) {
                return Answer::Again;
            }
            let outage = || Happened::Outage(Outage::new(faasflow_core::code::UNREACHABLE, "away", "away"));
            let away = fate.outage_at == Some(count);
            count += 1;
            assert!(count < 20, "a delivery comes to an end");
            let happened = match effect {
                Effect::Take if away => outage(),
                Effect::Take => Happened::Taken(delivery.payload.clone()),
                Effect::Run(_) if away => outage(),
                Effect::Run(payload) => self.run(delivery, payload),
                Effect::Forward(_) if away => outage(),
                Effect::Forward(next) => {
                    self.post(delivery.request, next, fate.posts);
                    Happened::Forwarded
                }
                Effect::Ask(_) if away => outage(),
                Effect::Ask(failure) => {
                    self.done.push("ask");
                    let Behaviour::Fails(decision) = self.behaviour(delivery) else { panic!("nothing has failed") };
                    let resolution = decision.map(|decision| match decision {
                        Decision::Recover => failure.recover("mended"),
                        Decision::Reply => failure.reply("sorry"),
                        Decision::Decline => Resolution::Declined,
                    });
                    Happened::Resolved { resolution, by: BodyIndex::default(), unhandled: Payload::new("unhandled") }
                }
                Effect::Report(..) if away => outage(),
                Effect::Report(outcome, payload) => {
                    self.done.push("report");
                    self.reports.entry(delivery.request).or_default().push((outcome, payload.into_bytes()));
                    continue;
                }
                Effect::Finally(_, on_outage) => {
                    let waits = delivery.caller == Caller::Waits;
                    assert_eq!(on_outage == OnOutage::GoOn, waits, "only who waits is not to wait for an outage");
                    if away && on_outage == OnOutage::ComeAgain {
                        outage()
                    } else {
                        self.done.push("finally");
                        continue;
                    }
                }
                Effect::Forget => {
                    self.done.push("forget");
                    continue;
                }
                Effect::AnswerForwarded => return Answer::Settled,
                Effect::AnswerEnded(outcome, payload) => {
                    let before: Vec<&str> = self.done.iter().copied().filter(|done| *done != "ask").collect();
                    assert_eq!(before, ["report", "finally", "forget"], "what a request is owed at its end");
                    let end = End { place: delivery.place.clone(), outcome, output: payload.into_bytes() };
                    self.ends.entry(delivery.request).or_default().push(end);
                    return Answer::Settled;
                }
                Effect::ComeAgain(_) => return Answer::Again,
                Effect::Refuse(unfit) => panic!("{unfit:?}"),
            };
            effects = advance(self.plan, &token, happened);
        }
    }

    fn run(&self, delivery: &Delivery, payload: Payload) -> Happened {
        match self.behaviour(delivery) {
            Behaviour::Succeeds => {
                let trail = format!("{}{}", String::from_utf8_lossy(payload.bytes()), delivery.place);
                Happened::Done(Payload::new(trail))
            }
            Behaviour::Fails(_) => {
                let kind = FailureKind::Panic(String::new());
                Happened::Failed(Failure::new(&delivery.place, 1, "f".into(), kind, payload))
            }
            Behaviour::Replies => Happened::Replied(Payload::new("replied")),
        }
    }
}

/// How a request ends, by its behaviours alone.
fn expected(behaviours: &[Behaviour]) -> (usize, Outcome, String) {
    let mut trail = String::new();
    for (index, behaviour) in behaviours.iter().enumerate() {
        let (outcome, text) = match behaviour {
            Behaviour::Succeeds => {
                trail += &(index + 1).to_string();
                continue;
            }
            Behaviour::Replies => (Outcome::Failure, "replied"),
            Behaviour::Fails(Some(Decision::Recover)) => (Outcome::Recovered, "mended"),
            Behaviour::Fails(Some(Decision::Reply)) => (Outcome::Failure, "sorry"),
            Behaviour::Fails(_) => (Outcome::Failure, "unhandled"),
        };
        return (index + 1, outcome, text.to_owned());
    }
    (behaviours.len(), Outcome::Success, trail)
}

fn linear(phases: usize) -> Plan {
    Plan::linear((0..phases).map(|_| PlannedStep::Call { function: "f", sync: false }))
}

fn behaviours(phases: usize) -> impl Strategy<Value = Vec<Behaviour>> {
    let decisions = vec![None, Some(Decision::Recover), Some(Decision::Reply), Some(Decision::Decline)];
    let behaviour = prop_oneof![
        6 => Just(Behaviour::Succeeds),
        2 => prop::sample::select(decisions).prop_map(Behaviour::Fails),
        1 => Just(Behaviour::Replies),
    ];
    prop::collection::vec(behaviour, phases)
}

fn fates(answers_get_lost: bool) -> impl Strategy<Value = Vec<Fate>> {
    let fate = (
        0..100usize,
        prop::bool::weighted(0.2),
        prop::option::weighted(0.3, 0..9usize),
        prop::option::weighted(0.3, 0..9usize),
        1..3usize,
        prop::bool::weighted(if answers_get_lost { 0.4 } else { 0.0 }),
    );
    let fate = fate.prop_map(|(pick, lost, dies_after, outage_at, posts, answer_lost)| Fate {
        pick,
        lost,
        dies_after,
        outage_at,
        posts,
        answer_lost,
    });
    prop::collection::vec(fate, 0..60)
}

/// Some requests of one flow: the number of its phases, and what happens to each request.
fn requests() -> impl Strategy<Value = (usize, Vec<Vec<Behaviour>>)> {
    (1..6usize).prop_flat_map(|phases| (Just(phases), prop::collection::vec(behaviours(phases), 1..4)))
}

/// Lets deliveries meet these fates, and then delivers whatever still waits in peace.
fn play<'a>(plan: &'a Plan, behaviours: &'a [Vec<Behaviour>], fates: Vec<Fate>, caller: Caller) -> World<'a> {
    let first = |request| Delivery { request, place: plan.start(), payload: Payload::empty(), caller };
    let waiting = (0..behaviours.len()).map(first).collect();
    let (accepted, ends, reports, done) = Default::default();
    let mut world = World { plan, behaviours, waiting, accepted, ends, reports, done };
    let peace = Fate { pick: 0, lost: false, dies_after: None, outage_at: None, posts: 1, answer_lost: false };
    let mut fates = fates.into_iter();
    while !world.waiting.is_empty() {
        let fate = fates.next().unwrap_or_else(|| peace.clone());
        let delivery = world.waiting.swap_remove(fate.pick % world.waiting.len());
        if fate.lost {
            world.waiting.push(delivery);
            continue;
        }
        match world.deliver(&delivery, &fate) {
            Answer::Settled if !fate.answer_lost => {}
            _ => world.waiting.push(delivery),
        }
    }
    world
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    /// Deliveries come in any order and get lost, posts are repeated, processes die and outages happen: each request ends
    /// once, at the place and with the outcome and output that its steps and handlers make.
    #[test]
    fn a_request_ends_once_whatever_the_order((phases, behaviours) in requests(), fates in fates(false)) {
        let plan = linear(phases);
        let world = play(&plan, &behaviours, fates, Caller::Left);
        for (request, behaviours) in behaviours.iter().enumerate() {
            let (phase, outcome, output) = expected(behaviours);
            let end = End { place: Place::from(phase), outcome, output: output.into() };
            prop_assert_eq!(world.ends.get(&request), Some(&vec![end]));
        }
    }

    /// If the answer to a delivery is lost as well, its phase is executed again, but a request never has two ends that
    /// differ: reports are known by their key, and all that bear it say the same.
    #[test]
    fn what_is_delivered_again_after_its_end_ends_the_same((phases, behaviours) in requests(), fates in fates(true)) {
        let plan = linear(phases);
        let world = play(&plan, &behaviours, fates, Caller::Left);
        for (request, behaviours) in behaviours.iter().enumerate() {
            let (phase, outcome, output) = expected(behaviours);
            let end = End { place: Place::from(phase), outcome, output: output.into() };
            let ends = &world.ends[&request];
            prop_assert!(!ends.is_empty() && ends.iter().all(|other| *other == end), "{:?}", ends);
            let reports = &world.reports[&request];
            prop_assert!(reports.iter().all(|report| *report == (outcome, end.output.clone())), "{:?}", reports);
        }
    }

    /// A caller that waits for a flow of one phase gets its answer even if the finaliser meets an outage.
    #[test]
    fn who_waits_is_answered((_, behaviours) in requests(), fates in fates(false)) {
        let plan = linear(1);
        let behaviours: Vec<Vec<Behaviour>> = behaviours.into_iter().map(|mut it| { it.truncate(1); it }).collect();
        let world = play(&plan, &behaviours, fates, Caller::Waits);
        for request in 0..behaviours.len() {
            prop_assert_eq!(world.ends[&request].len(), 1);
        }
    }

    /// After an outage nothing else is done: no handler is asked, nothing is forwarded, reported or ended.
    #[test]
    fn an_outage_is_answered_and_that_is_all(phases in 1..6usize, at in 1..6usize) {
        let token = Token::new(Place::from(at), Payload::empty());
        let outage = Outage::new(faasflow_core::code::UNREACHABLE, "away", "away");
        let effects: Vec<Effect> = advance(&linear(phases), &token, Happened::Outage(outage)).collect();
        prop_assert!(matches!(&effects[..], [Effect::ComeAgain(_)]), "{:?}", effects);
    }

    #[test]
    fn a_place_that_the_plan_does_not_have_is_refused(phases in 1..6usize, beyond in 1..6usize) {
        let token = Token::new(Place::from(phases + beyond), Payload::empty());
        let effects: Vec<Effect> = advance(&linear(phases), &token, Happened::Arrived).collect();
        prop_assert!(matches!(&effects[..], [Effect::Refuse(Unfit::NoSuchPlace(_))]), "{:?}", effects);
    }
}

#[test]
fn a_request_continues_after_a_sub_flow_that_recovers() {
    let sub = || Flow::builder().apply("b").apply("c");
    let recovered = |flow: &Flow, by: BodyIndex| -> Vec<Effect> {
        let plan = flow.plan();
        let failed = plan.segments().rfind(|segment| segment.body() == by).unwrap();
        let token = Token::new(failed.place().clone(), Payload::empty());
        let resolution = Some(Resolution::Recovered(Payload::new("mended")));
        let unhandled = Payload::new("unhandled");
        advance(plan, &token, Happened::Resolved { resolution, by, unhandled }).collect()
    };
    let inside = |flow: &Flow| flow.plan().segments().map(faasflow_core::graph::Segment::body).max().unwrap();

    let followed = Flow::builder().apply("a").flow("sub", sub()).apply("d").build().unwrap();
    let last = followed.plan().segments().next_back().unwrap().place();
    match &recovered(&followed, inside(&followed))[..] {
        [Effect::Forward(next)] => assert_eq!(next.place(), last),
        effects => panic!("{effects:?}"),
    }
    // At the end of the flow, the request succeeds with the output of the sub-flow.
    let at_the_end = Flow::builder().apply("a").flow("sub", sub()).build().unwrap();
    let outcome = |effects: &[Effect]| match effects.last() {
        Some(Effect::AnswerEnded(outcome, _)) => *outcome,
        _ => panic!("{effects:?}"),
    };
    assert_eq!(outcome(&recovered(&at_the_end, inside(&at_the_end))), Outcome::Success);
    assert_eq!(outcome(&recovered(&at_the_end, BodyIndex::default())), Outcome::Recovered);
}

#[test]
fn only_flows_with_a_single_token_are_accepted() {
    let call = |sync: bool| Flow::builder().apply(if sync { Call::new("f").sync() } else { Call::new("f") });
    for (flow, accepted) in [
        (Flow::builder().parallel([("a", call(true)), ("b", call(true))]), true),
        (Flow::builder().for_each(ForEach::new(call(true))), true),
        (Flow::builder().flow("sub", call(false)), true),
        (Flow::builder().parallel([("a", call(true)), ("b", call(false))]), false),
        (Flow::builder().for_each(ForEach::new(call(false))), false),
    ] {
        let flow = flow.build().unwrap();
        let token = Token::new(flow.plan().start(), Payload::empty());
        let effects: Vec<Effect> = advance(flow.plan(), &token, Happened::Arrived).collect();
        assert_eq!(matches!(&effects[..], [Effect::Take]), accepted, "{flow:?}");
    }
}
