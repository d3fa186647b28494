//! The steps of a described flow.

use serde::{Deserialize, Serialize};

/// One step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct StepDescription {
    /// The number of the step in the flow, from 1. Steps of flows inside the flow are included, depth first.
    pub number: usize,
    /// The name of the step in messages.
    pub name: String,
    /// What it does.
    #[serde(flatten)]
    pub action: ActionDescription,
}

/// What a step does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
#[non_exhaustive]
pub enum ActionDescription {
    /// Calls a function.
    Call {
        /// Its name.
        function: String,
        /// Whether it is called within the phase of the step before.
        sync: bool,
        /// How it is sent.
        #[serde(flatten)]
        request: RequestDescription,
    },
    /// Runs inline code.
    Modifier,
    /// Sends the payload to a URL.
    Callback {
        /// The URL without its query, which may hold secrets.
        url: String,
        /// How it is sent.
        #[serde(flatten)]
        request: RequestDescription,
    },
}

/// How a call or callback is sent. Values of headers and query are left out: they may be secrets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RequestDescription {
    /// The method, if one is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// The names of the headers that it sends.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<String>,
    /// The keys of the query.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub query: Vec<String>,
    /// How long one attempt may take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<String>,
    /// The maximum number of attempts, if there is more than one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts: Option<u32>,
    /// Whether the step has a failure handler of its own.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub on_failure: bool,
    /// Whether the step reads the answer itself.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub on_response: bool,
}
