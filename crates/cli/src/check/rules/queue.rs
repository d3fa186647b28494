//! There is a queue to go through.

use super::super::facts::{Answered, FlowFacts};
use super::super::finding::Finding;
use super::unknown;

const ABOUT: &str = "queue";

pub(super) fn judge(flow: &FlowFacts) -> Vec<Finding> {
    let Some(queue) = &flow.queue else {
        return vec![Finding::ok(ABOUT, "one phase, which needs none")];
    };
    let asked = format!("GET /async-function/{}", flow.name);
    vec![match queue {
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
        answered => {
            let (what, remedy) = unknown(answered, &asked).unwrap_or_default();
            Finding::warning(ABOUT, format!("{what}: whether it has a queue is not known"), remedy)
        }
    }]
}
