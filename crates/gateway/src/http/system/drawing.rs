//! A flow as a picture: the flow describes itself, and the gateway places its elements.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use faasflow_admin::{Drawing, DrawnEdge, DrawnShape};
use faasflow_core::code;
use faasflow_core::description::{ActionDescription, Description, StepDescription};
use faasflow_core::headers::ERROR_CODE;
use faasflow_drawing::{Edge, Layout, Shape};
use faasflow_http::read_body;
use http::{Request, StatusCode};

use super::flows::{find, harmless};
use crate::answer::refusal;
use crate::http::invoke::Invocations;
use crate::proxy::Sender;

/// The largest description, in bytes.
const LARGEST: u64 = 1 << 20;
/// How long a description may take to arrive.
const WITHIN: Duration = Duration::from_secs(10);

pub(super) async fn draw(State(way): State<Arc<Invocations>>, Path(name): Path<String>) -> Response {
    let function = match find(&way.functions, &name) {
        Ok(function) => function,
        Err(answer) => return *answer,
    };
    let (parts, ()) = Request::new(()).into_parts();
    let sender = Sender::Caller(way.under_way.token());
    let answer = match way.proxy.invoke(&function, "/_/flow", parts, Body::empty(), sender).await {
        Ok(answer) => answer,
        Err(none) => return none.response(&name),
    };
    if !answer.status().is_success() && answer.headers().contains_key(ERROR_CODE) {
        // The flow says why.
        return harmless(answer);
    }
    let is_there = answer.status() == StatusCode::OK;
    let body = read_body(answer.into_body(), LARGEST, WITHIN).await.ok().filter(|_| is_there);
    match body.and_then(|body| Description::from_json(&body).ok()) {
        Some(flow) => Json(drawing(&flow)).into_response(),
        None => {
            let text = format!(
                "the function `{name}` does not describe itself: it is not a flow, or was built with another version of Faasflow"
            );
            refusal(StatusCode::NOT_FOUND, code::NOT_A_FLOW, text)
        }
    }
}

fn drawing(flow: &Description) -> Drawing {
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
