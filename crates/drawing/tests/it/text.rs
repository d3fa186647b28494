//! Flows as text.

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
