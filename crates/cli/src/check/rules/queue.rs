//! There is a queue to go through.

use faasflow_core::duration;

use super::super::facts::{Answered, FlowFacts, GatewayFacts};
use super::super::finding::Finding;
use super::wording::{origin, unclear};

const ABOUT: &str = "queue";
const OPTION: &str = "--ack-wait";

pub(super) fn judge(flow: &FlowFacts, gateway: &GatewayFacts) -> Vec<Finding> {
    let Some(queue) = &flow.queue else {
        return vec![Finding::ok(ABOUT, "one phase, which needs none")];
    };
    let not_known = "whether it has a queue is not known";
    let there = match queue {
        Answered::Known(true) => Finding::ok(ABOUT, "it is there"),
        Answered::Known(false) => Finding::error(
            ABOUT,
            format!(
                "the gateway has no route /async-function/{}: of {} phases none after the first would run",
                flow.name,
                flow.phases()
            ),
            "install OpenFaaS with its queue (async=true), or make all calls `sync`",
        ),
        // The flow will go there as it was gone there now, with no user and no password.
        Answered::Forbidden(status) => Finding::warning(
            ABOUT,
            format!("{status} is answered to GET /async-function/{}: {not_known}", flow.name),
            "look what is in front of the gateway, and whether the flow, which sends no password, comes by it",
        ),
        Answered::Unclear(what) => unclear(what).finding(ABOUT, not_known),
    };
    let again = matches!(queue, Answered::Known(true)).then(|| delivered_again(flow, gateway)).flatten();
    std::iter::once(there).chain(again).collect()
}

/// A phase that is longer than the queue waits. Each phase may take that long and few do, so this is no error.
fn delivered_again(flow: &FlowFacts, gateway: &GatewayFacts) -> Option<Finding> {
    let (phase, limit) = (flow.settings.as_ref().ok()?.write_timeout, gateway.ack_wait);
    if gateway.local || phase <= limit.value {
        return None;
    }
    let what = format!(
        "a phase may take {} (`write_timeout`), and the queue delivers it again after {}{}: it would be executed twice",
        duration::format(phase),
        duration::format(limit.value),
        origin(&limit, OPTION)
    );
    Some(Finding::warning(ABOUT, what, "lower `write_timeout`, or raise `ack_wait` of the queue's worker above it"))
}
