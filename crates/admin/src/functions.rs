//! The functions of a gateway.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

/// A function as it is: the answer of [`FUNCTION`](crate::paths::FUNCTION), and that of
/// [`FUNCTIONS`](crate::paths::FUNCTIONS) is a list of these.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct FunctionStatus {
    /// Its annotations.
    #[serde(deserialize_with = "texts")]
    pub annotations: Option<BTreeMap<String, String>>,
    /// Replicas that accept requests now.
    pub available_replicas: Option<u64>,
    /// The constraints that it was deployed with, which do nothing at Faasflow. Absent if there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub constraints: Option<Vec<String>>,
    /// When it was first deployed, in RFC 3339.
    pub created_at: Option<String>,
    /// The command that it runs, as it was written. Absent if there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub env_process: Option<String>,
    /// Its environment. Absent if it is empty.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "texts")]
    pub env_vars: Option<BTreeMap<String, String>>,
    /// Its image; empty if it has none.
    pub image: Option<String>,
    /// How many requests it was called with since the gateway started.
    pub invocation_count: Option<u64>,
    /// Its labels, and its name as `faas_function`.
    #[serde(deserialize_with = "texts")]
    pub labels: Option<BTreeMap<String, String>>,
    /// The most memory and processor of each of its containers, as they were given. Absent if nothing was.
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
    /// The memory and processor that each of its containers is to have, as they were given. Absent if nothing was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests: Option<BTreeMap<String, Option<String>>>,
    /// The secrets that it may read. Absent if there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secrets: Option<Vec<String>>,
    /// What it uses. Absent if it was not asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
}

/// Reads a map of texts. Some providers tell numbers beside them, for which the rest is not given up.
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
        // Its environment may hold what is nobody's business.
        formatter.debug_struct("FunctionStatus").field("name", &self.name).finish_non_exhaustive()
    }
}

/// What a function uses now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Usage {
    /// What its process or its containers hold in memory, in bytes; 0 where that is not known.
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
    pub image: String,
    /// Its namespace; the gateway's own, where absent.
    pub namespace: Option<String>,
    /// The command that it runs.
    pub env_process: Option<String>,
    /// Its environment.
    pub env_vars: Option<BTreeMap<String, String>>,
    /// The secrets that it may read.
    pub secrets: Option<Vec<String>>,
    /// Its labels.
    pub labels: Option<BTreeMap<String, String>>,
    /// Its annotations.
    pub annotations: Option<BTreeMap<String, String>>,
    /// The most that each of its containers may use: an object with `memory`, such as `128Mi`, and `cpu`, such as `100m`.
    pub limits: Option<Value>,
    /// What each is to have when there is not enough for all; the same.
    pub requests: Option<Value>,
    /// Where it may run. Faasflow reports this back and otherwise ignores it.
    pub constraints: Option<Vec<String>>,
    /// Whether the root file system of its containers is read-only.
    pub read_only_root_filesystem: bool,
}

impl fmt::Debug for Deployment {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Deployment").field("service", &self.service).finish_non_exhaustive()
    }
}

impl Deployment {
    /// The command that was given, if one was that is not blank.
    #[must_use]
    pub fn process(&self) -> Option<&str> {
        self.env_process.as_deref().filter(|command| !command.trim().is_empty())
    }

    /// An annotation, if it was given.
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
    /// Its namespace; the gateway's own, where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
}

/// How many of a function there are to be: the body of [`SCALE`](crate::paths::SCALE).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scaling {
    /// How many.
    pub replicas: u32,
}
