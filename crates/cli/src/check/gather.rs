//! Asks a gateway and builds flows, without changing anything: every request is a GET. The only functions that receive
//! one are those with the name of a flow. A flow answers with its definition; any other function is invoked by it. The
//! queue's route accepts only POST, so a GET there queues nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use faasflow_admin::{FunctionStatus, Info, SecretName, paths};
use faasflow_core::code;
use faasflow_core::description::{ActionDescription, Description, DescriptionError};
use faasflow_core::duration;
use faasflow_gateway::Stack;
use faasflow_gateway::stack::{FunctionSpec, Kind};
use faasflow_runtime::Config;
use http::{HeaderMap, Method, StatusCode};
use serde::de::DeserializeOwned;

use super::facts::{Deployed, FlowFacts, GatewayFacts, Limit, Origin, Reply, Running};
use super::rules::functions::split;
use crate::args::Check;
use crate::client::{Answer, Client};
use crate::error::Failure;
use crate::{config, graph};

/// How long the gateway may take for one answer.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long OpenFaaS's gateway waits for a function by default.
const TIMEOUT: Duration = Duration::from_secs(60);
/// The largest body that the queue of OpenFaaS's community edition accepts, in bytes.
const QUEUE_LIMIT: u64 = 256_000;
/// How long OpenFaaS's queue worker waits for a call by default.
const ACK_WAIT: Duration = Duration::from_secs(30);

/// Collects everything that the rules need.
pub(super) async fn gather(check: &Check, stack: &Stack) -> Result<(GatewayFacts, Vec<FlowFacts>), Failure> {
    let specs = config::flows(stack, check.flow.as_deref())?;
    let asking = Questions::new(check)?;
    // Report an unreachable gateway before anything is built.
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
    let info = match info {
        Reply::Known(info) => info,
        _ => Info::default(),
    };
    let limits = info.limits.unwrap_or_default();
    let timeout = limits.upstream_timeout.and_then(|text| duration::parse(&text).ok());
    let gateway = GatewayFacts {
        url: asking.client.base().to_owned(),
        credentials: asking.client.has_credentials(),
        local: info.provider.provider == "faasflow",
        functions,
        elsewhere,
        secrets: asking.secrets().await?,
        timeout: limit(check.gateway_timeout, timeout, TIMEOUT),
        queue_limit: limit(check.queue_limit, limits.async_body, QUEUE_LIMIT),
        ack_wait: limit(check.ack_wait, None, ACK_WAIT),
    };
    Ok((gateway, flows))
}

/// The command line wins over the gateway, because a proxy in front of the gateway may have other limits.
fn limit<T>(given: Option<T>, reported: Option<T>, assumed: T) -> Limit<T> {
    match (given, reported) {
        (Some(value), _) => Limit { value, origin: Origin::Given },
        (None, Some(value)) => Limit { value, origin: Origin::Reported },
        (None, None) => Limit { value: assumed, origin: Origin::Assumed },
    }
}

