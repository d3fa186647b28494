//! Who waits for whom, and how long.
//!
//! A phase may take `write_timeout`; whoever waits for it has to wait at least as long: the gateway, and a watchdog in
//! front of the flow where the image has one. Calls are made in a phase and go through the gateway.
//!
//! A watchdog reads the same environment, and two of its variables have our names. `read_timeout` and `write_timeout`
//! bound reading the request and writing the answer there, so what is set for the flow is set for the watchdog, and
//! the two agree by themselves. They differ in two ways. What is *not* set has another default there. And
//! `exec_timeout`, which the flow does not know, ends the request whatever `write_timeout` allows.

use std::time::Duration;

use faasflow_core::description::ActionDescription;
use faasflow_core::duration;

use super::super::facts::{FlowFacts, GatewayFacts, Limit};
use super::super::finding::{Finding, Severity};
use super::{origin, severity};

const ABOUT: &str = "timeouts";
const OPTION: &str = "--gateway-timeout";
/// What only a watchdog reads: where one of them is set, one is in front of the flow.
const OF_WATCHDOG: [&str; 6] =
    ["exec_timeout", "fprocess", "function_process", "http_upstream_url", "mode", "upstream_url"];

pub(super) fn judge(flow: &FlowFacts, gateway: &GatewayFacts) -> Vec<Finding> {
    let Ok(config) = &flow.settings else { return Vec::new() };
    let (phase, limit) = (config.write_timeout, gateway.timeout);
    let mut findings = Vec::new();
    if phase > limit.value {
        findings.push(longer_than_gateway(phase, &limit, gateway.local).rated(severity(limit.origin)));
    }
    findings.extend(watchdog(flow, phase));
    findings.extend(calls(flow, phase, &limit));
    if findings.is_empty() {
        findings.push(Finding::ok(
            ABOUT,
            format!(
                "a phase may take {}, the gateway waits {}{}",
                duration::format(phase),
                duration::format(limit.value),
                origin(&limit, OPTION)
            ),
        ));
    }
    findings
}

fn longer_than_gateway(phase: Duration, limit: &Limit<Duration>, local: bool) -> Finding {
    let raise = if local {
        "start `faasflow up` with `--upstream-timeout`"
    } else {
        "raise the gateway's `upstream_timeout` and `write_timeout`"
    };
    Finding::error(
        ABOUT,
        format!(
            "a phase may take {} (`write_timeout`), and the gateway waits {}{}: a longer one is answered 502 while it \
             goes on, and a queue that delivers again runs it twice",
            duration::format(phase),
            duration::format(limit.value),
            origin(limit, OPTION)
        ),
        format!("lower `write_timeout`, or {raise}"),
    )
}

fn watchdog(flow: &FlowFacts, phase: Duration) -> Option<Finding> {
    let set = |name: &str| flow.environment.get(name).map(|value| value.trim()).filter(|value| !value.is_empty());
    let before = OF_WATCHDOG.iter().find(|name| set(name).is_some())?;
    if let Some(text) = set("exec_timeout") {
        let Ok(limit) = duration::parse(text) else {
            return Some(Finding::warning(
                ABOUT,
                format!("`exec_timeout` is `{text}`, which the watchdog cannot read: it takes its default"),
                "write a duration such as `60s`",
            ));
        };
        // 0 is none.
        if !limit.is_zero() && limit < phase {
            return Some(Finding::error(
                ABOUT,
                format!(
                    "the watchdog ends a request after {} (`exec_timeout`), and a phase may take {} (`write_timeout`)",
                    duration::format(limit),
                    duration::format(phase)
                ),
                format!("raise `exec_timeout` to {}, or lower `write_timeout`", duration::format(phase)),
            ));
        }
    }
    // Of what is not set, both sides take a default of their own, and the watchdog's is the shorter one.
    let unset: Vec<&str> = ["write_timeout", "exec_timeout"].into_iter().filter(|name| set(name).is_none()).collect();
    let name = unset.first()?;
    Some(Finding::warning(
        ABOUT,
        format!(
            "a watchdog is in front of it (`{before}` is set), and `{name}` is not set: its default is shorter than a phase may take"
        ),
        format!("set `{name}: {}`", duration::format(phase)),
    ))
}

fn calls(flow: &FlowFacts, phase: Duration, limit: &Limit<Duration>) -> Vec<Finding> {
    let steps = flow.description.phases.iter().flat_map(|phase| &phase.steps);
    let judged = steps.filter_map(|step| {
        let (request, function) = match &step.action {
            ActionDescription::Call { request, function, .. } => (request, Some(function)),
            ActionDescription::Callback { request, .. } => (request, None),
            _ => return None,
        };
        let own = duration::parse(request.timeout.as_deref()?).ok()?;
        let what = format!("its own timeout of {} is never reached", duration::format(own));
        let finding = if own >= phase {
            let what = format!("{what}: the phase ends after {} (`write_timeout`)", duration::format(phase));
            Finding::warning(ABOUT, what, "raise `write_timeout`, or lower the step's `timeout`")
        } else if own > limit.value && function.is_some() {
            let waits = format!("{}{}", duration::format(limit.value), origin(limit, OPTION));
            let what = format!("{what}: the gateway, which it goes through, gives up after {waits}");
            Finding::warning(ABOUT, what, "raise the gateway's timeout, or lower the step's `timeout`")
        } else {
            return None;
        };
        Some(match function {
            Some(function) => finding.of_call(step, function),
            None => finding.of_step(step),
        })
    });
    let findings: Vec<Finding> = judged.collect();
    debug_assert!(findings.iter().all(|finding| finding.severity == Severity::Warning));
    findings
}
