//! Tokens and stored values that do not fit the flow must not make the machine panic.

use std::collections::HashMap;

use bytes::Bytes;
use faasflow_core::envelope::{Branching, Origin, Terms};
use faasflow_core::graph::Place;
use faasflow_core::machine::Unfit;
use faasflow_core::machine::forked::{Answer, Effect, Input, Journal, Message, Ran, Reply, Times, proceed};
use faasflow_core::state::Key;
use faasflow_core::{Choice, Flow, FlowBuilder, ForEach, Payload, Policy};

fn call(function: &str) -> FlowBuilder {
    Flow::builder().apply(function)
}

fn parallel() -> Flow {
    Flow::builder().parallel([("a", call("a")), ("b", call("b"))]).build().unwrap()
}

/// The token of a member of the composite that phase 1 begins, at phase 2.
fn member(index: u32, members: u32) -> Message {
    let terms =
        Terms { members, policy: Policy::Failures(0), at_most: 2, list: None, seen: 0, due_ms: None, label: None };
    let branching = Branching { origin: Origin::Token, joins: vec![terms] };
    Message::arrived(Place::from(1).member(index, &Place::from(2)), Payload::empty().into(), branching)
}

/// Delivers a token. The store contains this one value.
fn deliver(flow: &Flow, message: &Message, key: &str, value: &'static str) -> Reply {
    let mut journal = Journal::new();
    let read = |found: &str| (found == key).then(|| Bytes::from_static(value.as_bytes()));
    for _ in 0..100 {
        journal.add(match proceed(flow, message, &journal) {
            Effect::Read(found) => Answer::Found(read(found.as_str())),
            Effect::ReadAll(keys) => Answer::FoundAll(keys.iter().map(|key| read(key.as_str())).collect()),
            Effect::CountEntries(_) => Answer::Entries(None),
            Effect::Enter(entrant) => {
                Answer::Stands(read(entrant.key().as_str()).unwrap_or_else(|| entrant.entry(flow.plan(), [])))
            }
            Effect::Create(created, new) => Answer::Stands(read(created.as_str()).unwrap_or(new)),
            Effect::Execute(_) => Answer::Ran(Ran::Done(Payload::empty().into()), Times::default()),
            Effect::Post(_) => Answer::Done,
            Effect::Reply(reply) => return reply,
            other => panic!("{other:?}"),
        });
    }
    panic!("the delivery does not end");
}

#[test]
fn an_entry_that_does_not_fit_the_join_is_not_used() {
    let tally = r#"{"member":1,"ended":"done","tally":{"done":1,"branches":".d"}}"#;
    assert_eq!(deliver(&parallel(), &member(0, 2), "entry/1/0", tally), Reply::Forwarded);
    let several =
        r#"{"member":1,"ended":"done","with":[[0,"done"]],"tally":{"done":2,"branches":"dd","verdict":"complete"}}"#;
    assert_eq!(deliver(&parallel(), &member(0, 2), "entry/1/0", several), Reply::Dropped);
    for entry in [
        r#"{"member":1,"ended":"done","with":[[2,"done"]],"tally":{"done":2,"branches":"dd"}}"#,
        r#"{"member":2,"ended":"done","tally":{"done":1,"branches":".d"}}"#,
        r#"{"member":1,"ended":"done","tally":{"done":1,"branches":"."}}"#,
        r#"{"member":1,"ended":"done","tally":{"done":3,"branches":".d"}}"#,
        "not a record",
    ] {
        assert_eq!(deliver(&parallel(), &member(0, 2), "entry/1/0", entry), Reply::ComeAgain, "{entry}");
    }
}

#[test]
fn a_record_that_does_not_fit_the_plan_is_not_used() {
    let choice = Choice::new(async |_: String| "b").branch("a", call("a")).branch("b", call("b"));
    let flow = Flow::builder().choose(choice).build().unwrap();
    let start = Message::fresh(flow.plan().start(), Payload::empty(), faasflow_core::machine::Caller::Left);
    let result = |record| deliver(&flow, &start, "result/1", record);
    assert_eq!(result("{\"ended\":\"done\",\"chosen\":1}\n"), Reply::Forwarded);
    for record in [
        "{\"ended\":\"done\",\"chosen\":2}\n",
        "{\"ended\":\"done\"}\n",
        "{\"ended\":\"done\",\"recovered\":3}\n",
        "not a record",
    ] {
        assert_eq!(result(record), Reply::ComeAgain, "{record}");
    }
}

#[test]
fn a_token_of_a_member_that_the_join_does_not_have_is_refused() {
    let for_each = Flow::builder().for_each(ForEach::new(call("f"))).build().unwrap();
    assert_eq!(deliver(&for_each, &member(1, 2), "", ""), Reply::Forwarded);
    let outside = member(2, 2);
    let refused = Reply::Refused(Unfit::NoSuchPlace(outside.place.clone()));
    assert_eq!(deliver(&for_each, &outside, "", ""), refused);
    let without_joins = Message { joins: Vec::new(), ..member(1, 2) };
    let refused = Reply::Refused(Unfit::NoSuchPlace(without_joins.place.clone()));
    assert_eq!(deliver(&for_each, &without_joins, "", ""), refused);
}

