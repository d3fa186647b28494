//! Flows as text.

use faasflow_core::{Call, Flow, Graph};
use faasflow_drawing::text;
use unicode_width::UnicodeWidthStr as _;

use crate::flows;

#[test]
fn every_shape_is_drawn() {
    for (name, flow) in flows::all() {
        insta::assert_snapshot!(format!("{name}.text"), text(&flow, 80));
    }
}

#[test]
fn no_line_is_wider_than_the_terminal() {
    for width in [40, 60, 80] {
        for (name, flow) in flows::all() {
            for line in text(&flow, width).lines() {
                assert!(line.width() <= width, "{name} at {width}: {line}");
            }
        }
    }
}

/// All branches are in one phase, and the last one waits for all others.
#[test]
fn a_branch_that_waits_for_many_others_names_all_of_them() {
    let names: Vec<String> = (1..=12).map(|number| format!("picture-{number}")).collect();
    let quick = || Flow::builder().apply(Call::new("resize").sync());
    let graph = names.iter().fold(Graph::new(), |graph, name| graph.branch(name.clone(), quick()));
    let graph = graph.branch("sheet", quick()).after("sheet", names.clone());
    let drawn = text(&flows::describe(Flow::builder().graph(graph), "sheets"), 80);
    assert!(drawn.lines().all(|line| line.width() <= 80), "{drawn}");
    let (_, sheet) = drawn.split_once("sheet, after ").unwrap();
    for name in names {
        assert!(sheet.contains(&name), "{name} is not after `sheet` in:\n{drawn}");
    }
}

/// A reader can find every step by its number.
#[test]
fn every_step_and_phase_is_in_the_drawing() {
    for (name, flow) in flows::all() {
        let drawn = text(&flow, 80);
        for step in flow.steps() {
            assert!(drawn.contains(&format!("─ {}. ", step.number)), "{name}: {drawn}");
        }
        for phase in flow.phases() {
            assert_eq!(
                drawn.matches(&format!("phase {}", phase.number)).count(),
                count(&flow, phase.number),
                "{drawn}"
            );
        }
    }
}

/// How many phases have a number that begins with `number`, as 12 begins with 1.
fn count(flow: &faasflow_core::description::Description, number: usize) -> usize {
    let number = number.to_string();
    flow.phases().filter(|phase| phase.number.to_string().starts_with(&number)).count()
}
