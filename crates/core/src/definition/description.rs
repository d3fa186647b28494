//! A flow as data, for `describe`, `GET /_/flow` and drawings.

use serde::{Deserialize, Serialize};

use crate::duration;

use super::flow::Flow;
use super::options::RequestOptions;
use super::step::{Action, Step};

/// A flow as data. `<flow> describe` prints it as JSON, and `GET /_/flow` answers with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Description {
    /// The name under which the flow is deployed.
    pub name: String,
    /// Changes when the shape of the flow does.
    pub fingerprint: String,
    /// The phases, in order.
    pub phases: Vec<PhaseDescription>,
    /// Where state lives: `envelope`, or the name of the state manager.
    pub state: String,
    /// Whether there is a failure handler.
    pub on_failure: bool,
    /// Whether there is a finaliser.
    pub finally: bool,
}

/// One phase.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PhaseDescription {
    /// The number of the phase, from 1.
    pub number: usize,
    /// Its steps, in order.
    pub steps: Vec<StepDescription>,
}

/// One step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct StepDescription {
    /// The number of the step in the flow, from 1.
    pub number: usize,
    /// The step as messages name it.
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

impl Description {
    /// Describes a flow deployed as `name`.
    #[must_use]
    pub fn new(flow: &Flow, name: &str) -> Description {
        let phases = flow.plan().segments().map(|segment| PhaseDescription {
            number: segment.place().phase(),
            steps: segment.steps().map(|step| step_description(step.number(), flow.step(step))).collect(),
        });
        Description {
            name: name.to_owned(),
            fingerprint: flow.plan().fingerprint().to_string(),
            phases: phases.collect(),
            state: flow.state_manager().map_or("envelope", |manager| manager.name()).to_owned(),
            on_failure: flow.failure_handler().is_some(),
            finally: flow.finaliser().is_some(),
        }
    }
}

fn step_description(number: usize, step: &Step) -> StepDescription {
    let action = match step.action() {
        Action::Modify(_) => ActionDescription::Modifier,
        Action::Call(call) => ActionDescription::Call {
            function: call.function().to_owned(),
            sync: call.is_sync(),
            request: request_description(call.options()),
        },
        Action::Callback(callback) => ActionDescription::Callback {
            url: without_query(callback.url()),
            request: request_description(callback.options()),
        },
    };
    StepDescription { number, name: step.name().to_string(), action }
}

fn request_description(options: &RequestOptions) -> RequestDescription {
    RequestDescription {
        method: options.method().map(ToString::to_string),
        headers: options.headers.iter().map(|(name, _)| name.to_string()).collect(),
        query: options.query.iter().map(|(key, _)| key.clone()).collect(),
        timeout: options.timeout().map(duration::format),
        attempts: Some(options.retry().max_attempts()).filter(|&attempts| attempts > 1),
        on_failure: options.on_failure().is_some(),
        on_response: options.on_response().is_some(),
    }
}

fn without_query(url: &http::Uri) -> String {
    let text = url.to_string();
    text.split('?').next().unwrap_or_default().to_owned()
}
