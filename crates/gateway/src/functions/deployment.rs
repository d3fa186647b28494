//! Functions that are deployed through the API.

use std::collections::BTreeMap;
use std::path::Path;

use faasflow_admin::Deployment;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::namespace::check_namespace;
use crate::stack::{
    Amounts, CommandLine, DEPLOYMENT, Fault, FunctionSpec, Kind, LONGEST_NAME, Resources, URL_ANNOTATION, check,
    is_name, misplaced, url_or_command,
};

/// How a deployed function runs. This is decided when it is deployed, and does not change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Runs {
    /// As a process on this machine, or elsewhere at a URL.
    #[default]
    Here,
    /// As containers of its image.
    Container,
}

/// Resolves a deployment. The function's processes run in `folder`.
///
/// # Errors
///
/// If the function cannot run here. The text says why, and what to do.
pub(crate) fn spec(deployment: &Deployment, folder: &Path, runs: Runs) -> Result<FunctionSpec, String> {
    let name = &deployment.service;
    if !is_name(name) {
        return Err(format!(
            "`service` is `{}`, which is not a valid name; use at most {LONGEST_NAME} letters, digits, `-` and `_`",
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
        Runs::Here => here(deployment, &annotations, &environment).map_err(|fault| fault.describe())?,
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
    if faults.is_empty() {
        return Ok(spec);
    }
    let faults: Vec<String> = faults.iter().map(Fault::describe).collect();
    Err(format!("function `{name}`: {}", faults.join("; ")))
}

fn here(
    deployment: &Deployment,
    annotations: &BTreeMap<String, String>,
    environment: &BTreeMap<String, String>,
) -> Result<Kind, Fault> {
    let command = deployment.process().map(|text| CommandLine { key: "envProcess", text });
    url_or_command(annotations, command, environment)?.ok_or_else(|| {
        let misplaced = misplaced(environment, "`envProcess` (`fprocess` in stack.yml)");
        misplaced.unwrap_or_else(|| {
            Fault::how_to_run("the image cannot be run, because there is no container engine").help(format!(
                "start Docker or Podman, or set `envProcess` (`fprocess` in stack.yml) to a command, or the annotation \
                 `{URL_ANNOTATION}` to the address of a running server"
            ))
        })
    })
}

/// The resources of a deployment, after [`check_resources`].
fn amounts(given: Option<&Value>) -> Amounts {
    let text = |key: &str| given.and_then(|given| given[key].as_str()).map(str::to_owned);
    Amounts { memory: text("memory"), cpu: text("cpu") }
}

/// Checks that resources have the form that OpenFaaS accepts. The API reports them as they were sent. They limit only
/// containers.
fn check_resources(key: &str, given: Option<&Value>) -> Result<(), String> {
    let fits = match given {
        None | Some(Value::Null) => true,
        Some(Value::Object(entries)) => entries.values().all(|value| value.is_string() || value.is_null()),
        Some(_) => false,
    };
    if fits {
        Ok(())
    } else {
        Err(format!("`{key}` must be an object with texts, such as `{{\"memory\": \"128Mi\", \"cpu\": \"100m\"}}`"))
    }
}
