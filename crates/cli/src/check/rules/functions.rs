//! Every function that the flow calls is deployed and can answer.

use faasflow_core::description::{ActionDescription, StepDescription};

use super::super::facts::{Deployed, FlowFacts, GatewayFacts, Reply};
use super::super::finding::Finding;
use super::wording::{Unknown, unknown};

const ABOUT: &str = "functions";
/// The default namespace of functions.
const NAMESPACE: &str = "openfaas-fn";

/// A function's name, and its namespace unless that is the default.
pub(in super::super) fn split(function: &str) -> (&str, Option<&str>) {
    match function.rsplit_once('.') {
        Some((name, NAMESPACE)) => (name, None),
        Some((name, namespace)) => (name, Some(namespace)),
        None => (function, None),
    }
}

/// The functions of a namespace.
pub(super) fn listed<'a>(gateway: &'a GatewayFacts, namespace: Option<&str>) -> Option<&'a Reply<Vec<Deployed>>> {
    match namespace {
        None => Some(&gateway.functions),
        Some(namespace) => gateway.elsewhere.get(namespace),
    }
}

/// The steps that call a function, each with the name of the function.
pub(super) fn calls(flow: &FlowFacts) -> impl Iterator<Item = (&StepDescription, &str)> {
    let steps = flow.description.steps();
    steps.filter_map(|step| match &step.action {
        ActionDescription::Call { function, .. } => Some((step, function.as_str())),
        _ => None,
    })
}

pub(super) fn judge(flow: &FlowFacts, gateway: &GatewayFacts) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut deployed = Vec::new();
    let mut not_known: Vec<(Unknown, Vec<&str>)> = Vec::new();
    for (step, function) in calls(flow) {
        let (name, namespace) = split(function);
        let in_stack = namespace.is_none() && flow.stack.iter().any(|known| known == name);
        match listed(gateway, namespace) {
            Some(Reply::Known(functions)) => match functions.iter().find(|known| known.name == name) {
                Some(Deployed { available: Some(0), .. }) => {
                    findings.push(no_replica(function).of_call(step, function));
                }
                Some(_) => deployed.push(function),
                None if in_stack => findings.push(
                    Finding::note(ABOUT, "it is not deployed yet", "this stack deploys it").of_call(step, function),
                ),
                None => {
                    // The stack has no functions of other namespaces.
                    let stack = flow.stack.iter().filter(|_| namespace.is_none()).map(String::as_str);
                    let known = functions.iter().map(|known| known.name.as_str()).chain(stack);
                    findings.push(absent(name, namespace, known).of_call(step, function));
                }
            },
            Some(answered) => {
                let asked = "GET /system/functions";
                let Some(why) = unknown(answered, asked, gateway) else { continue };
                match not_known.iter_mut().find(|(same, _)| *same == why) {
                    Some((_, functions)) => functions.push(function),
                    None => not_known.push((why, vec![function])),
                }
            }
            None => {}
        }
    }
    // Wrong credentials are reported even if the flow calls nothing.
    if not_known.is_empty()
        && gateway.credentials
        && let Reply::Forbidden(_) = gateway.functions
        && let Some(why) = unknown(&gateway.functions, "GET /system/functions", gateway)
    {
        findings.push(why.finding(ABOUT, "it is not known which functions are deployed"));
    }
    for (why, functions) in not_known {
        let functions = names(functions.iter().copied());
        findings.push(why.finding(ABOUT, &format!("it is not known whether {functions} can be called")));
    }
    if !deployed.is_empty() {
        findings.insert(0, Finding::ok(ABOUT, format!("deployed: {}", names(deployed.into_iter()))));
    } else if findings.is_empty() {
        findings.push(Finding::ok(ABOUT, "the flow calls no functions"));
    }
    findings
}

fn no_replica(function: &str) -> Finding {
    Finding::warning(
        ABOUT,
        "it is deployed, but has no available replica",
        format!(
            "unless it scales to zero, find out why with `faas-cli describe {function}` and `faas-cli logs {function}`"
        ),
    )
}

fn absent<'a>(name: &str, namespace: Option<&str>, known: impl Iterator<Item = &'a str>) -> Finding {
    let near = known.map(|known| (strsim::osa_distance(known, name), known)).min();
    let near = near.filter(|(distance, _)| *distance <= 2).map(|(_, near)| near);
    let Some(namespace) = namespace else {
        let remedy = match near {
            Some(near) => format!("did you mean `{near}`? If not, deploy it or add it to stack.yml"),
            None => "deploy it or add it to stack.yml".to_owned(),
        };
        return Finding::error(ABOUT, "the function is neither deployed nor in this stack", remedy);
    };
    let remedy = match near {
        Some(near) => format!("did you mean `{near}.{namespace}`? If not, deploy it there"),
        None => format!("deploy it there, or call `{name}` in the namespace that has it"),
    };
    Finding::error(ABOUT, format!("the function is not deployed in the namespace `{namespace}`"), remedy)
}

/// Lists names, each once.
pub(super) fn names<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let mut once: Vec<&str> = Vec::new();
    for name in names {
        if !once.contains(&name) {
            once.push(name);
        }
    }
    once.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
