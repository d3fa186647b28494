//! The functions of a gateway.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

/// A function and its state: the answer of [`FUNCTION`](crate::paths::FUNCTION), and that of
/// [`FUNCTIONS`](crate::paths::FUNCTIONS) is a list of these.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[non_exhaustive]
pub struct FunctionStatus {
    /// Its annotations.
    #[serde(deserialize_with = "texts")]
    pub annotations: Option<BTreeMap<String, String>>,
    /// Replicas that accept requests now.
    pub available_replicas: Option<u64>,
    /// The constraints that it was deployed with. Faasflow ignores them. Absent if there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub constraints: Option<Vec<String>>,
    /// When it was first deployed, in RFC 3339.
    pub created_at: Option<String>,
    /// The command that it runs, as it was given. Absent if there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub env_process: Option<String>,
    /// Its environment variables. Absent if there are none.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "texts")]
    pub env_vars: Option<BTreeMap<String, String>>,
    /// Its image; empty if it has none.
    pub image: Option<String>,
    /// How many times it was called since the gateway started.
    pub invocation_count: Option<u64>,
    /// Its labels, and the label `faas_function` with its name.
    #[serde(deserialize_with = "texts")]
    pub labels: Option<BTreeMap<String, String>>,
    /// The limits of memory and CPU for each of its containers, as they were given. Absent if none were.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limits: Option<BTreeMap<String, Option<String>>>,
    /// Its name.
    pub name: String,
    /// Its namespace.
    pub namespace: Option<String>,
    /// Whether the root file system of its containers is read-only. Absent if it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read_only_root_filesystem: Option<bool>,
    /// Replicas that it should have.
    pub replicas: Option<u64>,
    /// The memory and CPU that each of its containers requests, as they were given. Absent if none were.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests: Option<BTreeMap<String, Option<String>>>,
    /// The secrets that it may read. Absent if there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secrets: Option<Vec<String>>,
    /// What it uses. Absent unless the request asked for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
}

/// Reads a map of strings. Some providers put numbers into it; those are skipped.
fn texts<'a, D: Deserializer<'a>>(from: D) -> Result<Option<BTreeMap<String, String>>, D::Error> {
    let text = |(key, value): (String, Value)| match value {
        Value::String(text) => Some((key, text)),
        _ => None,
    };
    let read: Option<BTreeMap<String, Value>> = Option::deserialize(from)?;
    Ok(read.map(|entries| entries.into_iter().filter_map(text).collect()))
}

impl fmt::Debug for FunctionStatus {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The environment may hold secrets.
        formatter.debug_struct("FunctionStatus").field("name", &self.name).finish_non_exhaustive()
    }
}

/// What a function uses now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[non_exhaustive]
pub struct Usage {
    /// The memory of its process or of its containers, in bytes; 0 if that is not known.
    pub total_memory_bytes: u64,
}

/// A function to deploy: the body of `POST` and `PUT` of [`FUNCTIONS`](crate::paths::FUNCTIONS), as `faas-cli deploy` sends
/// it.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(
    rename_all = "camelCase",
    default,
    expecting = "an object, such as `{\"service\": \"f\", \"envProcess\": \"cat\"}`"
)]
pub struct Deployment {
    /// Its name: letters, digits, `-` and `_`, at most 63.
    pub service: String,
    /// Its image; empty if it has none.
    #[serde(deserialize_with = "crate::null::as_default")]
    pub image: String,
    /// Its namespace; that of the gateway if absent.
    pub namespace: Option<String>,
    /// The command that it runs.
    pub env_process: Option<String>,
    /// Its environment variables.
    pub env_vars: Option<BTreeMap<String, String>>,
    /// The secrets that it may read.
    pub secrets: Option<Vec<String>>,
    /// Its labels.
    pub labels: Option<BTreeMap<String, String>>,
    /// Its annotations.
    pub annotations: Option<BTreeMap<String, String>>,
    /// What each of its containers may use at most: an object with `memory`, such as `128Mi`, and `cpu`, such as `100m`.
    pub limits: Option<Value>,
    /// What each of its containers requests; an object like `limits`.
    pub requests: Option<Value>,
    /// Where it may run. Faasflow reports this and otherwise ignores it.
    pub constraints: Option<Vec<String>>,
    /// Whether the root file system of its containers is read-only.
    #[serde(deserialize_with = "crate::null::as_default")]
    pub read_only_root_filesystem: bool,
}

impl fmt::Debug for Deployment {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Deployment").field("service", &self.service).finish_non_exhaustive()
    }
}

impl Deployment {
    /// The command, unless it is absent or blank.
    #[must_use]
    pub fn process(&self) -> Option<&str> {
        self.env_process.as_deref().filter(|command| !command.trim().is_empty())
    }

    /// The value of an annotation, if it is there.
    #[must_use]
    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.annotations.as_ref()?.get(key).map(String::as_str)
    }
}

/// A function to remove: the body of `DELETE` of [`FUNCTIONS`](crate::paths::FUNCTIONS).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Removal {
    /// Its name.
    pub function_name: String,
    /// Its namespace; that of the gateway if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
}

/// The number of containers that a function should have: the body of [`SCALE`](crate::paths::SCALE).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scaling {
    /// The number.
    pub replicas: u32,
}
