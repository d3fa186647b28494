//! What a gateway says of itself.

use serde::{Deserialize, Serialize};

/// A gateway describes itself: the answer of [`INFO`](crate::paths::INFO).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Info {
    /// The processor architecture that it was built for, such as `x86_64`.
    pub arch: String,
    /// Its limits; `None` if the gateway is OpenFaaS's, which does not report them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limits: Option<Limits>,
    /// What runs its functions.
    #[serde(deserialize_with = "crate::null::as_default")]
    pub provider: Provider,
    /// The address of Jaeger's pages, where traces can be looked at; `None` if the gateway was not told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub traces: Option<String>,
    /// Its version.
    #[serde(deserialize_with = "crate::null::as_default")]
    pub version: Version,
}

/// A gateway that runs the functions of another gateway describes itself: the answer of [`INFO`](crate::paths::INFO) to a
/// request with `X-Forwarded-Host`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct ProviderInfo {
    /// Its limits; `None` if the provider is OpenFaaS's, which does not report them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limits: Option<Limits>,
    /// What runs the functions: `processes` at Faasflow.
    pub orchestration: String,
    /// Its name: `faasflow`.
    pub provider: String,
    /// Its version.
    #[serde(deserialize_with = "crate::null::as_default")]
    pub version: Version,
}

/// What runs a gateway's functions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Provider {
    /// What runs the functions: `processes` at Faasflow.
    pub orchestration: String,
    /// Its name: `faasflow`.
    pub provider: String,
    /// Its version.
    #[serde(deserialize_with = "crate::null::as_default")]
    pub version: Version,
}

/// A version.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Version {
    /// The message of the commit; empty at Faasflow.
    pub commit_message: String,
    /// The version, such as `0.1.0`.
    pub release: String,
    /// The commit that the program was built from, or `unknown`.
    pub sha: String,
}

/// The limits of a gateway.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[non_exhaustive]
pub struct Limits {
    /// The largest body of an asynchronous call, in bytes.
    pub async_body: Option<u64>,
    /// How long a function may take to begin its answer: a duration with its unit, such as `60s` or `1m30s500ms`.
    pub upstream_timeout: Option<String>,
}
