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

use super::facts::{Answered, FlowFacts, GatewayFacts, Limit, Origin};
use super::finding::{Finding, Severity};

/// Everything about a flow, in the order in which it would be met.
pub(super) fn judge(flow: &FlowFacts, gateway: &GatewayFacts) -> Vec<Finding> {
    let mut findings = settings::judge(flow, gateway);
    findings.extend(functions::judge(flow, gateway));
    findings.extend(secrets::judge(flow, gateway));
    findings.extend(state::judge(flow, gateway));
    findings.extend(timeouts::judge(flow, gateway));
    findings.extend(queue::judge(flow));
    findings.extend(envelopes::judge(flow, gateway));
    findings.extend(definition::judge(flow));
    findings
}

/// What to do where the gateway answered a question with nothing of use, and what it answered.
fn unknown<T>(answered: &Answered<T>, asked: &str) -> Option<(String, &'static str)> {
    match answered {
        Answered::Known(_) => None,
        Answered::Forbidden(status) => Some((
            format!("the gateway answers {status} to {asked}"),
            "give the gateway's address with user and password, `--gateway http://USER:PASSWORD@HOST:PORT`",
        )),
        Answered::Unclear(what) => Some((what.clone(), "look whether `--gateway` names a gateway, and into its log")),
    }
}

/// Nothing that rests on an assumption is an error.
fn severity(origin: Origin) -> Severity {
    match origin {
        Origin::Said | Origin::Given => Severity::Error,
        Origin::Assumed => Severity::Warning,
    }
}

/// Where a limit comes from, after its value.
fn origin<T>(limit: &Limit<T>, option: &str) -> String {
    match limit.origin {
        Origin::Said => String::new(),
        Origin::Given => format!(" (said by `{option}`)"),
        Origin::Assumed => format!(" (assumed: the gateway does not say; `{option}` does)"),
    }
}
