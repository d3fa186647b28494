//! The client of a flow's API about its requests.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use faasflow_admin::{FlowRequest, FunctionStatus, RequestList, RequestProblem, paths};
use faasflow_core::code::{self, Code};
use faasflow_core::counted;
use faasflow_core::headers::{SIGNATURE, SIGNED_AT};
use faasflow_core::names::HMAC_SECRET;
use faasflow_core::signature::{Keys, api_request};
use faasflow_gateway::Stack;
use faasflow_runtime::log::escaped;
use http::header::RETRY_AFTER;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode};
use hyper::body::Incoming;
use serde::de::DeserializeOwned;

use crate::client::{Answer, Client, error_code, is_own_answer, refused};
use crate::config;
use crate::error::Failure;
use crate::graph::NOT_A_FLOW;

const PREFER: HeaderName = HeaderName::from_static("prefer");

/// What to do at a gateway that does not sign.
const GIVE_KEY: &str = "only the gateway of `faasflow up` signs for its users: through another one, give the key of the flow, \
                        as in `--key @secrets/faasflow-hmac-secret`";

/// How long to wait before the next question if the flow names no time, and the longest time that it may name.
pub(super) const PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// The kind of a gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The gateway of `faasflow up`, which has the whole admin API.
    Local,
    /// Any other gateway, which has only OpenFaaS's part of it.
    OpenFaas,
}

/// How requests reach a flow.
enum Way {
    /// Through the admin API of the local gateway, which signs.
    System,
    /// As calls of the function, signed here.
    Signed(Arc<Keys>),
    /// As calls of the function, for what needs no signature.
    Unsigned,
}

/// The API of the flows behind a gateway.
pub(crate) struct FlowApi<'a> {
    pub(crate) client: &'a Client,
    way: Way,
}

/// Whether a function can have this name, so that it can be a part of a path. It may have a namespace, as in `upload.dev`.
pub(crate) fn is_name(name: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    !["", ".", ".."].contains(&name) && name.bytes().all(is_part)
}

