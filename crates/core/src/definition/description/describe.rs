//! Describes a flow.

use crate::definition::build::Composite;
use crate::definition::flow::Flow;
use crate::definition::options::RequestOptions;
use crate::definition::step::{Action, Step};
use crate::duration;
use crate::graph::{BodyIndex, CompositeIndex, CompositeKind, Node};

use super::element::{BodyDescription, BranchDescription, CompositeDescription, ElementDescription, PhaseDescription};
use super::flow::Description;
use super::step::{ActionDescription, RequestDescription, StepDescription};

impl Description {
    /// Describes a flow deployed as `name`.
    #[must_use]
    pub fn new(flow: &Flow, name: &str) -> Description {
        Description {
            name: name.to_owned(),
            fingerprint: flow.plan().fingerprint().to_string(),
            body: body(flow, BodyIndex::default(), false),
            state: flow.state_manager().map_or("envelope", |manager| manager.name()).to_owned(),
            finally: flow.finaliser().is_some(),
        }
    }
}

/// Describes a body. If `is_inline`, its steps run within a phase of the body around it.
fn body(flow: &Flow, index: BodyIndex, is_inline: bool) -> BodyDescription {
    let nodes = flow.plan().body(index).nodes();
    let element = |node: &Node| element(flow, *node);
    let elements = if is_inline { nodes.iter().map(element).collect() } else { phases(flow, index, nodes) };
    BodyDescription { elements, on_failure: flow.handler_of(index).is_some() }
}

/// The phases of a body, and the composites between them.
fn phases(flow: &Flow, index: BodyIndex, nodes: &[Node]) -> Vec<ElementDescription> {
    let mut elements = Vec::new();
    let mut described = 0;
    let describe = |nodes: &[Node]| nodes.iter().map(|node| element(flow, *node)).collect::<Vec<_>>();
    for segment in flow.plan().segments().filter(|segment| segment.body() == index) {
        let range = segment.nodes();
        // Nodes that are in no segment of this body are composites with phases of their own.
        elements.extend(describe(&nodes[described..range.start]));
        described = range.end;
        elements.push(ElementDescription::Phase(PhaseDescription {
            number: segment.place().phase(),
            steps: describe(&nodes[range]),
        }));
    }
    elements.extend(describe(&nodes[described..]));
    elements
}

fn element(flow: &Flow, node: Node) -> ElementDescription {
    match node {
        Node::Step(step) => ElementDescription::Step(step_description(step.number(), flow.step(step))),
        Node::Composite(index) => ElementDescription::Composite(composite(flow, index)),
    }
}

fn composite(flow: &Flow, index: CompositeIndex) -> CompositeDescription {
    let outline = flow.plan().composite(index);
    let built = flow.composite(index);
    let branches = || outline.branches().iter().enumerate().map(|(number, _)| branch(flow, index, number)).collect();
    // A for-each and a sub-flow have one branch.
    let only = || body(flow, outline.branches()[0].body(), outline.is_inline());
    match built {
        Composite::Graph { join, complete, .. } => {
            CompositeDescription::Graph { complete: *complete, join: join.is_some(), branches: branches() }
        }
        Composite::Choice { .. } => CompositeDescription::Choice { branches: branches() },
        Composite::ForEach { split, collect, complete, at_most, within, .. } => CompositeDescription::ForEach {
            complete: *complete,
            at_most: *at_most,
            within: within.map(duration::format),
            split: split.is_some(),
            collect: collect.is_some(),
            item: only(),
        },
        Composite::Flow => CompositeDescription::Flow { name: outline.branches()[0].name().to_string(), body: only() },
    }
}

fn branch(flow: &Flow, index: CompositeIndex, number: usize) -> BranchDescription {
    let outline = flow.plan().composite(index);
    debug_assert!(matches!(outline.kind(), CompositeKind::Graph | CompositeKind::Choice));
    let branch = &outline.branches()[number];
    let after = branch.after().iter().map(|&other| outline.branches()[other].name().to_string());
    let (within, otherwise) = match flow.composite(index) {
        Composite::Graph { within, .. } => (within.get(number).copied().flatten(), false),
        Composite::Choice { otherwise, .. } => (None, *otherwise == Some(number)),
        Composite::ForEach { .. } | Composite::Flow => (None, false),
    };
    BranchDescription {
        name: branch.name().to_string(),
        after: after.collect(),
        within: within.map(duration::format),
        otherwise,
        body: body(flow, branch.body(), outline.is_inline()),
    }
}

fn step_description(number: usize, step: &Step) -> StepDescription {
    let action = match step.action() {
        Action::Modify(_) => ActionDescription::Modifier,
        Action::Call(call) => ActionDescription::Call {
            function: call.function().to_owned(),
            sync: call.is_sync(),
            request: request_description(call.options()),
        },
        Action::Callback(callback) => ActionDescription::Callback {
            url: without_query(callback.url()),
            request: request_description(callback.options()),
        },
    };
    StepDescription { number, name: step.name().to_string(), action }
}

fn request_description(options: &RequestOptions) -> RequestDescription {
    RequestDescription {
        method: options.method().map(ToString::to_string),
        headers: options.headers.iter().map(|(name, _)| name.to_string()).collect(),
        query: options.query.iter().map(|(key, _)| key.clone()).collect(),
        timeout: options.timeout().map(duration::format),
        attempts: Some(options.retry().max_attempts()).filter(|&attempts| attempts > 1),
        on_failure: options.on_failure().is_some(),
        on_response: options.on_response().is_some(),
    }
}

fn without_query(url: &http::Uri) -> String {
    let text = url.to_string();
    text.split('?').next().unwrap_or_default().to_owned()
}
