//! Facts about a gateway and about flows: the input of the rules.

use std::collections::BTreeMap;
use std::time::Duration;

use faasflow_core::description::Description;
use faasflow_runtime::Config;
use faasflow_runtime::config::SettingFault;
use http::StatusCode;

/// The answer of the gateway to one question.
#[derive(Clone, Debug)]
pub(super) enum Reply<T> {
    Known(T),
    /// It refused to answer: 401 or 403.
    Forbidden(StatusCode),
    /// The answer could not be understood; the text describes it.
    Unclear(String),
}

impl<T> Reply<T> {
    pub(super) fn map<U>(self, with: impl FnOnce(T) -> U) -> Reply<U> {
        match self {
            Reply::Known(value) => Reply::Known(with(value)),
            Reply::Forbidden(status) => Reply::Forbidden(status),
            Reply::Unclear(what) => Reply::Unclear(what),
        }
    }
}

/// A limit of the gateway.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limit<T> {
    pub(super) value: T,
    pub(super) origin: Origin,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// The gateway reports it.
    Reported,
    /// The command line sets it.
    Given,
    /// Unknown, so OpenFaaS's default is assumed. Findings that rest on it are warnings, not errors.
    Assumed,
}

/// A gateway.
#[derive(Clone, Debug)]
pub(super) struct GatewayFacts {
    pub(super) url: String,
    /// Whether requests have a user and a password.
    pub(super) credentials: bool,
    /// Whether it is the one of `faasflow up`.
    pub(super) local: bool,
    /// The functions of its default namespace.
    pub(super) functions: Reply<Vec<Deployed>>,
    /// The functions of other namespaces that flows call.
    pub(super) elsewhere: BTreeMap<String, Reply<Vec<Deployed>>>,
    /// The names of the secrets.
    pub(super) secrets: Reply<Vec<String>>,
    /// How long it waits for a function.
    pub(super) timeout: Limit<Duration>,
    /// The largest asynchronous body, in bytes.
    pub(super) queue_limit: Limit<u64>,
    /// How long its queue waits for a call before it delivers it again. The queue of `faasflow up` never does.
    pub(super) ack_wait: Limit<Duration>,
}

/// A function that is deployed.
#[derive(Clone, Debug)]
pub(super) struct Deployed {
    pub(super) name: String,
    /// How many replicas could answer, if the gateway reports it.
    pub(super) available: Option<u64>,
    /// Its environment, if the gateway reports it.
    pub(super) environment: BTreeMap<String, String>,
}

/// A flow of the stack.
#[derive(Clone, Debug)]
pub(super) struct FlowFacts {
    /// Its name in the stack.
    pub(super) name: String,
    /// All names in the stack.
    pub(super) stack: Vec<String>,
    /// The settings it would start with, or all faults in them.
    pub(super) settings: Result<Config, Vec<SettingFault>>,
    /// Messages about variables that look like misspelled settings.
    pub(super) typos: Vec<String>,
    /// Whether its image is built from the template of this project, which sets the variables of the watchdog.
    pub(super) of_template: bool,
    /// Its environment in the stack.
    pub(super) environment: BTreeMap<String, String>,
    /// The secrets it names.
    pub(super) secrets: Vec<String>,
    /// Its definition.
    pub(super) description: Description,
    /// Whether the gateway has a queue for it; `None` if it does not need one.
    pub(super) queue: Option<Reply<bool>>,
    /// The function deployed under its name; `None` if there is none, or if that is not known.
    pub(super) deployed: Option<Reply<Running>>,
}

/// What is deployed under the name of a flow.
#[derive(Clone, Debug)]
pub(super) enum Running {
    Flow(Description),
    /// A function that is not a flow.
    Other,
}

impl FlowFacts {
    pub(super) fn phases(&self) -> usize {
        self.description.phases().len()
    }

    /// Whether its requests go through the queue, in envelopes.
    pub(super) fn has_several_phases(&self) -> bool {
        self.phases() > 1
    }
}
