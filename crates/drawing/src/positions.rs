//! The positions of what a picture shows, for pages that draw it themselves.

use faasflow_admin::{Drawing, DrawnEdge, DrawnShape};
use faasflow_core::description::Description;

use crate::layout::{Edge, Layout, Shape};

/// Where the elements of a flow are in its picture, as the admin API has them.
#[must_use]
pub fn positions(flow: &Description) -> Drawing {
    let layout = Layout::new(flow);
    let mut drawing = Drawing::new(flow.fingerprint.clone(), layout.width, layout.height);
    drawing.shapes = layout.shapes.into_iter().map(shape).collect();
    drawing.edges = layout.edges.into_iter().map(edge).collect();
    drawing
}

fn shape(shape: Shape) -> DrawnShape {
    let mut drawn = DrawnShape::default();
    drawn.kind = shape.kind.as_str().to_owned();
    (drawn.x, drawn.y, drawn.width, drawn.height) = (shape.x, shape.y, shape.width, shape.height);
    (drawn.lines, drawn.name) = (shape.lines, shape.name);
    (drawn.phase, drawn.step) = (shape.phase, shape.step);
    drawn
}

fn edge(edge: Edge) -> DrawnEdge {
    let mut drawn = DrawnEdge::default();
    drawn.points = edge.points.into_iter().map(|point| [point.x, point.y]).collect();
    (drawn.queue, drawn.arrow) = (edge.queue, edge.arrow);
    drawn
}