/// Delivers a token with this store until its phase is executed, and returns the input and what was read, a line for each read.
fn input_of(flow: &Flow, message: &Message, store: &HashMap<&str, Bytes>) -> (Input, Vec<String>) {
    let (mut journal, mut reads) = (Journal::new(), Vec::new());
    let read = |key: &Key| store.get(key.as_str()).cloned();
    loop {
        journal.add(match proceed(flow, message, &journal) {
            Effect::Read(key) => {
                reads.push(key.to_string());
                Answer::Found(read(&key))
            }
            Effect::ReadAll(keys) => {
                reads.push(keys.iter().map(Key::as_str).collect::<Vec<_>>().join(" "));
                Answer::FoundAll(keys.iter().map(read).collect())
            }
            Effect::Execute(input) => return (input, reads),
            other => panic!("{other:?}"),
        });
    }
}

/// A round trip to the store takes longer than all that a join computes.
#[test]
fn a_join_of_few_members_reads_them_with_the_first_read() {
    let flow = parallel();
    let terms = |policy| Terms { members: 2, policy, at_most: 2, list: None, seen: 0, due_ms: None, label: None };
    let member = Bytes::from_static(b"{\"ended\":\"done\",\"turn\":0}\n");
    let entry =
        r#"{"member":1,"ended":"done","with":[[0,"done"]],"tally":{"done":2,"branches":"dd","verdict":"complete"}}"#;
    let store = HashMap::from([
        ("member/1/0", member.clone()),
        ("member/1/1", member.clone()),
        ("entry/1/0", Bytes::from_static(entry.as_bytes())),
    ]);
    let join = |policy| {
        let origin = Origin::Join { terms: terms(policy), entry: Some(0) };
        let branching = Branching { origin, joins: Vec::new() };
        let join = flow.plan().segments().find(|segment| segment.joins().is_some()).expect("the flow has a join");
        let place = Place::from(1).sibling(join.place());
        input_of(&flow, &Message::arrived(place, Payload::empty().into(), branching), &store)
    };

    let (input, reads) = join(Policy::Failures(0));
    assert_eq!(reads, ["over@0 entry/1/0 member/1/0 member/1/1 posted/4 result/4"]);
    let Input::Join { known, .. } = input else { panic!("{input:?}") };
    assert_eq!(known, [Some(member.clone()), Some(member)]);

    // A join that goes on after some failures needs the results of few members, and reads them when it knows which.
    let (input, reads) = join(Policy::Failures(1));
    assert_eq!(reads, ["over@0 entry/1/0 posted/4 result/4"]);
    let Input::Join { known, .. } = input else { panic!("{input:?}") };
    assert_eq!(known, [None, None]);
}

/// The request ends, and its values are removed, while a member is delivered once more.
#[test]
fn a_member_whose_request_ends_meanwhile_is_late_and_need_not_come_again() {
    let (flow, message) = (parallel(), member(0, 2));
    let record = Bytes::from_static(b"{\"ended\":\"done\",\"turn\":1}\n");
    let over = Bytes::from_static(br#"{"by":"3","outcome":"success"}"#);
    for is_over in [true, false] {
        let mut journal = Journal::new();
        let reply = loop {
            journal.add(match proceed(&flow, &message, &journal) {
                // At first, only its own record is missing.
                Effect::ReadAll(keys) => {
                    let found = keys.iter().map(|key| (key.as_str() == "member/1/0").then(|| record.clone()));
                    Answer::FoundAll(found.collect())
                }
                Effect::Read(key) => Answer::Found((is_over && key.as_str() == "over@0").then(|| over.clone())),
                Effect::Reply(reply) => break reply,
                other => panic!("{other:?}"),
            });
        };
        assert_eq!(reply, if is_over { Reply::Late } else { Reply::ComeAgain });
    }
}

/// Another delivery of the token that ends the request finishes it, and removes its record, while this one looks.
#[test]
fn a_request_that_is_finished_meanwhile_is_not_ended_once_more() {
    let flow = call("a").build().unwrap();
    let branching = Branching { origin: Origin::Token, joins: Vec::new() };
    let message = Message::arrived(Place::from(1), Payload::empty().into(), branching);
    for is_finished in [true, false] {
        let (mut journal, mut looks) = (Journal::new(), 0);
        let reply = loop {
            journal.add(match proceed(&flow, &message, &journal) {
                Effect::ReadAll(keys) => {
                    let over = Bytes::from_static(br#"{"by":"1","outcome":"success"}"#);
                    Answer::FoundAll(keys.iter().map(|key| (key.as_str() == "over@0").then(|| over.clone())).collect())
                }
                Effect::Read(key) if key.as_str() == "finished@0" => {
                    looks += 1;
                    Answer::Found((is_finished && looks > 1).then(|| Bytes::from_static(b"null")))
                }
                Effect::Read(_) => Answer::Found(None),
                Effect::Forget => Answer::Done,
                Effect::Reply(reply) => break reply,
                other => panic!("{other:?}"),
            });
        };
        let ended = Reply::Ended(faasflow_core::Outcome::Success, None);
        assert_eq!(reply, if is_finished { ended } else { Reply::ComeAgain });
    }
}
