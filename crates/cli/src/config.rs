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
        settings.extend(state_manager_settings(lookup));
        let width = |text: fn(&Setting) -> &str| settings.iter().map(|s| text(s).len()).max().unwrap_or_default();
        let (name, value) = (width(|s| s.name), width(|s| &s.value));
        let origin = width(|s| &s.origin);
        for setting in &settings {
            say!("  {:name$}  {:value$}  {:origin$}  {}", setting.name, setting.value, setting.origin, setting.about);
        }
        if let Err(error) = Settings::load(lookup) {
            faults.extend(problems(spec, &error));
        }
    }
    if faults.is_empty() { Ok(()) } else { Err(Failure::new(Exit::Unusable, faults)) }
}

/// The flows of a stack, or only the one with this name.
pub(crate) fn flows<'a>(stack: &'a Stack, flow: Option<&str>) -> Result<Vec<&'a FunctionSpec>, Failure> {
    let wanted = |spec: &&FunctionSpec| match flow {
        Some(name) => spec.name == name,
        None => spec.is_flow(),
    };
    let flows: Vec<&FunctionSpec> = stack.functions.values().filter(wanted).collect();
    if flows.is_empty() {
        let path = stack.path.display();
        let known: Vec<String> = stack.functions.keys().map(|name| format!("`{name}`")).collect();
        let names = format!("its functions are {}", known.join(", "));
        let failure = match flow {
            Some(name) => Failure::unusable(code::NO_SUCH_FUNCTION, format!("{path} has no function `{name}`"))
                .help("check the name after `--flow`"),
            None => Failure::unusable(code::NO_SUCH_FUNCTION, format!("{path} has no flow"))
                .help("give a function `lang: faasflow` to make it a flow, or name one with `--flow`"),
        };
        return Err(if known.is_empty() { failure } else { failure.because_text(names) });
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

/// Variables that look like misspelled settings. Not errors, because a flow may read other variables too.
pub(crate) fn typos(spec: &FunctionSpec) -> Vec<String> {
    let settings = Settings::settings(|_| None).into_iter().map(|setting| setting.name);
    let known: Vec<&str> = settings.chain(faasflow_state::SETTINGS.map(|(name, ..)| name)).collect();
    let unknown = spec.environment.keys().filter(|name| !known.contains(&name.as_str()));
    let typos = unknown.filter_map(|name| {
        let near = known.iter().min_by_key(|setting| strsim::osa_distance(setting, name));
        let setting = near.filter(|setting| strsim::osa_distance(setting, name) <= 2)?;
        let origin = spec.origins.get(name).map(|origin| format!(" (in {origin})")).unwrap_or_default();
        Some(format!("`{name}`{origin} is not a setting; did you mean `{setting}`?"))
    });
    typos.collect()
}

/// Checks the settings of all flows of a stack.
pub(crate) fn check(stack: &Stack) -> Result<(), Failure> {
    show_hints(stack);
    let flows = stack.functions.values().filter(|spec| spec.is_flow());
    let mut faults = Vec::new();
    for spec in flows {
        warn_of_typos(spec);
        if let Err(error) = Settings::load(|name| lookup(spec, name)) {
            faults.extend(problems(spec, &error));
        }
    }
    if faults.is_empty() { Ok(()) } else { Err(Failure::new(Exit::Unusable, faults)) }
}

/// The faults in a flow's settings as problems to print, each with the flow's name.
fn problems(spec: &FunctionSpec, error: &ConfigError) -> impl Iterator<Item = Problem> {
    error.faults().iter().map(|fault| {
        let problem = Problem::new(fault.code(), format!("function `{}`: {fault}", spec.name));
        let problem = fault.source().into_iter().fold(problem, Problem::because);
        problem.help(fault.help())
    })
}

/// The settings of the state managers.
fn state_manager_settings(lookup: impl Fn(&str) -> Option<SettingValue>) -> impl Iterator<Item = Setting> {
    faasflow_state::SETTINGS.into_iter().map(move |(name, default, about)| {
        let found = lookup(name).filter(|found| !found.value.trim().is_empty());
        let found = found.unwrap_or(SettingValue { value: default.to_owned(), origin: "default".to_owned() });
        Setting { name, value: found.value, origin: found.origin, about }
    })
}

/// The value of a variable that the flow will find in its environment.
pub(crate) fn lookup(spec: &FunctionSpec, name: &str) -> Option<SettingValue> {
    if let Some(value) = spec.environment.get(name) {
        let origin = spec.origins.get(name).cloned().unwrap_or_default();
        return Some(SettingValue { value: value.clone(), origin });
    }
    (name == "OPENFAAS_NAME")
        .then(|| SettingValue { value: spec.name.clone(), origin: "its name in the stack".to_owned() })
}
