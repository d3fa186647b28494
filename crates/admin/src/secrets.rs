//! The secrets of functions. What is in them is never told.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A secret: the body of `POST`, `PUT` and `DELETE` of [`SECRETS`](crate::paths::SECRETS).
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Secret {
    /// Its name.
    pub name: String,
    /// Its namespace; the gateway's own, where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// What is in it, as text. `DELETE` does not look at it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// What is in it, in Base64. If both are there, this one counts.
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
pub struct SecretName {
    /// The name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
}
