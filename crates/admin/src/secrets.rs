//! The secrets of functions. No answer contains their values.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A secret: the body of `POST`, `PUT` and `DELETE` of [`SECRETS`](crate::paths::SECRETS).
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Secret {
    /// Its name.
    pub name: String,
    /// Its namespace; that of the gateway if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// The value, as text. `DELETE` ignores it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// The value, in Base64. If both are given, this one is used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub raw_value: Option<String>,
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Secret").field("name", &self.name).finish_non_exhaustive()
    }
}

/// The name of a secret: the answer of `GET` of [`SECRETS`](crate::paths::SECRETS) is a list of these.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct SecretName {
    /// The name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
}
