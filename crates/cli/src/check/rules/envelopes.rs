//! The queue accepts the envelopes that the flow sends to itself.

use faasflow_runtime::config::EMBEDDED;

use super::super::facts::{FlowFacts, GatewayFacts};
use super::super::finding::Finding;
use super::state;
use super::wording::{origin, severity};

const ABOUT: &str = "envelopes";
const OPTION: &str = "--queue-limit";

pub(super) fn judge(flow: &FlowFacts, gateway: &GatewayFacts) -> Vec<Finding> {
    let Ok(config) = &flow.settings else { return Vec::new() };
    if !flow.has_several_phases() {
        return vec![Finding::ok(ABOUT, "not needed: the flow has one phase")];
    }
    let limit = gateway.queue_limit;
    let from = origin(&limit, OPTION);
    let mut findings = Vec::new();
    if config.envelope_limit > limit.value {
        let raise =
            if gateway.local { "start `faasflow up` with `--queue-limit`" } else { "raise the limit of the queue" };
        let refused = Finding::error(
            ABOUT,
            format!(
                "they may have {} bytes (`envelope_limit`), but the queue accepts {}{from} and would refuse larger ones",
                config.envelope_limit, limit.value
            ),
            format!("lower `envelope_limit` to {}, or {raise}", limit.value),
        );
        findings.push(refused.with_severity(severity(limit.origin)));
    } else {
        let what = format!("at most {} bytes; the queue accepts {}{from}", config.envelope_limit, limit.value);
        findings.push(Finding::ok(ABOUT, what));
    }
    if state::manager(flow, config) == EMBEDDED && config.max_body > config.envelope_limit {
        findings.push(Finding::note(
            ABOUT,
            format!(
                "bodies may have {} bytes (`max_body`), but a request fails if its envelope gets larger than {} \
                 (`envelope_limit`), because there is no state manager to store the body in",
                config.max_body, config.envelope_limit
            ),
            "set `state_manager` to `s3` or `redis` if bodies can be that large",
        ));
    }
    findings
}
