//! The log lines of functions.

use serde::{Deserialize, Serialize};

/// A header of the answer of [`LOGS`](crate::paths::LOGS): the functions whose earlier lines were dropped, separated by commas.
/// If the lines of a request were asked for, it lists only functions whose dropped lines may belong to that request. Gateways of
/// OpenFaaS do not send it.
pub const LOG_DROPPED: &str = "x-faasflow-log-dropped";

/// A header of the answer of [`LOGS`](crate::paths::LOGS) to a query with `place`: how many earlier lines of the place the answer does not
/// have, because of `tail`.
pub const LOG_LEFT_OUT: &str = "x-faasflow-log-left-out";

/// A log line. Each line of the answer of [`LOGS`](crate::paths::LOGS) is one of these, as JSON.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct LogLine {
    /// The name of the function at Faasflow; at OpenFaaS, the name of the pod.
    pub instance: String,
    /// The function.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// The id of the request that it belongs to, if that is known. Gateways of OpenFaaS never send it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// The text of the line, without the line break.
    pub text: String,
    /// When it was written, in RFC 3339.
    pub timestamp: String,
}
