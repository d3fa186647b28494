//! The gateway has a queue for the phases after the first.

use faasflow_core::duration;

use super::super::facts::{FlowFacts, GatewayFacts, Reply};
use super::super::finding::Finding;
use super::wording::{origin, unclear};

const ABOUT: &str = "queue";
const OPTION: &str = "--ack-wait";

pub(super) fn judge(flow: &FlowFacts, gateway: &GatewayFacts) -> Vec<Finding> {
    let Some(queue) = &flow.queue else {
        return vec![Finding::ok(ABOUT, "not needed: the flow has one phase")];
    };
    let not_known = "it is not known whether there is a queue";
    let there = match queue {
        Reply::Known(true) => Finding::ok(ABOUT, "the gateway has one"),
        Reply::Known(false) => Finding::error(
            ABOUT,
            format!(
                "the gateway has no queue (no route /async-function/{}), so only the first of {} phases would run",
                flow.name,
                flow.phases()
            ),
            "install OpenFaaS with its queue (async=true), or make all calls `sync`",
        ),
        // The flow uses this route without a user and a password, as this check does.
        Reply::Forbidden(status) => Finding::warning(
            ABOUT,
            format!("GET /async-function/{} was answered with {status}: {not_known}", flow.name),
            "find out what protects the gateway, and whether the flow, which sends no password, can get through",
        ),
        Reply::Unclear(what) => unclear(what).finding(ABOUT, not_known),
    };
    let again = matches!(queue, Reply::Known(true)).then(|| delivered_again(flow, gateway)).flatten();
    std::iter::once(there).chain(again).collect()
}

/// A phase may take longer than the queue waits. Few phases take as long as they may, so this is only a warning.
fn delivered_again(flow: &FlowFacts, gateway: &GatewayFacts) -> Option<Finding> {
    let (phase, limit) = (flow.settings.as_ref().ok()?.write_timeout, gateway.ack_wait);
    if gateway.local || phase <= limit.value {
        return None;
    }
    let what = format!(
        "a phase may take {} (`write_timeout`), but the queue delivers it again after {}{}: it would run twice",
        duration::format(phase),
        duration::format(limit.value),
        origin(&limit, OPTION)
    );
    Some(Finding::warning(ABOUT, what, "lower `write_timeout`, or raise `ack_wait` of the queue worker above it"))
}
