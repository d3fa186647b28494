//! Makes the requests of calls, callbacks and reports; `send.rs` sends them. Besides the forwarder, nothing else here
//! sends HTTP.

use std::borrow::Cow;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::body::Body;
use faasflow_core::failure::FailureKind;
use faasflow_core::{
    Action, Call, CallResponse, Callback, Context, Error, Flow, Method, Outcome, Payload, RequestOptions, Retry, Step,
    headers,
};
use http::header::{ACCEPT_ENCODING, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue};
use http::uri::Scheme;
use http::{Request, Uri};
use prometheus::IntCounter;

use crate::answers::Answers;
use crate::deadline::{CutOff, Deadline};
use crate::execute::Execution;
use crate::forward::{gateway_url, trace_headers};
use crate::http::HttpClient;
use crate::metrics::{CallKind, Metrics, short_name};
use crate::outage::Outage;
use crate::trace::{StepSpan, Trace};

mod send;

pub(crate) use send::Unanswered;

pub(crate) const OCTETS: HeaderValue = HeaderValue::from_static("application/octet-stream");

#[derive(Debug)]
pub(crate) struct Caller {
    client: HttpClient,
    gateway: Uri,
    /// What requests to the gateway have as their `Host`.
    gateway_host: Option<HeaderValue>,
    default_method: Method,
    answers: Answers,
    metrics: Arc<Metrics>,
    /// Of each step in its order.
    prepared: Vec<Prepared>,
}

/// What is the same each time that a step sends a request.
#[derive(Debug)]
struct Prepared {
    /// Where a call goes that has no query of its own.
    target: Option<Uri>,
    /// The number of the step, from 1, as text.
    number: String,
    answered_well: Option<IntCounter>,
}

/// A request ready to be sent as often as its retries say.
pub(crate) struct Outgoing<'a> {
    /// What log lines call the peer.
    peer: &'a str,
    kind: CallKind,
    /// The function that it goes to through the gateway; none, if it does not.
    function: &'a str,
    method: &'a Method,
    target: Cow<'a, Uri>,
    common: &'a Common,
    /// The beginning and the end of it.
    idempotency_key: [&'a str; 2],
    /// What replaces headers of the same names: what the step says, or the report.
    own: Vec<(HeaderName, HeaderValue)>,
    payload: Payload,
    answered_well: Option<&'a IntCounter>,
    timeout: Option<Duration>,
    retry: &'a Retry,
    /// Whether the payload was given up, so that there can be no further attempt.
    given_up: bool,
}

impl Outgoing<'_> {
    /// A GET or HEAD has no use for a body (RFC 9110, 9.3.1), and many servers stumble over one.
    fn is_bodiless(&self) -> bool {
        [Method::GET, Method::HEAD].contains(self.method)
    }

    /// How many bytes its body has.
    fn size(&self) -> usize {
        if self.is_bodiless() { 0 } else { self.payload.len() }
    }

    /// Made anew for each attempt, since most requests are sent once: what is kept for another attempt is copied.
    fn request(&self, span: Option<&StepSpan<'_>>) -> Request<Body> {
        let bodiless = self.is_bodiless();
        let body = if bodiless { Body::empty() } else { Body::from(self.payload.bytes().clone()) };
        let mut request = Request::new(body);
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = Uri::clone(&self.target);
        *request.headers_mut() = self.headers(span);
        if bodiless {
            request.headers_mut().remove(CONTENT_TYPE);
        }
        request
    }

    fn headers(&self, span: Option<&StepSpan<'_>>) -> HeaderMap {
        let mut headers = match self.kind {
            CallKind::Call => self.common.to_functions.clone(),
            // The caller's headers stay at home where the URL is outside: they may be credentials.
            CallKind::Callback | CallKind::Report => self.common.headers(self.own.len() + 3),
        };
        match self.payload.content_type_header() {
            Some(value) => headers.insert(CONTENT_TYPE, value.clone()),
            None if !self.payload.is_empty() => headers.insert(CONTENT_TYPE, OCTETS),
            None => headers.remove(CONTENT_TYPE),
        };
        headers.insert(headers::IDEMPOTENCY_KEY, header_value(self.idempotency_key.concat()));
        if let Some(span) = span {
            span.point(&mut headers);
        }
        // What the step says replaces what came along; what it says twice is sent twice.
        for (name, _) in &self.own {
            headers.remove(name);
        }
        for (name, value) in &self.own {
            headers.append(name.clone(), value.clone());
        }
        headers
    }
}

