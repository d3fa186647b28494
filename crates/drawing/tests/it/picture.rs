//! Flows as pictures.

use std::path::Path;

use faasflow_core::description::Description;
use faasflow_drawing::{Edge, Kind, Layout, Shape, svg};

use crate::flows;

/// Finds mistakes that a reader would notice at once: texts that are cut off, boxes that overlap, and edges that cross boxes.
#[test]
fn nothing_covers_anything_else() {
    for (name, flow) in flows::all() {
        let layout = Layout::new(&flow);
        let page = Area { left: 0, top: 0, right: layout.width, bottom: layout.height };
        for (index, shape) in layout.shapes.iter().enumerate() {
            let text = shape.lines.iter().map(|line| line.chars().count()).max().unwrap_or_default();
            assert!(usize::try_from(shape.width).unwrap() >= 7 * text, "{name}: the text fits: {shape:?}");
            assert!(page.contains(area(shape)), "{name}: it is inside the picture: {shape:?}");
            // The sides of a graph's frame go through dots.
            for other in
                layout.shapes[..index].iter().filter(|other| (shape.kind, other.kind) != (Kind::Dot, Kind::Graph))
            {
                let is_free = area(shape).is_apart(area(other)) || area(other).contains(area(shape));
                assert!(is_free, "{name}: {shape:?} overlaps {other:?}");
            }
        }
        for edge in &layout.edges {
            for line in straight(edge) {
                for shape in layout.shapes.iter().filter(|shape| shape.kind != Kind::Dot).map(area) {
                    let is_free = line.is_apart(shape) || shape.contains(line) || line.touches(shape);
                    assert!(is_free, "{name}: {edge:?} crosses {shape:?}");
                }
            }
        }
    }
}

#[test]
fn rows_inside_a_phase_are_wrapped_too() {
    let flows = flows::all();
    let (_, wide) = flows.iter().find(|(name, _)| *name == "wide-phase").unwrap();
    let layout = Layout::new(wide);
    assert!(layout.width <= 1250, "it is {} pixels wide", layout.width);
}

#[test]
fn every_step_and_phase_is_in_the_picture() {
    for (name, flow) in flows::all() {
        let layout = Layout::new(&flow);
        let mut steps: Vec<usize> = layout.shapes.iter().filter_map(|shape| shape.step).collect();
        let mut phases: Vec<usize> = layout.shapes.iter().filter_map(|shape| shape.phase).collect();
        steps.sort_unstable();
        phases.sort_unstable();
        assert_eq!(steps, flow.steps().map(|step| step.number).collect::<Vec<_>>(), "{name}");
        assert_eq!(phases, flow.phases().map(|phase| phase.number).collect::<Vec<_>>(), "{name}");
    }
}

/// A description may come from any function, and a picture is opened by a browser.
#[test]
fn no_text_becomes_markup() {
    let flows = flows::all();
    let (_, hostile) = flows.iter().find(|(name, _)| *name == "hostile").unwrap();
    let drawn = svg(hostile);
    assert!(drawn.contains("&lt;script&gt;alert(\"x\")&lt;/script&gt;"), "{drawn}");
    for (name, flow) in &flows {
        let drawn = svg(flow);
        // For people to look at.
        std::fs::write(Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.svg")), &drawn).unwrap();
        let tags: Vec<&str> = drawn.split('<').skip(1).map(|tag| tag.split([' ', '>']).next().unwrap()).collect();
        let known = ["svg", "title", "style", "rect", "path", "circle", "text", "g"];
        for tag in tags {
            assert!(known.contains(&tag.trim_start_matches('/').trim_end_matches('/')), "{name}: <{tag}");
        }
        assert!(!drawn.contains("href") && !drawn.contains("url("), "{name}: it loads nothing");
        assert!(drawn.chars().all(|c| c == '\n' || !c.is_control()), "{name}: XML allows no control characters");
    }
}

#[test]
fn the_picture_of_a_small_flow_does_not_change() {
    let flows = flows::all();
    let (_, diamond) = flows.iter().find(|(name, _)| *name == "diamond").unwrap();
    insta::assert_snapshot!("diamond.svg", svg(diamond));
}

/// `build` refuses branches that wait for each other, but a description can contain them.
#[test]
fn branches_that_wait_for_each_other_are_drawn() {
    let json = circle_of_branches();
    let flow = Description::from_json(json.as_bytes()).unwrap();
    assert!(svg(&flow).contains(">b: phase 3"));
    assert!(faasflow_drawing::text(&flow, 80).contains("a: phase 2, after b"));
    assert!(faasflow_drawing::mermaid(&flow).starts_with("flowchart LR"));
}

fn circle_of_branches() -> String {
    let branch = |name: &str, after: &str, phase: usize| {
        format!(r#"{{"name":"{name}","after":["{after}"],"body":[{{"kind":"phase","number":{phase},"steps":[]}}]}}"#)
    };
    let graph =
        format!(r#"{{"kind":"graph","complete":"all","branches":[{},{}]}}"#, branch("a", "b", 2), branch("b", "a", 3));
    format!(
        r#"{{"version":2,"name":"f","fingerprint":"0","body":[{graph}],"state":"s","on_failure":false,"finally":false}}"#
    )
}

#[derive(Clone, Copy, Debug)]
struct Area {
    left: i32,
    top: i32,
    right: i32,
    bottom: i32,
}

impl Area {
    fn is_apart(self, other: Area) -> bool {
        let beside = self.right <= other.left || other.right <= self.left;
        beside || self.bottom <= other.top || other.bottom <= self.top
    }

    fn contains(self, inner: Area) -> bool {
        let across = inner.left >= self.left && inner.right <= self.right;
        across && inner.top >= self.top && inner.bottom <= self.bottom
    }

    /// Whether it ends at a side of the other.
    fn touches(self, other: Area) -> bool {
        [self.left, self.right].iter().any(|x| [other.left, other.right].contains(x))
    }
}

fn area(shape: &Shape) -> Area {
    Area { left: shape.x, top: shape.y, right: shape.x + shape.width, bottom: shape.y + shape.height }
}

/// The horizontal parts of an edge.
fn straight(edge: &Edge) -> impl Iterator<Item = Area> {
    let lines = edge.points.windows(2).filter(|pair| pair[0].y == pair[1].y);
    lines.map(|pair| {
        let (one, next) = (pair[0], pair[1]);
        Area { left: one.x.min(next.x), top: one.y, right: one.x.max(next.x), bottom: one.y }
    })
}
