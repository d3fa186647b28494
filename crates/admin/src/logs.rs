//! What functions log.

use serde::{Deserialize, Serialize};

/// A header of the answer of [`LOGS`](crate::paths::LOGS): the functions of which earlier lines are not kept any more, with
/// commas between. Of a request, only those whose lines may have been among them. Gateways of OpenFaaS do not have it.
pub const LOG_DROPPED: &str = "x-faasflow-log-dropped";

/// A line of a log: the answer of [`LOGS`](crate::paths::LOGS) has one of these in each of its lines.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LogLine {
    /// What wrote it: the name of the function at Faasflow, of a pod elsewhere.
    pub instance: String,
    /// The function.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// The request that it is of, where that is known; never at gateways of OpenFaaS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// The line, without its end.
    pub text: String,
    /// When it was written, as in RFC 3339.
    pub timestamp: String,
}
