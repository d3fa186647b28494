//! Asks a gateway and builds flows. Nothing is changed anywhere, and every question is a GET. Of functions only one
//! that has the name of a flow sees any: a flow answers with its definition, anything else is invoked by it. Only a
//! GET goes to the queue's route too, which takes nothing but POST.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use faasflow_admin::{FunctionStatus, Info, SecretName, paths};
use faasflow_core::code;
use faasflow_core::description::{ActionDescription, Description};
use faasflow_core::duration;
use faasflow_gateway::Stack;
use faasflow_gateway::stack::{FunctionSpec, Kind};
use faasflow_runtime::Config;
use http::{HeaderMap, Method, StatusCode};
use serde::de::DeserializeOwned;

use super::facts::{Answered, Deployed, FlowFacts, GatewayFacts, Limit, Origin, Running};
use super::rules::functions::split;
use crate::args::Check;
use crate::client::{Answer, Client};
use crate::error::Failure;
use crate::{config, graph};

/// How long the gateway may take for one answer.
const PATIENCE: Duration = Duration::from_secs(20);
/// What OpenFaaS's gateway waits for a function, unless it is configured.
const TIMEOUT: Duration = Duration::from_secs(60);
/// What the queue of OpenFaaS's community edition takes, in bytes.
const QUEUE_LIMIT: u64 = 256_000;
/// How long OpenFaaS's queue worker waits for a call, unless it is configured.
const ACK_WAIT: Duration = Duration::from_secs(30);

/// Everything that is to be judged.
pub(super) async fn gather(check: &Check, stack: &Stack) -> Result<(GatewayFacts, Vec<FlowFacts>), Failure> {
    let specs = config::flows(stack, check.flow.as_deref())?;
    let asking = Asking::new(check)?;
    // A gateway that is not there is said before anything is built.
    let info = asking.json::<Info>(paths::INFO).await?;
    let mut flows = Vec::new();
    for spec in specs {
        flows.push(flow(spec, stack).await?);
    }

    let functions = asking.functions(None).await?;
    let mut elsewhere = BTreeMap::new();
    for namespace in namespaces(&flows) {
        let functions = asking.functions(Some(&namespace)).await?;
        elsewhere.insert(namespace, functions);
    }
    for flow in &mut flows {
        if flow.has_several_phases() {
            flow.queue = Some(asking.queue(&flow.name).await?);
        }
        flow.deployed = asking.deployed(&flow.name, &functions).await;
    }
    let said = match info {
        Answered::Known(info) => info,
        _ => Info::default(),
    };
    let limits = said.limits.unwrap_or_default();
    let timeout = limits.upstream_timeout.and_then(|text| duration::parse(&text).ok());
    let gateway = GatewayFacts {
        url: asking.client.base().to_owned(),
        credentials: asking.client.has_credentials(),
        local: said.provider.provider == "faasflow",
        functions,
        elsewhere,
        secrets: asking.secrets().await?,
        timeout: limit(check.gateway_timeout, timeout, TIMEOUT),
        queue_limit: limit(check.queue_limit, limits.async_body, QUEUE_LIMIT),
        ack_wait: limit(check.ack_wait, None, ACK_WAIT),
    };
    Ok((gateway, flows))
}

/// The command line goes first: it knows of what may stand before the gateway, such as an ingress.
fn limit<T>(given: Option<T>, said: Option<T>, assumed: T) -> Limit<T> {
    match (given, said) {
        (Some(value), _) => Limit { value, origin: Origin::Given },
        (None, Some(value)) => Limit { value, origin: Origin::Said },
        (None, None) => Limit { value: assumed, origin: Origin::Assumed },
    }
}

async fn flow(spec: &FunctionSpec, stack: &Stack) -> Result<FlowFacts, Failure> {
    let Kind::Cargo(project) = &spec.kind else {
        let what = format!("`{}` is not built by cargo here, so its definition cannot be read", spec.name);
        return Err(Failure::unusable(code::NO_DESCRIPTION, what)
            .help("give it a `handler` that is a cargo project, or name another flow with `--flow`"));
    };
    let json = graph::describe(project).await?;
    let description: Description = serde_json::from_slice(&json).map_err(|error| {
        let what = format!("the program of `{}` does not describe a flow", spec.name);
        Failure::unusable(code::NO_DESCRIPTION, what).because(&error)
    })?;
    Ok(FlowFacts {
        name: spec.name.clone(),
        stack: stack.functions.keys().cloned().collect(),
        settings: Config::load(|name| config::lookup(spec, name)).map_err(|error| error.faults().to_vec()),
        typos: config::typos(spec),
        of_template: spec.is_flow(),
        environment: spec.environment.clone(),
        secrets: spec.secrets.clone(),
        description,
        queue: None,
        deployed: None,
    })
}

