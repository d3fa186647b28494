//! What is under way when another definition takes over.

use super::super::facts::{Answered, FlowFacts, Running};
use super::super::finding::Finding;

const ABOUT: &str = "definition";

pub(super) fn judge(flow: &FlowFacts) -> Vec<Finding> {
    let Some(deployed) = &flow.deployed else { return Vec::new() };
    vec![match deployed {
        Answered::Known(Running::Flow(deployed)) if deployed.fingerprint == flow.description.fingerprint => {
            Finding::ok(ABOUT, "the same is deployed")
        }
        Answered::Known(Running::Flow(deployed)) if deployed.phases.len() > 1 => Finding::note(
            ABOUT,
            format!(
                "another is deployed ({}, this one is {}): requests between its phases will be answered 409",
                short(&deployed.fingerprint),
                short(&flow.description.fingerprint)
            ),
            "let the queue run empty first, or deploy this one under another name",
        ),
        Answered::Known(Running::Flow(_)) => {
            Finding::ok(ABOUT, "another is deployed, of one phase: no request of it is under way in the queue")
        }
        Answered::Known(Running::Other) => Finding::warning(
            ABOUT,
            format!("the function `{}` that is deployed is no flow: this would replace it", flow.name),
            "give the flow another name, unless that is meant",
        ),
        Answered::Forbidden(status) => unread(&format!("it answers {status}")),
        Answered::Unclear(what) => unread(what),
    }]
}

fn unread(why: &str) -> Finding {
    Finding::note(
        ABOUT,
        format!("what is deployed cannot be compared: {why}"),
        "if it is another definition, let the queue run empty first: its requests would be answered 409",
    )
}

/// Enough to tell two apart.
fn short(fingerprint: &str) -> &str {
    fingerprint.get(..8).unwrap_or(fingerprint)
}
