//! What a gateway is.

use serde::{Deserialize, Deserializer, Serialize};

/// What a gateway is: the answer of [`INFO`](crate::paths::INFO).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Info {
    /// The processor that it was built for, such as `x86_64`.
    pub arch: String,
    /// Its limits; `None` if the gateway is OpenFaaS's, which does not report them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limits: Option<Limits>,
    /// What runs its functions.
    #[serde(deserialize_with = "null_is_nothing")]
    pub provider: Provider,
    /// Its version.
    #[serde(deserialize_with = "null_is_nothing")]
    pub version: Version,
}

/// What a gateway is that runs the functions of another one: the answer of [`INFO`](crate::paths::INFO) to a request with
/// `X-Forwarded-Host`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ProviderInfo {
    /// What it takes; `None` at providers of OpenFaaS, which do not tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limits: Option<Limits>,
    /// What runs the functions: `processes` at Faasflow.
    pub orchestration: String,
    /// Its name: `faasflow`.
    pub provider: String,
    /// Its version.
    #[serde(deserialize_with = "null_is_nothing")]
    pub version: Version,
}

/// What runs a gateway's functions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Provider {
    /// What runs the functions: `processes` at Faasflow.
    pub orchestration: String,
    /// Its name: `faasflow`.
    pub provider: String,
    /// Its version.
    #[serde(deserialize_with = "null_is_nothing")]
    pub version: Version,
}

/// A version.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Version {
    /// The message of the commit; empty at Faasflow.
    pub commit_message: String,
    /// The version, such as `0.1.0`.
    pub release: String,
    /// The commit that the program was built from, or `unknown`.
    pub sha: String,
}

/// What a gateway takes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Limits {
    /// The largest body of an asynchronous call, in bytes.
    pub async_body: Option<u64>,
    /// How long a function may take until it begins to answer: a duration with its unit, such as `60s` or `1m30s500ms`.
    pub upstream_timeout: Option<String>,
}

/// Go writes what is not known as null.
fn null_is_nothing<'a, T: Deserialize<'a> + Default, D: Deserializer<'a>>(from: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}