/// The namespaces that calls name.
fn namespaces(flows: &[FlowFacts]) -> BTreeSet<String> {
    let steps = flows.iter().flat_map(|flow| &flow.description.phases).flat_map(|phase| &phase.steps);
    let calls = steps.filter_map(|step| match &step.action {
        ActionDescription::Call { function, .. } => split(function).1,
        _ => None,
    });
    calls.map(str::to_owned).collect()
}

struct Asking {
    client: Client,
}

impl Asking {
    fn new(check: &Check) -> Result<Asking, Failure> {
        Ok(Asking { client: Client::new(&check.gateway)? })
    }

    async fn ask(&self, path: &str) -> Result<Answer, Failure> {
        let answer = self.client.send(Method::GET, path, HeaderMap::new(), Bytes::new());
        tokio::time::timeout(PATIENCE, answer).await.unwrap_or_else(|_| {
            let what = format!("the gateway has not answered GET {path} within {PATIENCE:?}");
            Err(Failure::unreachable(code::NO_GATEWAY, what).help("check that the address is that of a gateway"))
        })
    }

    async fn json<T: DeserializeOwned>(&self, path: &str) -> Result<Answered<T>, Failure> {
        let answer = self.ask(path).await?;
        Ok(match answer.status {
            status @ (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => Answered::Forbidden(status),
            status if status.is_success() => match serde_json::from_slice(&answer.body) {
                Ok(value) => Answered::Known(value),
                Err(error) if error.is_data() => {
                    Answered::Unclear(format!("GET {path} answered something else: {error}"))
                }
                Err(_) => Answered::Unclear(format!("GET {path} answered no JSON")),
            },
            _ => unclear(path, &answer),
        })
    }

    async fn functions(&self, namespace: Option<&str>) -> Result<Answered<Vec<Deployed>>, Failure> {
        let query = namespace.map(|namespace| format!("?namespace={namespace}")).unwrap_or_default();
        let deployed = |function: FunctionStatus| {
            // Some providers know of one namespace, and list it whichever is asked for.
            let of = function.namespace.as_deref().unwrap_or_default();
            if function.name.is_empty() || namespace.is_some_and(|asked| !of.is_empty() && of != asked) {
                return None;
            }
            let environment = function.env_vars.unwrap_or_default();
            Some(Deployed { name: function.name, available: function.available_replicas, environment })
        };
        // Go writes an empty list as null.
        let listed = |list: Option<Vec<FunctionStatus>>| list.into_iter().flatten().filter_map(deployed).collect();
        Ok(self.json(&format!("{}{query}", paths::FUNCTIONS)).await?.map(listed))
    }

    async fn secrets(&self) -> Result<Answered<Vec<String>>, Failure> {
        let listed = |list: Option<Vec<SecretName>>| {
            list.into_iter().flatten().map(|secret| secret.name).filter(|name| !name.is_empty()).collect()
        };
        Ok(self.json(paths::SECRETS).await?.map(listed))
    }

    /// Whether the gateway has the route of the queue. It is for POST, so a GET invokes nothing and queues nothing:
    /// 405 where the route is, 404 where the gateway runs without a queue.
    async fn queue(&self, flow: &str) -> Result<Answered<bool>, Failure> {
        let path = format!("/async-function/{flow}");
        let answer = self.ask(&path).await?;
        Ok(match answer.status {
            StatusCode::METHOD_NOT_ALLOWED => Answered::Known(true),
            StatusCode::NOT_FOUND => Answered::Known(false),
            status @ (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => Answered::Forbidden(status),
            _ => unclear(&path, &answer),
        })
    }

    /// The definition that is deployed. Asked only of what is known to be there and up: it is not to be started for
    /// this, and an answer that does not come is no reason to end here.
    async fn deployed(&self, flow: &str, functions: &Answered<Vec<Deployed>>) -> Option<Answered<Running>> {
        let Answered::Known(functions) = functions else { return None };
        functions.iter().find(|function| function.name == flow && function.available != Some(0))?;
        let path = format!("/function/{flow}/_/flow");
        Some(match self.ask(&path).await {
            Ok(answer) if answer.status.is_success() => {
                Answered::Known(serde_json::from_slice(&answer.body).map_or(Running::Other, Running::Flow))
            }
            Ok(answer) if answer.status == StatusCode::NOT_FOUND => Answered::Known(Running::Other),
            Ok(answer) => unclear(&path, &answer),
            Err(failure) => Answered::Unclear(failure.to_string()),
        })
    }
}

/// Findings are one line each, and an answer may be a page of HTML.
fn unclear<T>(path: &str, answer: &Answer) -> Answered<T> {
    let body = String::from_utf8_lossy(&answer.body);
    let line: String = body.trim().lines().next().unwrap_or_default().trim_end().chars().take(120).collect();
    let said = if line.is_empty() { String::new() } else { format!(" ({line})") };
    Answered::Unclear(format!("GET {path} answered {}{said}", answer.status))
}
