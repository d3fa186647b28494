//! The requests that the calls of a place start in other flows.

use faasflow_admin as api;
use faasflow_core::graph::{CompositeKind, Node, Place, Plan, StepIndex};
use faasflow_core::machine::Route;
use faasflow_core::{Action, RequestInfo};

use crate::delivery::called_request;

/// One for each call that the place may make, in the order of the steps, including those of branches that were not chosen. The ids are
/// computed: they derive from the idempotency keys. Calls for each item of a for-each within the phase are left out, because the number of
/// items is not recorded.
pub(super) fn called(route: Route<'_>, info: &RequestInfo, place: &Place) -> Vec<api::CalledRequest> {
    let Some(segment) = route.segment(place) else { return Vec::new() };
    let (flow, plan) = (route.flow(), route.flow().plan());
    let mut steps = Vec::new();
    collect(plan, &plan.body(segment.body()).nodes()[segment.nodes()], &mut steps);
    let prefix = place.idempotency_prefix(info.id.as_str());
    let tell = |step: StepIndex| {
        let Action::Call(call) = flow.step(step).action() else { return None };
        // Its number in the definition that the request began with, as in the key that is sent.
        let number = route.earlier().and_then(|earlier| earlier.step_number(step)).unwrap_or(step.number());
        let mut told = api::CalledRequest::default();
        told.step = u32::try_from(number).unwrap_or(u32::MAX);
        call.function().clone_into(&mut told.function);
        told.request = called_request(&info.id, &format!("{prefix}{number}")).to_string();
        Some(told)
    };
    steps.into_iter().filter_map(tell).collect()
}

fn collect(plan: &Plan, nodes: &[Node], steps: &mut Vec<StepIndex>) {
    for node in nodes {
        match *node {
            Node::Step(step) => steps.push(step),
            Node::Composite(index) if plan.composite(index).kind() != CompositeKind::ForEach => {
                for branch in plan.composite(index).branches() {
                    collect(plan, plan.body(branch.body()).nodes(), steps);
                }
            }
            _ => {}
        }
    }
}
