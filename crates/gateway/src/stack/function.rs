//! A function of a stack file, resolved: how it runs, and with what.

use std::collections::BTreeMap;
use std::path::Path;

use super::check::check;
use super::file::Function;
use super::process::{Process, misplaced, there_or_process, wrong_wish};
use super::spec::{FLOW, FunctionSpec, Kind, RUN_ANNOTATION, URL_ANNOTATION};
use crate::namespace::check_namespace;

/// Makes a function of what is written for it. Of `layers` of the environment, each named by its file, a later one goes
/// before an earlier one, as `faas-cli` deploys it.
///
/// # Errors
///
/// Everything that cannot be used, each with its key, its value and the remedy.
pub(super) fn resolve(
    name: &str,
    function: Function,
    layers: Vec<(String, BTreeMap<String, String>)>,
    folder: &Path,
) -> Result<FunctionSpec, Vec<String>> {
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
        faults.push(format!("`namespace`: {why}"));
    }
    let spec = FunctionSpec {
        name: name.to_owned(),
        folder: folder.to_owned(),
        lang: function.lang,
        // One that says not how it runs is not returned. Its other values are checked all the same.
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

fn kind(function: &Function, environment: &BTreeMap<String, String>, folder: &Path) -> Result<Kind, String> {
    let image = function.image.as_ref().map(|image| Kind::Image(image.clone()));
    match (function.annotations.get(RUN_ANNOTATION).map(String::as_str), &image) {
        (None | Some("process"), _) => {}
        (Some("container"), Some(image)) => return Ok(image.clone()),
        (Some("container"), None) => {
            return Err(format!("`annotations`: `{RUN_ANNOTATION}` is `container`: add `image`"));
        }
        (Some(other), _) => return Err(wrong_wish(other)),
    }
    let process = function.fprocess.as_deref().map(|command| Process { name: "fprocess", command });
    if let Some(kind) = there_or_process(&function.annotations, process, environment)? {
        return Ok(kind);
    }
    // What cargo does not build, faas-cli does, and a container engine runs it.
    let is_flow = function.lang.as_deref() == Some(FLOW);
    let is_for_cargo = |handler: &String| {
        let project = folder.join(handler);
        is_flow || project.join("Cargo.toml").is_file() || !project.is_dir()
    };
    match image {
        Some(image) if !function.handler.as_ref().is_some_and(is_for_cargo) => Ok(image),
        _ => cargo(function.handler.as_deref(), folder, is_flow)
            .map_err(|why| misplaced(environment, "`fprocess`").unwrap_or(why)),
    }
}

fn cargo(handler: Option<&str>, folder: &Path, is_flow: bool) -> Result<Kind, String> {
    let Some(handler) = handler else {
        return Err(format!(
            "it does not say how it runs: `handler` names the folder of a cargo project, `fprocess` a command, \
             `image` an image for a container engine, the annotation `{URL_ANNOTATION}` an address that is already there"
        ));
    };
    let project = folder.join(handler);
    if project.join("Cargo.toml").is_file() {
        return Ok(Kind::Cargo(project));
    }
    let what = if project.is_dir() {
        format!("{} holds no Cargo.toml", project.display())
    } else {
        format!("there is no folder {}", project.display())
    };
    if is_flow {
        return Err(format!(
            "`handler` is `{handler}`, and {what}: write the folder of the flow's cargo project, such as `./my-flow`"
        ));
    }
    Err(format!(
        "`handler` is `{handler}`, and {what}: here, functions are built by cargo; give `fprocess` a command, `image` \
         an image for a container engine, or the annotation `{URL_ANNOTATION}` an address"
    ))
}
