//! How a function runs that is deployed through the API.

use std::collections::BTreeMap;
use std::path::Path;

use faasflow_admin::Deployment;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::namespace::check_namespace;
use crate::stack::{
    Amounts, DEPLOYMENT, FunctionSpec, Kind, LONGEST_NAME, Process, Resources, URL_ANNOTATION, check, is_name,
    misplaced, there_or_process,
};

/// How a deployed function runs. It is settled when it is deployed, and stays so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Runs {
    /// As a process of this machine, or as something that is there already.
    #[default]
    Here,
    /// As containers of its image.
    Container,
}

/// How a function runs here that is deployed so; its processes run in `folder`.
///
/// # Errors
///
/// If it cannot run here: the text says why, and what to do.
pub(crate) fn spec(deployment: &Deployment, folder: &Path, runs: Runs) -> Result<FunctionSpec, String> {
    let name = &deployment.service;
    if !is_name(name) {
        return Err(format!(
            "`service` is `{}`; write the function's name, of letters, digits, `-` and `_`, and at most {LONGEST_NAME} of them",
            name.escape_debug()
        ));
    }
    check_namespace(deployment.namespace.as_deref())?;
    check_resources("limits", deployment.limits.as_ref())?;
    check_resources("requests", deployment.requests.as_ref())?;
    let environment = deployment.env_vars.clone().unwrap_or_default();
    let annotations = deployment.annotations.clone().unwrap_or_default();
    let kind = match runs {
        Runs::Container => Kind::Image(deployment.image.clone()),
        Runs::Here => here(deployment, &annotations, &environment)?,
    };
    let spec = FunctionSpec {
        name: name.clone(),
        folder: folder.to_owned(),
        lang: None,
        kind,
        process: deployment.env_process.clone(),
        origins: environment.keys().map(|key| (key.clone(), DEPLOYMENT.to_owned())).collect(),
        environment,
        secrets: deployment.secrets.clone().unwrap_or_default(),
        image: Some(deployment.image.clone()).filter(|image| !image.is_empty()),
        labels: deployment.labels.clone().unwrap_or_default(),
        annotations,
        resources: Resources {
            limits: amounts(deployment.limits.as_ref()),
            requests: amounts(deployment.requests.as_ref()),
            read_only_root_filesystem: deployment.read_only_root_filesystem,
        },
    };
    let faults = check(&spec, "envVars");
    if faults.is_empty() { Ok(spec) } else { Err(format!("function `{name}`: {}", faults.join("; "))) }
}

fn here(
    deployment: &Deployment,
    annotations: &BTreeMap<String, String>,
    environment: &BTreeMap<String, String>,
) -> Result<Kind, String> {
    let process = deployment.process().map(|command| Process { name: "envProcess", command });
    there_or_process(annotations, process, environment)?.ok_or_else(|| {
        let misplaced = misplaced(environment, "`envProcess` (`fprocess` in stack.yml)");
        misplaced.unwrap_or_else(|| {
            format!(
                "the image cannot be run: without a container engine, this gateway starts processes, not containers. \
                 Start Docker or Podman; or say what to start, by `fprocess` in stack.yml or `--fprocess` \
                 (`envProcess`), or by the annotation `{URL_ANNOTATION}` where it runs already"
            )
        })
    })
}

/// Memory and processor as they were given, which [`check_resources`] has seen.
fn amounts(given: Option<&Value>) -> Amounts {
    let text = |key: &str| given.and_then(|given| given[key].as_str()).map(str::to_owned);
    Amounts { memory: text("memory"), cpu: text("cpu") }
}

/// Whether memory and processor are given as OpenFaaS takes them. They are told as they were given, and limit containers
/// alone.
fn check_resources(key: &str, given: Option<&Value>) -> Result<(), String> {
    let fits = match given {
        None | Some(Value::Null) => true,
        Some(Value::Object(entries)) => entries.values().all(|value| value.is_string() || value.is_null()),
        Some(_) => false,
    };
    if fits {
        Ok(())
    } else {
        Err(format!("`{key}` must be an object of texts, such as `{{\"memory\": \"128Mi\", \"cpu\": \"100m\"}}`"))
    }
}
