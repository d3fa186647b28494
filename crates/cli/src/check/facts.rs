//! What is known of a gateway and of flows. Judging it needs nothing else.

use std::collections::BTreeMap;
use std::time::Duration;

use faasflow_core::description::Description;
use faasflow_runtime::Config;
use faasflow_runtime::config::SettingFault;
use http::StatusCode;

/// What the gateway answered to one question.
#[derive(Clone, Debug)]
pub(super) enum Answered<T> {
    Known(T),
    /// It does not tell us: 401 or 403.
    Forbidden(StatusCode),
    /// Nothing that could be understood; this is what came instead.
    Unclear(String),
}

impl<T> Answered<T> {
    pub(super) fn map<U>(self, with: impl FnOnce(T) -> U) -> Answered<U> {
        match self {
            Answered::Known(value) => Answered::Known(with(value)),
            Answered::Forbidden(status) => Answered::Forbidden(status),
            Answered::Unclear(what) => Answered::Unclear(what),
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
    /// The gateway says so.
    Said,
    /// The command line says so.
    Given,
    /// Nobody says so: it is OpenFaaS's default. Nothing that rests on it is an error.
    Assumed,
}

/// A gateway.
#[derive(Clone, Debug)]
pub(super) struct GatewayFacts {
    pub(super) url: String,
    /// Whether it was asked with user and password.
    pub(super) credentials: bool,
    /// Whether it is the one of `faasflow up`.
    pub(super) local: bool,
    /// The functions of its default namespace.
    pub(super) functions: Answered<Vec<Deployed>>,
    /// Those of other namespaces that flows call into.
    pub(super) elsewhere: BTreeMap<String, Answered<Vec<Deployed>>>,
    /// The names of the secrets.
    pub(super) secrets: Answered<Vec<String>>,
    /// How long it waits for a function.
    pub(super) timeout: Limit<Duration>,
    /// The largest asynchronous body, in bytes.
    pub(super) queue_limit: Limit<u64>,
    /// How long its queue waits for a call before it delivers it again. What `faasflow up` has does not do that.
    pub(super) ack_wait: Limit<Duration>,
}

/// A function that is deployed.
#[derive(Clone, Debug)]
pub(super) struct Deployed {
    pub(super) name: String,
    /// How many replicas could answer, where the gateway says.
    pub(super) available: Option<u64>,
    /// Its environment, where the gateway says.
    pub(super) environment: BTreeMap<String, String>,
}

/// A flow of the stack.
#[derive(Clone, Debug)]
pub(super) struct FlowFacts {
    /// Its name in the stack.
    pub(super) name: String,
    /// All names in the stack.
    pub(super) stack: Vec<String>,
    /// The settings that it would start with, or everything that is wrong with them.
    pub(super) settings: Result<Config, Vec<SettingFault>>,
    /// Variables that look like settings misspelt, as messages.
    pub(super) typos: Vec<String>,
    /// Whether its image is made by the template of this project, which sets what the watchdog reads.
    pub(super) of_template: bool,
    /// Its environment in the stack.
    pub(super) environment: BTreeMap<String, String>,
    /// The secrets it names.
    pub(super) secrets: Vec<String>,
    /// Its definition.
    pub(super) description: Description,
    /// Whether the gateway has a queue for it; `None` if it needs none.
    pub(super) queue: Option<Answered<bool>>,
    /// What is deployed under its name; `None` if nothing is, or that is not known.
    pub(super) deployed: Option<Answered<Running>>,
}

/// What answers under the name of a flow.
#[derive(Clone, Debug)]
pub(super) enum Running {
    Flow(Description),
    /// It describes itself as no flow.
    Other,
}

impl FlowFacts {
    pub(super) fn phases(&self) -> usize {
        self.description.phases.len()
    }

    /// Whether it goes through the queue, in envelopes.
    pub(super) fn has_several_phases(&self) -> bool {
        self.phases() > 1
    }
}
