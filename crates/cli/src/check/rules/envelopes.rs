//! What the flow sends, the queue takes.

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
        return vec![Finding::ok(ABOUT, "one phase, which makes none")];
    }
    let limit = gateway.queue_limit;
    let from = origin(&limit, OPTION);
    let mut findings = Vec::new();
    if config.envelope_limit > limit.value {
        let raise =
            if gateway.local { "start `faasflow up` with `--queue-limit`" } else { "configure the queue to take more" };
        let refused = Finding::error(
            ABOUT,
            format!(
                "they may have {} bytes (`envelope_limit`), and the queue takes {}{from}: larger ones would be refused",
                config.envelope_limit, limit.value
            ),
            format!("lower `envelope_limit` to {}, or {raise}", limit.value),
        );
        findings.push(refused.rated(severity(limit.origin)));
    } else {
        let what = format!("{} bytes at most, the queue takes {}{from}", config.envelope_limit, limit.value);
        findings.push(Finding::ok(ABOUT, what));
    }
    if state::manager(flow, config) == EMBEDDED && config.max_body > config.envelope_limit {
        findings.push(Finding::note(
            ABOUT,
            format!(
                "bodies may have {} bytes (`max_body`), and one that makes an envelope larger than {} (`envelope_limit`) \
                 fails its request: there is no state manager that it could go to",
                config.max_body, config.envelope_limit
            ),
            "set `state_manager` to `s3` or `redis`, if there are such bodies",
        ));
    }
    findings
}
