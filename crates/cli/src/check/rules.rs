//! What is judged, a module for each rule: facts to findings, without I/O. A rule that finds nothing wrong says so in
//! one line, so that what was looked at can be seen.

mod definition;
mod envelopes;
pub(super) mod functions;
mod queue;
mod secrets;
mod settings;
mod state;
#[cfg(test)]
mod tests;
mod timeouts;
mod wording;

use super::facts::{FlowFacts, GatewayFacts};
use super::finding::Finding;

/// Everything about a flow, in the order in which it would be met.
pub(super) fn judge(flow: &FlowFacts, gateway: &GatewayFacts) -> Vec<Finding> {
    let mut findings = settings::judge(flow, gateway);
    findings.extend(functions::judge(flow, gateway));
    findings.extend(secrets::judge(flow, gateway));
    findings.extend(state::judge(flow, gateway));
    findings.extend(timeouts::judge(flow, gateway));
    findings.extend(queue::judge(flow, gateway));
    findings.extend(envelopes::judge(flow, gateway));
    findings.extend(definition::judge(flow));
    findings
}