async fn flow(spec: &FunctionSpec, stack: &Stack) -> Result<FlowFacts, Failure> {
    let Kind::Cargo(project) = &spec.kind else {
        let what = format!("the definition of `{}` cannot be read, because cargo does not build it here", spec.name);
        return Err(Failure::unusable(code::NO_DESCRIPTION, what)
            .help("set its `handler` to the folder of a cargo project, or name another flow with `--flow`"));
    };
    let described = graph::describe(project).await?;
    let empty = "it printed nothing when it was run with the argument `describe`";
    let description = graph::read(&described.json, &format!("the program of `{}`", spec.name), empty)?;
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

/// The namespaces that flows call functions in.
fn namespaces(flows: &[FlowFacts]) -> BTreeSet<String> {
    let steps = flows.iter().flat_map(|flow| flow.description.steps());
    let calls = steps.filter_map(|step| match &step.action {
        ActionDescription::Call { function, .. } => split(function).1,
        _ => None,
    });
    calls.map(str::to_owned).collect()
}

struct Questions {
    client: Client,
}

impl Questions {
    fn new(check: &Check) -> Result<Questions, Failure> {
        Ok(Questions { client: Client::new(&check.gateway)? })
    }

    async fn ask(&self, path: &str) -> Result<Answer, Failure> {
        let answer = self.client.send(Method::GET, path, HeaderMap::new(), Bytes::new());
        tokio::time::timeout(PATIENCE, answer).await.unwrap_or_else(|_| {
            let what = format!("the gateway did not answer GET {path} within {PATIENCE:?}");
            Err(Failure::unreachable(code::NO_GATEWAY, what).help("check that `--gateway` is the address of a gateway"))
        })
    }

    async fn json<T: DeserializeOwned>(&self, path: &str) -> Result<Reply<T>, Failure> {
        let answer = self.ask(path).await?;
        Ok(match answer.status {
            status @ (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => Reply::Forbidden(status),
            status if status.is_success() => match serde_json::from_slice(&answer.body) {
                Ok(value) => Reply::Known(value),
                Err(error) if error.is_data() => {
                    Reply::Unclear(format!("the answer to GET {path} has unexpected content: {error}"))
                }
                Err(_) => Reply::Unclear(format!("the answer to GET {path} is not JSON")),
            },
            _ => unclear(path, &answer),
        })
    }

    async fn functions(&self, namespace: Option<&str>) -> Result<Reply<Vec<Deployed>>, Failure> {
        let query = namespace.map(|namespace| format!("?namespace={namespace}")).unwrap_or_default();
        let deployed = |function: FunctionStatus| {
            // Some providers have only one namespace, and list it for any name.
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

    async fn secrets(&self) -> Result<Reply<Vec<String>>, Failure> {
        let listed = |list: Option<Vec<SecretName>>| {
            list.into_iter().flatten().map(|secret| secret.name).filter(|name| !name.is_empty()).collect()
        };
        Ok(self.json(paths::SECRETS).await?.map(listed))
    }

    /// Whether the gateway has the route of the queue. The route accepts only POST, so a GET queues nothing: the answer
    /// is 405 if there is a queue, and 404 otherwise.
    async fn queue(&self, flow: &str) -> Result<Reply<bool>, Failure> {
        let path = format!("/async-function/{flow}");
        let answer = self.ask(&path).await?;
        Ok(match answer.status {
            StatusCode::METHOD_NOT_ALLOWED => Reply::Known(true),
            StatusCode::NOT_FOUND => Reply::Known(false),
            status @ (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => Reply::Forbidden(status),
            _ => unclear(&path, &answer),
        })
    }

    /// The definition that is deployed. Only asked of a function that is known to be up, so that asking does not start
    /// it. If it does not answer, the check goes on.
    async fn deployed(&self, flow: &str, functions: &Reply<Vec<Deployed>>) -> Option<Reply<Running>> {
        let Reply::Known(functions) = functions else { return None };
        functions.iter().find(|function| function.name == flow && function.available != Some(0))?;
        let path = format!("/function/{flow}/_/flow");
        Some(match self.ask(&path).await {
            Ok(answer) if answer.status.is_success() => Reply::Known(match Description::from_json(&answer.body) {
                Ok(description) => Running::Flow(description),
                Err(error @ DescriptionError::Newer { .. }) => return Some(Reply::Unclear(error.to_string())),
                Err(_) => Running::Other,
            }),
            Ok(answer) if answer.status == StatusCode::NOT_FOUND => Reply::Known(Running::Other),
            Ok(answer) => unclear(&path, &answer),
            Err(failure) => Reply::Unclear(failure.to_string()),
        })
    }
}

/// Shortens an answer, which may be a page of HTML, to one line.
fn unclear<T>(path: &str, answer: &Answer) -> Reply<T> {
    let body = String::from_utf8_lossy(&answer.body);
    let line: String = body.trim().lines().next().unwrap_or_default().trim_end().chars().take(120).collect();
    let detail = if line.is_empty() { String::new() } else { format!(" ({line})") };
    Reply::Unclear(format!("GET {path} was answered with {}{detail}", answer.status))
}