impl Caller {
    pub(crate) fn new(
        client: HttpClient,
        gateway: Uri,
        default_method: Method,
        answers: Answers,
        metrics: Arc<Metrics>,
        flow: &Flow,
    ) -> Caller {
        let prepare = |(index, step): (usize, &Step)| {
            let (target, answered_well) = match step.action() {
                Action::Call(call) => (
                    // One that cannot be made is the failure of the step, as one with a query is.
                    (!call.options().has_query())
                        .then(|| gateway_url(&gateway, "function", call.function(), None).ok())
                        .flatten(),
                    Some(metrics.answered_well(CallKind::Call, call.function())),
                ),
                Action::Callback(_) => (None, Some(metrics.answered_well(CallKind::Callback, short_name(step.name())))),
                _ => (None, None),
            };
            Prepared { target, number: (index + 1).to_string(), answered_well }
        };
        let prepared = flow.steps().iter().enumerate().map(prepare).collect();
        let gateway_host = host(&gateway);
        Caller { client, gateway, gateway_host, default_method, answers, metrics, prepared }
    }

    /// What the requests of a phase have in common.
    pub(crate) fn common(&self, context: &Context, trace: &Trace) -> Common {
        Common::of(context, trace, self.gateway_host.as_ref())
    }

    /// The request that calls a function through the gateway. What the flow's own code says of it is asked now.
    pub(crate) fn call<'a>(
        &'a self,
        call: &'a Call,
        step: &StepRef<'a>,
        payload: Payload,
    ) -> Result<Outgoing<'a>, FailureKind> {
        let options = call.options();
        let target = match &self.prepared[step.index].target {
            Some(target) => Cow::Borrowed(target),
            None => {
                let query = options.query(None, step.context);
                let target = gateway_url(&self.gateway, "function", call.function(), query.as_deref());
                Cow::Owned(target.map_err(unsendable)?)
            }
        };
        self.outgoing(CallKind::Call, call.function(), target, options, step, payload)
    }

    /// The same for a callback.
    pub(crate) fn callback<'a>(
        &'a self,
        callback: &'a Callback,
        step: &StepRef<'a>,
        payload: Payload,
    ) -> Result<Outgoing<'a>, FailureKind> {
        let options = callback.options();
        let target = Cow::Owned(with_query(callback.url(), options, step.context).map_err(unsendable)?);
        self.outgoing(CallKind::Callback, short_name(step.name), target, options, step, payload)
    }

    fn outgoing<'a>(
        &'a self,
        kind: CallKind,
        function: &'a str,
        target: Cow<'a, Uri>,
        options: &'a RequestOptions,
        step: &StepRef<'a>,
        payload: Payload,
    ) -> Result<Outgoing<'a>, FailureKind> {
        let own = options.headers(step.context).map_err(|name| {
            let text = format!("header `{name}` was given a value with control characters");
            FailureKind::Handler(Arc::new(Error::msg(text)))
        })?;
        let prepared = &self.prepared[step.index];
        Ok(Outgoing {
            peer: step.name,
            kind,
            function,
            method: options.method().unwrap_or(&self.default_method),
            target,
            common: step.common,
            idempotency_key: [&step.common.phase, &prepared.number],
            own,
            payload,
            answered_well: prepared.answered_well.as_ref(),
            timeout: options.timeout(),
            retry: options.retry(),
            given_up: false,
        })
    }

    /// Reports the end of a request to the URL that its caller asked for.
    pub(crate) async fn report(
        &self,
        url: &Uri,
        execution: &Execution<'_>,
        outcome: Outcome,
        payload: &Payload,
    ) -> Result<CallResponse, Unanswered> {
        let Execution { context, deadline, log, trace, .. } = *execution;
        let mut own = vec![(headers::OUTCOME, HeaderValue::from_static(outcome.as_str()))];
        own.extend(trace_headers(&trace.context()));
        let mut outgoing = Outgoing {
            peer: "the caller's callback URL",
            kind: CallKind::Report,
            function: "",
            method: &Method::POST,
            target: Cow::Borrowed(url),
            common: execution.common,
            idempotency_key: [context.request_id(), "-end"],
            own,
            payload: payload.clone(),
            answered_well: None,
            timeout: None,
            retry: &Retry::attempts(5),
            given_up: false,
        };
        let deadline = deadline.for_ending();
        let mut cut_off = CutOff::at(deadline.steps());
        let time = Time { deadline: &deadline, cut_off: &mut cut_off, outage: &execution.outage };
        self.send(&mut outgoing, None, time, log).await
    }
}

