//! The planning rule, as a table and as properties.

use faasflow_core::graph::StepIndex;
use faasflow_core::{Call, Context, Flow, Outcome};
use proptest::prelude::*;

/// `m` a modifier, `c` a callback, `s` a synchronous call, `a` an asynchronous one.
fn flow(steps: &str) -> Flow {
    let mut builder = Flow::builder();
    for step in steps.chars() {
        builder = match step {
            'm' => builder.modify(async |payload: bytes::Bytes| payload),
            'c' => builder.callback("example.com"),
            's' => builder.apply(Call::new("f").sync()),
            _ => builder.apply("f"),
        };
    }
    builder.build().unwrap()
}

fn phases(steps: &str) -> String {
    let flow = flow(steps);
    let letters: Vec<char> = steps.chars().collect();
    let phases =
        flow.plan().segments().map(|segment| segment.steps().map(|step| letters[step.index()]).collect::<String>());
    phases.collect::<Vec<_>>().join("|")
}

#[test]
fn the_rule_as_a_table() {
    for expected in [
        "m",
        "c",
        "s",
        "a",
        "ma",
        "amm",
        "am|ac",
        "sss",
        "ssms",
        "a|a|a",
        "s|a",
        "sm|am",
        "mca",
        "mcam|ac",
        "as|as",
        "mms|ass|a",
        "cmasc|am|a",
    ] {
        assert_eq!(phases(&expected.replace('|', "")), expected);
    }
}

proptest! {
    #[test]
    fn phases_concatenate_to_the_steps_and_places_walk_them_once(steps in "[mcsa]{1,60}") {
        let flow = flow(&steps);
        let plan = flow.plan();
        let mut walked = Vec::new();
        let mut place = Some(plan.start());
        let mut count = 0;
        while let Some(at) = place {
            let segment = plan.segment(&at).unwrap();
            walked.extend(segment.steps().map(StepIndex::index));
            count += 1;
            prop_assert_eq!(segment.place(), &at);
            prop_assert_eq!(at.phase(), count);
            place = segment.next().cloned();
        }
        prop_assert_eq!(walked, (0..steps.len()).collect::<Vec<_>>());
        prop_assert_eq!(count, plan.phase_count());
        for segment in plan.segments().skip(1) {
            let first = segment.steps().next().unwrap().index();
            prop_assert_eq!(&steps[first..=first], "a", "a later phase begins with an asynchronous call");
        }
    }

    #[test]
    fn the_fingerprint_changes_when_and_only_when_the_shape_does(one in "[mca]{1,8}", two in "[mca]{1,8}") {
        let (first, second) = (flow(&one), flow(&two));
        prop_assert_eq!(first.plan().fingerprint() == second.plan().fingerprint(), one == two);
        prop_assert_eq!(first.plan().fingerprint(), flow(&one).plan().fingerprint());
    }
}

#[test]
fn options_urls_and_the_names_of_modifiers_are_no_part_of_the_shape() {
    async fn other(text: String) -> String {
        text
    }
    let one = Flow::builder().modify(async |_: ()| ()).apply("f").callback("a.example").build().unwrap();
    let two = Flow::builder()
        .modify(other)
        .apply(Call::new("f").query("q", "1"))
        .callback("https://b.example/x?y")
        .finally(async |_: Context, _: Outcome| ())
        .build()
        .unwrap();
    assert_eq!(one.plan().fingerprint(), two.plan().fingerprint());
    let three = Flow::builder().modify(other).apply("g").callback("a.example").build().unwrap();
    assert_ne!(one.plan().fingerprint(), three.plan().fingerprint());
}

/// Envelopes on their way meet new builds of the flow: the value may never change for the same shape.
#[test]
fn the_fingerprint_is_the_same_in_every_build() {
    assert_eq!(flow("mama").plan().shape(), "[modifier, call f, modifier] [call f]");
    assert_eq!(flow("mama").plan().fingerprint().to_string(), "17cc6bb3370dac092b2edec9a4c4d315");
}
