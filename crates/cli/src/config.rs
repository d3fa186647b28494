//! `faasflow config`

use std::error::Error as _;

use faasflow_core::{Problem, code};
use faasflow_gateway::Stack;
use faasflow_gateway::stack::FunctionSpec;
use faasflow_runtime::Config as Settings;
use faasflow_runtime::config::{ConfigError, Setting, SettingValue};

use crate::args::Config;
use crate::error::{Exit, Failure};

pub(crate) fn run(config: &Config) -> Result<(), Failure> {
    let stack = Stack::read(&config.stack)?;
    show_hints(&stack);
    let flows = flows(&stack, config.flow.as_deref())?;
    let mut faults = Vec::new();
    for spec in flows {
        warn_of_typos(spec);
        let lookup = |name: &str| lookup(spec, name);
        say!("{}", spec.name);
        let mut settings = Settings::settings(lookup);
        settings.extend(of_state_managers(lookup));
        let width = |text: fn(&Setting) -> &str| settings.iter().map(|s| text(s).len()).max().unwrap_or_default();
        let (name, value) = (width(|s| s.name), width(|s| &s.value));
        let origin = width(|s| &s.origin);
        for setting in &settings {
            say!("  {:name$}  {:value$}  {:origin$}  {}", setting.name, setting.value, setting.origin, setting.about);
        }
        if let Err(error) = Settings::load(lookup) {
            faults.extend(of(spec, &error));
        }
    }
    if faults.is_empty() { Ok(()) } else { Err(Failure::of(Exit::Unusable, faults)) }
}

/// The flows of a stack, or the one of this name.
pub(crate) fn flows<'a>(stack: &'a Stack, flow: Option<&str>) -> Result<Vec<&'a FunctionSpec>, Failure> {
    let wanted = |spec: &&FunctionSpec| match flow {
        Some(name) => spec.name == name,
        None => spec.is_flow(),
    };
    let flows: Vec<&FunctionSpec> = stack.functions.values().filter(wanted).collect();
    if flows.is_empty() {
        let what = flow.map_or("flow (lang: faasflow)".to_owned(), |name| format!("function `{name}`"));
        let what = format!("{} names no {what}", stack.path.display());
        return Err(Failure::unusable(code::NO_SUCH_FUNCTION, what));
    }
    Ok(flows)
}

pub(crate) fn show_hints(stack: &Stack) {
    for hint in &stack.hints {
        eprintln!("faasflow: {}: {hint}", stack.path.display());
    }
}

fn warn_of_typos(spec: &FunctionSpec) {
    for typo in typos(spec) {
        eprintln!("faasflow: `{}`: {typo}", spec.name);
    }
}

/// Variables that look like a setting misspelt. A flow may have variables of its own, so they are no error.
pub(crate) fn typos(spec: &FunctionSpec) -> Vec<String> {
    let settings = Settings::settings(|_| None).into_iter().map(|setting| setting.name);
    let known: Vec<&str> = settings.chain(faasflow_state::SETTINGS.map(|(name, ..)| name)).collect();
    let unknown = spec.environment.keys().filter(|name| !known.contains(&name.as_str()));
    let typos = unknown.filter_map(|name| {
        let near = known.iter().min_by_key(|setting| strsim::osa_distance(setting, name));
        let setting = near.filter(|setting| strsim::osa_distance(setting, name) <= 2)?;
        let origin = spec.origins.get(name).map(|origin| format!(" of {origin}")).unwrap_or_default();
        Some(format!("`{name}`{origin} is no setting; is `{setting}` meant?"))
    });
    typos.collect()
}

/// Checks the settings of all flows of a stack, without showing any.
pub(crate) fn check(stack: &Stack) -> Result<(), Failure> {
    show_hints(stack);
    let flows = stack.functions.values().filter(|spec| spec.is_flow());
    let mut faults = Vec::new();
    for spec in flows {
        warn_of_typos(spec);
        if let Err(error) = Settings::load(|name| lookup(spec, name)) {
            faults.extend(of(spec, &error));
        }
    }
    if faults.is_empty() { Ok(()) } else { Err(Failure::of(Exit::Unusable, faults)) }
}

/// The faults of a flow's settings, each with the flow's name.
fn of(spec: &FunctionSpec, error: &ConfigError) -> impl Iterator<Item = Problem> {
    error.faults().iter().map(|fault| {
        let problem = Problem::new(fault.code(), format!("function `{}`: {fault}", spec.name));
        let problem = fault.source().into_iter().fold(problem, Problem::because);
        problem.help(fault.help())
    })
}

/// The settings of the state managers, in the same form.
fn of_state_managers(lookup: impl Fn(&str) -> Option<SettingValue>) -> impl Iterator<Item = Setting> {
    faasflow_state::SETTINGS.into_iter().map(move |(name, default, about)| {
        let found = lookup(name).filter(|found| !found.value.trim().is_empty());
        let found = found.unwrap_or(SettingValue { value: default.to_owned(), origin: "default".to_owned() });
        Setting { name, value: found.value, origin: found.origin, about }
    })
}

/// What the flow will find in its environment when it is deployed.
pub(crate) fn lookup(spec: &FunctionSpec, name: &str) -> Option<SettingValue> {
    if let Some(value) = spec.environment.get(name) {
        let origin = spec.origins.get(name).cloned().unwrap_or_default();
        return Some(SettingValue { value: value.clone(), origin });
    }
    (name == "OPENFAAS_NAME")
        .then(|| SettingValue { value: spec.name.clone(), origin: "the name in the stack".to_owned() })
}
