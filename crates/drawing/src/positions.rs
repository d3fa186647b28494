//! The positions of what a picture shows, for pages that draw it themselves.

use std::collections::HashMap;

use faasflow_admin::{Drawing, DrawnEdge, DrawnShape};
use faasflow_core::description::{ActionDescription, Description, StepDescription};

use crate::layout::{Edge, Layout, Shape};

/// Where the elements of a flow are in its picture, as the admin API has them.
#[must_use]
pub fn positions(flow: &Description) -> Drawing {
    let layout = Layout::new(flow);
    let mut drawing = Drawing::new(flow.fingerprint.clone(), layout.width, layout.height);
    let options: HashMap<usize, Vec<String>> = flow.steps().map(|step| (step.number, options(step))).collect();
    drawing.shapes = layout.shapes.into_iter().map(|drawn| shape(drawn, &options)).collect();
    drawing.edges = layout.edges.into_iter().map(edge).collect();
    drawing
}

fn shape(shape: Shape, options: &HashMap<usize, Vec<String>>) -> DrawnShape {
    let mut drawn = DrawnShape::default();
    drawn.kind = shape.kind.as_str().to_owned();
    (drawn.x, drawn.y, drawn.width, drawn.height) = (shape.x, shape.y, shape.width, shape.height);
    (drawn.lines, drawn.name) = (shape.lines, shape.name);
    (drawn.phase, drawn.step) = (shape.phase, shape.step);
    drawn.options = shape.step.and_then(|step| options.get(&step).cloned()).unwrap_or_default();
    drawn
}

/// The options of a step, as people read them.
fn options(step: &StepDescription) -> Vec<String> {
    let mut options = Vec::new();
    let request = match &step.action {
        ActionDescription::Call { sync, request, .. } => {
            options.extend(sync.then(|| "sync: called in the phase of the step before".to_owned()));
            request
        }
        ActionDescription::Callback { url, request } => {
            options.push(format!("to {url}"));
            request
        }
        _ => return options,
    };
    options.extend(request.method.iter().map(|method| format!("method {method}")));
    options.extend(request.timeout.iter().map(|timeout| format!("timeout {timeout}")));
    options.extend(request.attempts.iter().map(|attempts| format!("up to {attempts} attempts")));
    for (what, names) in [("headers", &request.headers), ("query", &request.query)] {
        options.extend((!names.is_empty()).then(|| format!("{what} {}", names.join(", "))));
    }
    options.extend(request.on_failure.then(|| "a failure handler of its own".to_owned()));
    options.extend(request.on_response.then(|| "reads the answer itself".to_owned()));
    options
}

fn edge(edge: Edge) -> DrawnEdge {
    let mut drawn = DrawnEdge::default();
    drawn.points = edge.points.into_iter().map(|point| [point.x, point.y]).collect();
    (drawn.queue, drawn.arrow) = (edge.queue, edge.arrow);
    drawn
}
