//! A function as it is deployed through the API.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::functions::NAMESPACE;
use crate::functions::limit::max_inflight;
use crate::stack::{FunctionSpec, Process, URL_ANNOTATION, is_name, there_or_process};

/// The longest name: that of a host, which it becomes on Kubernetes.
const LONGEST_NAME: usize = 63;

/// What `faas-cli deploy` sends. What only containers have is kept, so that it is told as it was given.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
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
    /// How it runs here; its processes run in `folder`.
    ///
    /// # Errors
    ///
    /// If it cannot run here: the text says why, and what to do.
    pub(crate) fn spec(&self, folder: &Path) -> Result<FunctionSpec, String> {
        let name = &self.service;
        if !is_name(name) || name.len() > LONGEST_NAME {
            return Err(format!(
                "`service` is to be the function's name, of letters, digits, `-` and `_`, and at most {LONGEST_NAME} long"
            ));
        }
        check_namespace(self.namespace.as_deref())?;
        let environment = self.env_vars.clone().unwrap_or_default();
        for (key, value) in &environment {
            if key.is_empty() || key.contains(['=', '\0']) || value.contains('\0') {
                return Err(format!("`{}` of `envVars` can be no variable of a process", key.escape_debug()));
            }
        }
        max_inflight(&environment).map_err(|why| format!("`envVars`: {why}"))?;
        let annotations = self.annotations.clone().unwrap_or_default();
        let given = self.env_process.as_deref().filter(|command| !command.trim().is_empty());
        if given.is_some_and(|command| command.contains('\0')) {
            return Err("`envProcess` has a NUL in it, which no word of a command may have".to_owned());
        }
        let process = given.map(|command| Process { name: "envProcess", command });
        let kind = there_or_process(&annotations, process, &environment)?.ok_or_else(|| {
            format!(
                "the image cannot be run: this gateway starts processes, not containers. Say what to start, by \
                 `fprocess` in stack.yml or `--fprocess` (`envProcess`), or by the annotation `{URL_ANNOTATION}` where \
                 it runs already"
            )
        })?;
        Ok(FunctionSpec {
            name: name.clone(),
            folder: folder.to_owned(),
            lang: None,
            kind,
            origins: environment.keys().map(|key| (key.clone(), "its deployment".to_owned())).collect(),
            environment,
            secrets: self.secrets.clone().unwrap_or_default(),
            image: Some(self.image.clone()).filter(|image| !image.is_empty()),
            labels: self.labels.clone().unwrap_or_default(),
            annotations,
        })
    }
}

/// Whether a namespace is the one that there is, or none is named.
pub(crate) fn check_namespace(namespace: Option<&str>) -> Result<(), String> {
    match namespace {
        None | Some("" | NAMESPACE) => Ok(()),
        Some(other) => Err(format!("there is no namespace `{other}` here: the only one is `{NAMESPACE}`")),
    }
}
