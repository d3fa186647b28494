//! Requests in progress when a new definition replaces the deployed one.

use super::super::facts::{FlowFacts, Reply, Running};
use super::super::finding::Finding;

const ABOUT: &str = "definition";

pub(super) fn judge(flow: &FlowFacts) -> Vec<Finding> {
    let Some(deployed) = &flow.deployed else { return Vec::new() };
    vec![match deployed {
        Reply::Known(Running::Flow(deployed)) if deployed.fingerprint == flow.description.fingerprint => {
            Finding::ok(ABOUT, "the deployed definition is the same")
        }
        Reply::Known(Running::Flow(deployed)) if deployed.phases().len() > 1 => Finding::note(
            ABOUT,
            format!(
                "another definition is deployed ({}, this one is {}): a request between two phases will be refused with 409 if \
                 what is ahead of it has changed",
                short(&deployed.fingerprint),
                short(&flow.description.fingerprint)
            ),
            "if a step or a phase that is still ahead of such a request has changed, wait until the queue is empty, or deploy this one under another name",
        ),
        Reply::Known(Running::Flow(_)) => Finding::ok(
            ABOUT,
            "another definition is deployed, but it has one phase, so none of its requests is in the queue",
        ),
        Reply::Known(Running::Other) => Finding::warning(
            ABOUT,
            format!("a function `{}` that is not a flow is deployed, and this flow would replace it", flow.name),
            "give the flow another name, unless you want to replace the function",
        ),
        Reply::Forbidden(status) => unread(&format!("it answered with {status}")),
        Reply::Unclear(what) => unread(what),
    }]
}

fn unread(why: &str) -> Finding {
    Finding::note(
        ABOUT,
        format!("the deployed definition cannot be compared: {why}"),
        "if it is another one, wait until the queue is empty: a request is refused with 409 if what is ahead of it has changed",
    )
}

/// Long enough to tell two fingerprints apart.
fn short(fingerprint: &str) -> &str {
    fingerprint.get(..8).unwrap_or(fingerprint)
}
