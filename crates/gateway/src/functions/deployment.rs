//! A function as it is deployed through the API.

use std::collections::BTreeMap;
use std::path::Path;

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

/// What `faas-cli deploy` sends. What only containers have is kept, so that it is told as it was given.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(
    rename_all = "camelCase",
    default,
    expecting = "an object, such as `{\"service\": \"f\", \"envProcess\": \"cat\"}`"
)]
pub(crate) struct Deployment {
    pub(crate) service: String,
    pub(crate) image: String,
    pub(crate) namespace: Option<String>,
    pub(crate) env_process: Option<String>,
    pub(crate) env_vars: Option<BTreeMap<String, String>>,
    pub(crate) secrets: Option<Vec<String>>,
    pub(crate) labels: Option<BTreeMap<String, String>>,
    pub(crate) annotations: Option<BTreeMap<String, String>>,
    pub(crate) limits: Option<Value>,
    pub(crate) requests: Option<Value>,
    pub(crate) constraints: Option<Vec<String>>,
    pub(crate) read_only_root_filesystem: bool,
}

impl Deployment {
    /// The command that was given, if one was.
    pub(crate) fn process(&self) -> Option<&str> {
        self.env_process.as_deref().filter(|command| !command.trim().is_empty())
    }

    /// An annotation, if it was given.
    pub(crate) fn annotation(&self, key: &str) -> Option<&str> {
        self.annotations.as_ref()?.get(key).map(String::as_str)
    }

    /// How it runs here; its processes run in `folder`.
    ///
    /// # Errors
    ///
    /// If it cannot run here: the text says why, and what to do.
    pub(crate) fn spec(&self, folder: &Path, runs: Runs) -> Result<FunctionSpec, String> {
        let name = &self.service;
        if !is_name(name) {
            return Err(format!(
                "`service` is `{}`; write the function's name, of letters, digits, `-` and `_`, and at most {LONGEST_NAME} of them",
                name.escape_debug()
            ));
        }
        check_namespace(self.namespace.as_deref())?;
        check_resources("limits", self.limits.as_ref())?;
        check_resources("requests", self.requests.as_ref())?;
        let environment = self.env_vars.clone().unwrap_or_default();
        let annotations = self.annotations.clone().unwrap_or_default();
        let kind = match runs {
            Runs::Container => Kind::Image(self.image.clone()),
            Runs::Here => self.here(&annotations, &environment)?,
        };
        let spec = FunctionSpec {
            name: name.clone(),
            folder: folder.to_owned(),
            lang: None,
            kind,
            process: self.env_process.clone(),
            origins: environment.keys().map(|key| (key.clone(), DEPLOYMENT.to_owned())).collect(),
            environment,
            secrets: self.secrets.clone().unwrap_or_default(),
            image: Some(self.image.clone()).filter(|image| !image.is_empty()),
            labels: self.labels.clone().unwrap_or_default(),
            annotations,
            resources: Resources {
                limits: amounts(self.limits.as_ref()),
                requests: amounts(self.requests.as_ref()),
                read_only_root_filesystem: self.read_only_root_filesystem,
            },
        };
        let faults = check(&spec, "envVars");
        if faults.is_empty() { Ok(spec) } else { Err(format!("function `{name}`: {}", faults.join("; "))) }
    }

    fn here(
        &self,
        annotations: &BTreeMap<String, String>,
        environment: &BTreeMap<String, String>,
    ) -> Result<Kind, String> {
        let process = self.process().map(|command| Process { name: "envProcess", command });
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
