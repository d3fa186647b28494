//! The rules, one module each: they turn facts into findings, without I/O. A rule that finds no fault reports `ok` in one
//! line, so that the report shows what was checked. A rule that could not check anything reports nothing.

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

/// Judges a flow. The order is the one in which the flow would hit the faults.
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
