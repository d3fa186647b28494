//! Resolves a function of a stack file: how it runs, and with which values.

use std::collections::BTreeMap;
use std::path::Path;

use super::check::check;
use super::fault::Fault;
use super::file::Function;
use super::process::{CommandLine, misplaced, url_or_command, wrong_wish};
use super::spec::{FLOW, FunctionSpec, Kind, RUN_ANNOTATION, URL_ANNOTATION};
use crate::namespace::check_namespace;

/// Resolves a function from its entry in the stack file. Each of the `layers` of the environment has the name of its file. A
/// later layer overrides an earlier one, as with `faas-cli`.
///
/// # Errors
///
/// Everything that cannot be used.
pub(super) fn resolve(
    name: &str,
    function: Function,
    layers: Vec<(String, BTreeMap<String, String>)>,
    folder: &Path,
) -> Result<FunctionSpec, Vec<Fault>> {
    let mut environment = BTreeMap::new();
    let mut origins = BTreeMap::new();
    for (origin, variables) in layers {
        origins.extend(variables.keys().map(|key| (key.clone(), origin.clone())));
        environment.extend(variables);
    }
    let kind = kind(&function, &environment, folder);
    let (kind, mut faults) = match kind {
        Ok(kind) => (Some(kind), Vec::new()),
        Err(fault) => (None, vec![fault]),
    };
    if let Err(why) = check_namespace(function.namespace.as_deref()) {
        faults.push(Fault::value(format!("`namespace`: {why}")).help("remove `namespace`"));
    }
    let spec = FunctionSpec {
        name: name.to_owned(),
        folder: folder.to_owned(),
        lang: function.lang,
        // A function that does not say how it runs is not returned, but its other values are still checked.
        kind: kind.unwrap_or_else(|| Kind::Cargo(folder.to_owned())),
        process: function.fprocess,
        environment,
        origins,
        secrets: function.secrets,
        image: function.image,
        labels: function.labels,
        annotations: function.annotations,
        resources: function.resources,
    };
    faults.extend(check(&spec, "environment"));
    if faults.is_empty() { Ok(spec) } else { Err(faults) }
}

fn kind(function: &Function, environment: &BTreeMap<String, String>, folder: &Path) -> Result<Kind, Fault> {
    let image = function.image.as_ref().map(|image| Kind::Image(image.clone()));
    match (function.annotations.get(RUN_ANNOTATION).map(String::as_str), &image) {
        (None | Some("process"), _) => {}
        (Some("container"), Some(image)) => return Ok(image.clone()),
        (Some("container"), None) => {
            return Err(Fault::how_to_run(format!(
                "`annotations`: `{RUN_ANNOTATION}` is `container`, but there is no `image`"
            ))
            .help("add `image`"));
        }
        (Some(other), _) => return Err(wrong_wish(other)),
    }
    let command = function.fprocess.as_deref().map(|text| CommandLine { key: "fprocess", text });
    if let Some(kind) = url_or_command(&function.annotations, command, environment)? {
        return Ok(kind);
    }
    // If cargo does not build it, `faas-cli` builds an image, which a container engine runs.
    let is_flow = function.lang.as_deref() == Some(FLOW);
    let is_for_cargo = |handler: &String| {
        let project = folder.join(handler);
        is_flow || project.join("Cargo.toml").is_file() || !project.is_dir()
    };
    match image {
        Some(image) if !function.handler.as_ref().is_some_and(is_for_cargo) => Ok(image),
        _ => cargo(function.handler.as_deref(), folder, is_flow)
            .map_err(|fault| misplaced(environment, "`fprocess`").unwrap_or(fault)),
    }
}

fn cargo(handler: Option<&str>, folder: &Path, is_flow: bool) -> Result<Kind, Fault> {
    let Some(handler) = handler else {
        return Err(Fault::how_to_run("it does not say how it runs").help(format!(
            "set `handler` to the folder of a cargo project, `fprocess` to a command, `image` to an image for a container \
             engine, or the annotation `{URL_ANNOTATION}` to the address of a running server"
        )));
    };
    let project = folder.join(handler);
    if project.join("Cargo.toml").is_file() {
        return Ok(Kind::Cargo(project));
    }
    let what = if project.is_dir() {
        format!("{} has no Cargo.toml", project.display())
    } else {
        format!("there is no folder {}", project.display())
    };
    let fault = Fault::how_to_run(format!("`handler` is `{handler}`, but {what}"));
    if is_flow {
        return Err(fault.help("set it to the folder of the flow's cargo project, such as `./my-flow`"));
    }
    Err(fault.help(format!(
        "cargo builds functions here: set `handler` to a cargo project, `fprocess` to a command, `image` to an image for a \
         container engine, or the annotation `{URL_ANNOTATION}` to the address of a running server"
    )))
}