/// The step that a request is sent for.
#[derive(Debug)]
pub(crate) struct StepRef<'a> {
    pub(crate) context: &'a Context,
    pub(crate) common: &'a Common,
    /// Where it stands in the flow, from 0.
    pub(crate) index: usize,
    pub(crate) name: &'a str,
}

/// Until when an answer is waited for.
pub(crate) struct Time<'a> {
    pub(crate) deadline: &'a Deadline,
    /// Cuts off when the deadline says that steps are.
    pub(crate) cut_off: &'a mut CutOff,
    /// The first outage that the phase has met: the time that it took is missing later.
    pub(crate) outage: &'a OnceLock<Outage>,
}

/// What the requests of one phase have in common.
#[derive(Debug)]
pub(crate) struct Common {
    /// The request's id.
    request: HeaderValue,
    /// What the idempotency keys of its steps begin with.
    phase: String,
    /// The trace context that the request came with: a request that has a span of its own names that instead.
    trace: Vec<(HeaderName, HeaderValue)>,
    /// The headers of calls. A copy of them costs a call less than to put each into a map.
    to_functions: HeaderMap,
}

impl Common {
    fn of(context: &Context, trace: &Trace, gateway_host: Option<&HeaderValue>) -> Common {
        let id = context.request_id();
        let carried = &context.request().headers;
        let mut common = Common {
            request: header_value(id.to_owned()),
            phase: context.place().idempotency_prefix(id),
            trace: trace_headers(&context.request().trace).collect(),
            to_functions: HeaderMap::new(),
        };
        let mut headers = common.headers(carried.len() + 4);
        for (name, value) in carried {
            if headers::goes_to_functions(name) {
                headers.append(name.clone(), value.clone());
            }
        }
        if let Some(host) = gateway_host {
            headers.insert(HOST, host.clone());
        }
        // A copy has room for what is in it. Each call has its own of these, which take their places.
        headers.insert(CONTENT_TYPE, OCTETS);
        headers.insert(headers::IDEMPOTENCY_KEY, PLACEHOLDER);
        if trace.is_active() {
            headers.insert(headers::TRACEPARENT, PLACEHOLDER);
        }
        common.to_functions = headers;
        common
    }

    /// What goes to any server, with room for so many more.
    fn headers(&self, more: usize) -> HeaderMap {
        let mut headers = HeaderMap::with_capacity(self.trace.len() + 2 + more);
        headers.insert(headers::REQUEST_ID, self.request.clone());
        // Answers are decoded as they come, so to encode them would be work for nothing. A step may ask for it.
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        for (name, value) in &self.trace {
            headers.insert(name, value.clone());
        }
        headers
    }
}

/// Stands for a value that each request sets for itself.
const PLACEHOLDER: HeaderValue = HeaderValue::from_static("");

/// A request's id, or what begins with it.
fn header_value(text: String) -> HeaderValue {
    HeaderValue::try_from(text).expect("a request's id has no character that a header may not have")
}

/// A server as its clients name it (RFC 9110, 7.2): without the port, if that is the usual one.
fn host(url: &Uri) -> Option<HeaderValue> {
    let host = url.host()?;
    let usual = if url.scheme() == Some(&Scheme::HTTPS) { 443 } else { 80 };
    match url.port_u16().filter(|&port| port != usual) {
        Some(port) => HeaderValue::try_from(format!("{host}:{port}")).ok(),
        None => HeaderValue::from_str(host).ok(),
    }
}

fn with_query(url: &Uri, options: &RequestOptions, context: &Context) -> Result<Uri, http::Error> {
    let Some(query) = options.query(url.query(), context) else { return Ok(url.clone()) };
    let mut parts = url.clone().into_parts();
    parts.path_and_query = Some(format!("{}?{query}", url.path()).parse()?);
    Ok(Uri::from_parts(parts)?)
}

fn unsendable(error: http::Error) -> FailureKind {
    FailureKind::Handler(Arc::new(Error::from(error).context("the request cannot be sent")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_has_the_name_that_clients_give_it() {
        for (url, name) in [
            ("http://gateway:8080", "gateway:8080"),
            ("http://gateway:80", "gateway"),
            ("http://gateway:443", "gateway:443"),
            ("https://gateway:443/x", "gateway"),
            ("https://gateway:80", "gateway:80"),
            ("http://u:s3cret@gateway", "gateway"),
            ("http://[::1]:8080/", "[::1]:8080"),
        ] {
            assert_eq!(host(&url.parse().unwrap()).unwrap(), name, "{url}");
        }
    }
}