impl<'a> FlowApi<'a> {
    /// With a key, requests are signed with it and go to the flow; otherwise, the local gateway signs them.
    pub(crate) fn new(client: &'a Client, keys: Option<impl Into<Arc<Keys>>>) -> FlowApi<'a> {
        FlowApi { client, way: keys.map_or(Way::System, |keys| Way::Signed(keys.into())) }
    }

    /// Only for the status and the result of a request.
    pub(crate) fn unsigned(client: &'a Client) -> FlowApi<'a> {
        FlowApi { client, way: Way::Unsigned }
    }

    /// The names of the flows of a stack file, or else of all flows of the gateway.
    pub(crate) async fn flows(&self, stack: Option<&Path>) -> Result<Vec<String>, Failure> {
        if let Some(path) = stack {
            let stack = Stack::read(path)?;
            return Ok(config::flows(&stack, None)?.into_iter().map(|spec| spec.name.clone()).collect());
        }
        Ok(self.flows_of_gateway().await?.1)
    }

    /// What kind of gateway it is, and the names of its flows. At OpenFaaS, other functions may be among them.
    pub(crate) async fn flows_of_gateway(&self) -> Result<(Kind, Vec<String>), Failure> {
        let answer = self.client.send(Method::GET, paths::FLOWS, HeaderMap::new(), Bytes::new()).await?;
        if answer.status != StatusCode::NOT_FOUND || error_code(&answer.headers).is_some() {
            return Ok((Kind::Local, self.client.read(&answer)?));
        }
        // OpenFaaS does not know which functions are flows, but which secrets they have.
        let functions: Vec<FunctionStatus> = self.client.json(Method::GET, paths::FUNCTIONS).await?;
        let has_key = |function: &FunctionStatus| {
            function.secrets.as_ref().is_some_and(|secrets| secrets.iter().any(|secret| secret == HMAC_SECRET))
        };
        let flows = functions.into_iter().filter(|function| has_key(function) && is_name(&function.name));
        Ok((Kind::OpenFaas, flows.map(|function| function.name).collect()))
    }

    /// Sends a request. `target` is what comes after `/_` in the path of the flow, with the query.
    pub(crate) async fn send(
        &self,
        method: Method,
        flow: &str,
        target: &str,
        wait: Option<u64>,
    ) -> Result<Answer, Failure> {
        let mut headers = HeaderMap::new();
        if let Some(seconds) = wait {
            let value = format!("wait={seconds}");
            headers.insert(PREFER, HeaderValue::try_from(value).expect("it has only ASCII characters"));
        }
        let (path, headers) = self.address(&method, flow, target, headers, b"");
        self.client.send(method, &path, headers, Bytes::new()).await
    }

    /// A page of the requests of a flow. `None` if it does not remember them, unless that is a failure because the command line names it.
    pub(super) async fn page(
        &self,
        flow: &str,
        mut query: form_urlencoded::Serializer<'static, String>,
        cursor: Option<&str>,
        is_named: bool,
    ) -> Result<Option<RequestList>, Failure> {
        query.extend_pairs(cursor.map(|cursor| ("cursor", cursor)));
        let answer = self.send(Method::GET, flow, &format!("/requests?{}", query.finish()), None).await?;
        if answer.status == StatusCode::NOT_IMPLEMENTED && !is_named {
            return Ok(None);
        }
        self.read(&answer, flow, "list its requests").map(Some)
    }

    /// Sends a request with these headers and this body, without reading the body of the answer.
    pub(crate) async fn open(
        &self,
        method: Method,
        flow: &str,
        target: &str,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Response<Incoming>, Failure> {
        let (path, headers) = self.address(&method, flow, target, headers, &body);
        self.client.open(method, &path, headers, body).await
    }

    /// The path of a request at the gateway, and its headers with the signature, if it has one.
    fn address(
        &self,
        method: &Method,
        flow: &str,
        target: &str,
        mut headers: HeaderMap,
        body: &[u8],
    ) -> (String, HeaderMap) {
        let path = match &self.way {
            Way::System => format!("/system/flows/{flow}{target}"),
            Way::Unsigned => format!("/function/{flow}/_{target}"),
            Way::Signed(keys) => {
                let signed_at = now_ms();
                let signed = api_request(flow, method.as_str(), &format!("/_{target}"), signed_at);
                headers.insert(SIGNED_AT, HeaderValue::from(signed_at));
                let signature = keys.sign([signed.as_bytes(), body]);
                headers.insert(SIGNATURE, HeaderValue::try_from(signature).expect("it is hexadecimal"));
                format!("/function/{flow}/_{target}")
            }
        };
        (path, headers)
    }

    /// Sends a request, and reads the answer. `what` is what the command wants, such as "list the requests of `upload`".
    pub(crate) async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        flow: &str,
        target: &str,
        what: &str,
    ) -> Result<T, Failure> {
        let answer = self.send(method, flow, target, None).await?;
        self.read(&answer, flow, what)
    }

    /// Reads an answer of a flow.
    pub(crate) fn read<T: DeserializeOwned>(&self, answer: &Answer, flow: &str, what: &str) -> Result<T, Failure> {
        if !answer.status.is_success() {
            return Err(self.refusal(answer, flow, what));
        }
        serde_json::from_slice(&answer.body).map_err(|error| {
            let text = format!("the answer of the function `{flow}` is not about requests");
            Failure::failed(code::UNEXPECTED_ANSWER, text).because(&error).help(NOT_A_FLOW)
        })
    }

    /// The error that an answer is.
    pub(crate) fn refusal(&self, answer: &Answer, flow: &str, what: &str) -> Failure {
        let (status, headers) = (answer.status, &answer.headers);
        let text = String::from_utf8_lossy(&answer.body);
        let by_gateway = matches!(self.way, Way::System) || is_own_answer(headers);
        let code = error_code(headers);
        if by_gateway && code == Some(code::UNKNOWN_FUNCTION) {
            return self.client.not_deployed(flow, &text);
        }
        if by_gateway && code == Some(code::NOT_A_FLOW) {
            return Failure::failed(code::NOT_A_FLOW, text.trim()).help(NOT_A_FLOW);
        }
        if is_own_answer(headers) {
            return refused(status, headers, &text);
        }
        if status == StatusCode::NOT_FOUND && code.is_none() {
            return self.no_api(flow);
        }
        // Those of the flow are about the signature, and have a code.
        if status == StatusCode::UNAUTHORIZED
            && code.is_none_or(|code| code == code::ACCESS_DENIED)
            && let Err(failure) = self.client.check(status, headers, &text)
        {
            return failure;
        }
        if code.is_none()
            && !is_problem(answer)
            && (status.is_client_error() || status == StatusCode::INTERNAL_SERVER_ERROR)
        {
            return not_a_flow(flow).because_text(reason(answer));
        }
        let fallback = match status {
            StatusCode::NOT_FOUND | StatusCode::GONE => code::NO_REQUEST,
            StatusCode::CONFLICT => code::NOT_CHANGED,
            _ => code::FUNCTION_FAILED,
        };
        let failure = Failure::failed(code.unwrap_or(fallback), format!("the flow `{flow}` cannot {what}"));
        let failure = failure.because_text(reason(answer));
        failure.help(match status {
            StatusCode::NOT_FOUND => "check the ID: `faasflow requests` lists the requests",
            StatusCode::GONE => "records of requests that have ended are kept only for some time",
            StatusCode::NOT_IMPLEMENTED => "such a flow answers only to the request itself; its log has the rest",
            StatusCode::UNAUTHORIZED => "sign with the key of the flow: `--key @FILE`",
            StatusCode::CONFLICT => "look at the request with `faasflow requests show ID`",
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => "try again later",
            _ => "find out more in the log of the function",
        })
    }

    /// The error of a 404 that is not about a request.
    fn no_api(&self, flow: &str) -> Failure {
        if matches!(self.way, Way::System) {
            let what = format!("the gateway at {} does not pass on requests about requests", self.client.base());
            return Failure::failed(code::GATEWAY_REFUSES, what).help(GIVE_KEY);
        }
        not_a_flow(flow)
    }

    /// The flow that a request belongs to, and its status. Without the name of the flow, each flow is asked.
    pub(crate) async fn locate(
        &self,
        id: &str,
        flow: Option<&str>,
        stack: Option<&Path>,
    ) -> Result<(String, Answer), Failure> {
        let target = request(id);
        let what = format!("show the request `{id}`");
        if let Some(flow) = flow {
            let answer = self.send(Method::GET, flow, &target, None).await?;
            self.read::<FlowRequest>(&answer, flow, &what)?;
            return Ok((flow.to_owned(), answer));
        }
        let (mut found, mut expired, mut faults, mut others) = (Vec::new(), None, Vec::new(), Vec::new());
        let mut is_known_nowhere = false;
        for flow in self.flows(stack).await? {
            let answer = self.send(Method::GET, &flow, &target, None).await?;
            match self.read::<FlowRequest>(&answer, &flow, &what) {
                Ok(_) => found.push((flow, answer)),
                Err(failure) if answer.status == StatusCode::GONE => expired = Some(failure),
                Err(_) if is_unknown_request(&answer) => is_known_nowhere = true,
                Err(failure) if answer.status == StatusCode::NOT_IMPLEMENTED || is_no_flow(&failure) => {
                    others.push((flow, failure));
                }
                Err(failure) => faults.push((flow, failure)),
            }
        }
        match found.len() {
            1 => Ok(found.remove(0)),
            0 => {
                // A flow that has known it says more than the others.
                if let Some(expired) = expired {
                    return Err(expired);
                }
                let what = match faults.len() as u64 {
                    0 => format!("no flow knows the request `{id}`"),
                    count => {
                        format!("no flow knows the request `{id}`, but {} could not be asked", counted(count, "flow"))
                    }
                };
                // Other functions are no cause if a flow was asked.
                if !is_known_nowhere {
                    faults.append(&mut others);
                }
                let failure = Failure::failed(code::NO_REQUEST, what);
                let causes = grouped(faults).into_iter().map(|fault| fault.to_string());
                let failure = causes.fold(failure, Failure::because_text);
                Err(failure.help("check the ID: it is the header X-Faasflow-Request-Id of the answer"))
            }
            _ => {
                let flows: Vec<String> = found.iter().map(|(flow, _)| format!("`{flow}`")).collect();
                let what = format!("several flows know the request `{id}`: {}", flows.join(", "));
                Err(Failure::unusable(code::NO_REQUEST, what).help("name one of them with `--flow`"))
            }
        }
    }
}

fn not_a_flow(function: &str) -> Failure {
    Failure::failed(code::NOT_A_FLOW, format!("the function `{function}` does not answer about requests"))
        .help("name a flow, or build it with this version of Faasflow and deploy it again")
}

/// Whether a failure means that a function is no flow, or an old one.
pub(crate) fn is_no_flow(failure: &Failure) -> bool {
    [code::NOT_A_FLOW, code::UNEXPECTED_ANSWER].into_iter().any(|code| failure.has_code(code))
}

/// The failures of flows. Those that differ only in the name of the flow become one.
pub(super) fn grouped(failures: Vec<(String, Failure)>) -> Vec<Failure> {
    let mut groups: Vec<(String, Failure, Vec<String>)> = Vec::new();
    for (flow, failure) in failures {
        let text = failure.to_string().replace(&format!("`{flow}`"), "``");
        match groups.iter_mut().find(|(known, ..)| *known == text) {
            Some((.., others)) => others.push(format!("`{flow}`")),
            None => groups.push((text, failure, Vec::new())),
        }
    }
    let joined = |(_, failure, others): (_, Failure, Vec<String>)| match others.as_slice() {
        [] => failure,
        [one] => failure.because_text(format!("it is the same for the flow {one}")),
        _ => failure.because_text(format!("it is the same for the flows {}", others.join(", "))),
    };
    groups.into_iter().map(joined).collect()
}

/// Whether an answer is an error of a flow, which says its reason.
fn is_problem(answer: &Answer) -> bool {
    serde_json::from_slice::<RequestProblem>(&answer.body).is_ok_and(|problem| !problem.reason.is_empty())
}

/// Whether a flow answers that it has no such request. A function that is no flow answers in another way.
fn is_unknown_request(answer: &Answer) -> bool {
    let others: [Code; 3] = [code::UNKNOWN_FUNCTION, code::NOT_A_FLOW, code::NO_ROUTE];
    answer.status == StatusCode::NOT_FOUND && error_code(&answer.headers).is_some_and(|code| !others.contains(&code))
}

/// Why a flow refuses something, as one line.
pub(crate) fn reason(answer: &Answer) -> String {
    let problem = serde_json::from_slice::<RequestProblem>(&answer.body).unwrap_or_default();
    let text = String::from_utf8_lossy(&answer.body);
    let text = match (problem.reason.as_str(), text.trim()) {
        ("", "") => format!("it answered {}", answer.status),
        ("", text) => text.to_owned(),
        (reason, _) => reason.to_owned(),
    };
    // The reason often says the status already.
    let status = problem.status.filter(|status| !text.contains(&format!("`{status}`")));
    let status = status.map(|status| format!(" (its status is {status})")).unwrap_or_default();
    escaped(&format!("{text}{status}")).into_owned()
}

/// Whether the flow may give another answer soon. If the gateway answers in its place, it may be about to start again.
pub(super) fn is_temporary(answer: &Answer) -> bool {
    match answer.status {
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => true,
        StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT => is_own_answer(&answer.headers),
        _ => false,
    }
}

/// How long to wait before the next question.
pub(super) fn pause(answer: &Answer) -> Duration {
    let named = answer.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
    named.map_or(PAUSE, Duration::from_secs).clamp(PAUSE / 10, LONGEST_PAUSE)
}

/// The target of a request.
pub(crate) fn request(id: &str) -> String {
    format!("/requests/{id}")
}

pub(crate) fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}
