//! Everything that waits for something waits long enough.
//!
//! A phase may take `write_timeout`. Everything that waits for it has to wait at least as long: the gateway, and the
//! watchdog in front of the flow, if the image has one. Calls are made within a phase and go through the gateway.
//!
//! A watchdog reads the same environment. `read_timeout` and `write_timeout` limit reading the request and writing the
//! answer there, so a value that is set applies to the flow and to the watchdog, and the two agree. They differ in two
//! ways: their defaults are different, and `exec_timeout`, which the flow does not know, ends a request whatever
//! `write_timeout` allows. The template of this project has a watchdog in its image, and sets all three consistently.
//!
//! The functions that are called have watchdogs too. Some gateways report their environment.

use std::time::Duration;

use faasflow_core::description::ActionDescription;
use faasflow_core::duration;

use super::super::facts::{Deployed, FlowFacts, GatewayFacts, Limit, Reply};
use super::super::finding::{Finding, Severity};
use super::functions::{self, split};
use super::wording::{origin, severity};

const ABOUT: &str = "timeouts";
const OPTION: &str = "--gateway-timeout";
/// Variables that only a watchdog reads: if one is set, there is a watchdog in front of the flow.
const WATCHDOG_VARIABLES: [&str; 6] =
    ["exec_timeout", "fprocess", "function_process", "http_upstream_url", "mode", "upstream_url"];

pub(super) fn judge(flow: &FlowFacts, gateway: &GatewayFacts) -> Vec<Finding> {
    let Ok(config) = &flow.settings else { return Vec::new() };
    let (phase, limit) = (config.write_timeout, gateway.timeout);
    let mut findings = Vec::new();
    if phase > limit.value {
        findings.push(longer_than_gateway(phase, &limit, gateway.local).with_severity(severity(limit.origin)));
    }
    findings.extend(watchdog(flow, phase));
    findings.extend(calls(flow, phase, &limit));
    findings.extend(called(flow, gateway, phase));
    if findings.is_empty() {
        findings.push(Finding::ok(
            ABOUT,
            format!(
                "a phase may take {}, and the gateway waits {}{}",
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
            "a phase may take {} (`write_timeout`), but the gateway waits {}{}: a longer phase is answered with 502 while \
             it still runs, and a queue that delivers again runs it twice",
            duration::format(phase),
            duration::format(limit.value),
            origin(limit, OPTION)
        ),
        format!("lower `write_timeout`, or {raise}"),
    )
}

fn watchdog(flow: &FlowFacts, phase: Duration) -> Option<Finding> {
    let set = |name: &str| flow.environment.get(name).map(|value| value.trim()).filter(|value| !value.is_empty());
    let before = WATCHDOG_VARIABLES.iter().find(|name| set(name).is_some())?;
    if let Some(text) = set("exec_timeout") {
        let Ok(limit) = duration::parse(text) else {
            return Some(Finding::warning(
                ABOUT,
                format!("`exec_timeout` is `{text}`, which is not a duration, so the watchdog uses its default"),
                "write a duration such as `60s`",
            ));
        };
        // 0 means no limit.
        if !limit.is_zero() && limit < phase {
            return Some(Finding::error(
                ABOUT,
                format!(
                    "the watchdog ends a request after {} (`exec_timeout`), but a phase may take {} (`write_timeout`)",
                    duration::format(limit),
                    duration::format(phase)
                ),
                format!("raise `exec_timeout` to {}, or lower `write_timeout`", duration::format(phase)),
            ));
        }
    }
    if flow.of_template {
        return None;
    }
    // For variables that are not set, the watchdog has a shorter default than the flow.
    let unset: Vec<&str> = ["write_timeout", "exec_timeout"].into_iter().filter(|name| set(name).is_none()).collect();
    let name = unset.first()?;
    Some(Finding::warning(
        ABOUT,
        format!(
            "a watchdog is in front of the flow (`{before}` is set), but `{name}` is not set, and its default is shorter than a \
             phase may take"
        ),
        format!("set `{name}: {}`", duration::format(phase)),
    ))
}

/// Watchdogs of called functions that end a request before the call times out.
fn called(flow: &FlowFacts, gateway: &GatewayFacts, phase: Duration) -> Vec<Finding> {
    let judged = functions::calls(flow).filter_map(|(step, function)| {
        let ActionDescription::Call { request, .. } = &step.action else { return None };
        let (name, namespace) = split(function);
        let Some(Reply::Known(listed)) = functions::listed(gateway, namespace) else { return None };
        let deployed = listed.iter().find(|known| known.name == name)?;
        let (variable, ends) = watchdog_ends(deployed, gateway.local)?;
        let own = request.timeout.as_deref().and_then(|text| duration::parse(text).ok());
        let (wait, whose) = match own {
            Some(own) => (own, "the step's `timeout`"),
            None => (phase, "`write_timeout` of the flow"),
        };
        let finding = Finding::warning(
            ABOUT,
            format!(
                "the function's watchdog ends a request after {} (its `{variable}`), but the call may take {} ({whose})",
                duration::format(ends),
                duration::format(wait)
            ),
            format!(
                "raise `{variable}` of the function, or give the step a `timeout` of at most {}",
                duration::format(ends)
            ),
        );
        (ends < wait).then(|| finding.of_call(step, function))
    });
    judged.collect()
}

/// The variable with the shortest limit of a watchdog. The gateway of `faasflow up` acts as the watchdog and knows only
/// `exec_timeout`, for functions that start a process for each request.
fn watchdog_ends(deployed: &Deployed, local: bool) -> Option<(&'static str, Duration)> {
    if local && deployed.environment.get("mode").is_some_and(|mode| mode.trim() == "http") {
        return None;
    }
    let known: &[&'static str] = if local { &["exec_timeout"] } else { &["exec_timeout", "write_timeout"] };
    let read = |name: &&'static str| {
        let limit = duration::parse(deployed.environment.get(*name)?.trim()).ok()?;
        // 0 means no limit.
        (!limit.is_zero()).then_some((*name, limit))
    };
    known.iter().filter_map(read).min_by_key(|(_, limit)| *limit)
}

fn calls(flow: &FlowFacts, phase: Duration, limit: &Limit<Duration>) -> Vec<Finding> {
    let steps = flow.description.steps();
    let judged = steps.filter_map(|step| {
        let (request, function) = match &step.action {
            ActionDescription::Call { request, function, .. } => (request, Some(function)),
            ActionDescription::Callback { request, .. } => (request, None),
            _ => return None,
        };
        let own = duration::parse(request.timeout.as_deref()?).ok()?;
        let what = format!("its timeout of {} is never reached", duration::format(own));
        let finding = if own >= phase {
            let what = format!("{what}, because the phase ends after {} (`write_timeout`)", duration::format(phase));
            Finding::warning(ABOUT, what, "raise `write_timeout`, or lower the step's `timeout`")
        } else if own > limit.value && function.is_some() {
            let waits = format!("{}{}", duration::format(limit.value), origin(limit, OPTION));
            let what = format!("{what}, because the gateway gives up after {waits}");
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
