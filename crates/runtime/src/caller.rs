//! Sends the requests of calls and callbacks, with their retries. Besides the forwarder, nothing else here
//! sends HTTP.

use std::time::Duration;

use axum::body::Body;
use faasflow_core::failure::FailureKind;
use faasflow_core::{
    Call, CallResponse, Callback, Context, Error, Method, Outcome, Payload, RequestOptions, Retry, chain, headers,
};
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use http::{Request, Uri};
use std::sync::Arc;
use tokio::time::Instant;

use crate::config::show;
use crate::deadline::Deadline;
use crate::execute::Execution;
use crate::forward::{gateway_url, trace_headers};
use crate::http::{HttpClient, ReadBodyError, read_body, retry_after};
use crate::log::RequestLog;
use crate::metrics::{CallKind, Metrics, short_name};
use crate::trace::StepSpan;

/// About how long a gateway may take no connections until a call has failed.
const RESTART: Duration = Duration::from_millis(800);

pub(crate) const OCTETS: HeaderValue = HeaderValue::from_static("application/octet-stream");

#[derive(Debug)]
pub(crate) struct Caller {
    client: HttpClient,
    gateway: Uri,
    default_method: Method,
    max_body: u64,
    metrics: Arc<Metrics>,
}

/// A request ready to be sent as often as its retries say.
struct Outgoing<'a> {
    /// What log lines call the peer.
    peer: &'a str,
    kind: CallKind,
    /// The function that it goes to through the gateway; none, if it does not.
    function: &'a str,
    method: Method,
    target: Uri,
    headers: HeaderMap,
    payload: &'a Payload,
    timeout: Option<Duration>,
    retry: &'a Retry,
}

impl Outgoing<'_> {
    /// A GET or HEAD has no use for a body (RFC 9110, 9.3.1), and many servers stumble over one.
    fn is_bodiless(&self) -> bool {
        [Method::GET, Method::HEAD].contains(&self.method)
    }

    /// How many bytes its body has.
    fn size(&self) -> usize {
        if self.is_bodiless() { 0 } else { self.payload.len() }
    }

    fn request(&self) -> Request<Body> {
        let bodiless = self.is_bodiless();
        let body = if bodiless { Body::empty() } else { Body::from(self.payload.bytes().clone()) };
        let mut request = Request::new(body);
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.target.clone();
        *request.headers_mut() = self.headers.clone();
        if bodiless {
            request.headers_mut().remove(CONTENT_TYPE);
        }
        request
    }
}

impl Caller {
    pub(crate) fn new(
        client: HttpClient,
        gateway: Uri,
        default_method: Method,
        max_body: u64,
        metrics: Arc<Metrics>,
    ) -> Caller {
        Caller { client, gateway, default_method, max_body, metrics }
    }

    /// Calls a function through the gateway.
    pub(crate) async fn call(
        &self,
        call: &Call,
        step: &StepRef<'_>,
        span: &mut StepSpan<'_>,
        payload: &Payload,
        deadline: &Deadline,
        log: &RequestLog,
    ) -> Result<CallResponse, FailureKind> {
        let options = call.options();
        let query = options.query(None, step.context);
        let target = gateway_url(&self.gateway, "function", call.function(), query.as_deref()).map_err(unsendable)?;
        let mut headers = HeaderMap::new();
        for (name, value) in &step.context.request().headers {
            if headers::goes_to_functions(name) {
                headers.append(name.clone(), value.clone());
            }
        }
        self.own_headers(&mut headers, options, step, span, payload)?;
        let outgoing = Outgoing {
            peer: step.name,
            kind: CallKind::Call,
            function: call.function(),
            method: options.method().unwrap_or(&self.default_method).clone(),
            target,
            headers,
            payload,
            timeout: options.timeout(),
            retry: options.retry(),
        };
        self.send(outgoing, Some(span), deadline, log).await
    }

    /// Sends a callback. The caller's headers stay at home: the URL is outside, and they may be credentials.
    pub(crate) async fn callback(
        &self,
        callback: &Callback,
        step: &StepRef<'_>,
        span: &mut StepSpan<'_>,
        payload: &Payload,
        deadline: &Deadline,
        log: &RequestLog,
    ) -> Result<CallResponse, FailureKind> {
        let options = callback.options();
        let target = with_query(callback.url(), options, step.context).map_err(unsendable)?;
        let mut headers = HeaderMap::new();
        self.own_headers(&mut headers, options, step, span, payload)?;
        let outgoing = Outgoing {
            peer: step.name,
            kind: CallKind::Callback,
            function: short_name(step.name),
            method: options.method().unwrap_or(&self.default_method).clone(),
            target,
            headers,
            payload,
            timeout: options.timeout(),
            retry: options.retry(),
        };
        self.send(outgoing, Some(span), deadline, log).await
    }

    /// Reports the end of a request to the URL that its caller asked for.
    pub(crate) async fn report(
        &self,
        url: &Uri,
        execution: &Execution<'_>,
        outcome: Outcome,
        payload: &Payload,
    ) -> Result<CallResponse, FailureKind> {
        let Execution { context, deadline, log, trace, .. } = *execution;
        let mut headers = HeaderMap::new();
        let id = &context.request().id;
        headers.insert(headers::OUTCOME, HeaderValue::from_static(outcome.as_str()));
        standard_headers(&mut headers, context, &format!("{id}-end"));
        headers.extend(trace_headers(&trace.context()));
        content_type(&mut headers, payload);
        let outgoing = Outgoing {
            peer: "the caller's callback URL",
            kind: CallKind::Report,
            function: "",
            method: Method::POST,
            target: url.clone(),
            headers,
            payload,
            timeout: None,
            retry: &Retry::attempts(5),
        };
        self.send(outgoing, None, &deadline.for_ending(), log).await
    }

    fn own_headers(
        &self,
        headers: &mut HeaderMap,
        options: &RequestOptions,
        step: &StepRef<'_>,
        span: &StepSpan<'_>,
        payload: &Payload,
    ) -> Result<(), FailureKind> {
        content_type(headers, payload);
        standard_headers(headers, step.context, &step.idempotency_key());
        span.point(headers);
        let own = options.headers(step.context).map_err(|name| {
            let text = format!("header `{name}` was given a value with control characters");
            FailureKind::Handler(Arc::new(Error::msg(text)))
        })?;
        // What the step says replaces what came along; what it says twice is sent twice.
        for (name, _) in &own {
            headers.remove(name);
        }
        for (name, value) in own {
            headers.append(name, value);
        }
        Ok(())
    }

    async fn send(
        &self,
        outgoing: Outgoing<'_>,
        mut span: Option<&mut StepSpan<'_>>,
        deadline: &Deadline,
        log: &RequestLog,
    ) -> Result<CallResponse, FailureKind> {
        let Outgoing { retry, kind, function, .. } = outgoing;
        if let Some(span) = &mut span {
            span.sends(&outgoing.method, &outgoing.target, kind == CallKind::Call, outgoing.size());
        }
        let mut attempt = 1;
        loop {
            let answer = self.attempt(&outgoing, deadline).await;
            self.metrics.attempt(kind, function, &answer);
            if let Some(span) = &mut span {
                span.attempted(&answer);
            }
            let again = attempt < retry.max_attempts()
                && match &answer {
                    Ok(response) => retry.retries_status(response.status()),
                    Err(FailureKind::Unreachable(_) | FailureKind::Interrupted(_)) => retry.retries_unreachable(),
                    Err(FailureKind::Timeout(_)) => retry.retries_timeout(),
                    Err(_) => false,
                };
            if !again {
                return answer;
            }
            let asked = answer.as_ref().ok().and_then(|response| retry_after(response.headers()));
            let wait = retry.delay(attempt, rand::random(), asked);
            // A function can ask for more than a clock can count.
            if Instant::now().checked_add(wait).is_none_or(|then| then >= deadline.steps()) {
                log.warn(format_args!("No time is left to try {} again", outgoing.peer));
                return answer;
            }
            log.info(format_args!(
                "Trying {} again in {} ({}), attempt {} of {}",
                outgoing.peer,
                show(Duration::from_millis(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX))),
                match &answer {
                    Ok(response) => format!("it answered {}", response.status()),
                    Err(FailureKind::Timeout(after)) => format!("no answer within {}", show(*after)),
                    Err(_) => "it could not be reached".to_owned(),
                },
                attempt + 1,
                retry.max_attempts()
            ));
            self.metrics.retried(kind, function);
            tokio::time::sleep(wait).await;
            attempt += 1;
        }
    }

    async fn attempt(&self, outgoing: &Outgoing<'_>, deadline: &Deadline) -> Result<CallResponse, FailureKind> {
        let until = outgoing.timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let (until, own) = match until {
            Some(until) if until < deadline.steps() => (until, outgoing.timeout),
            _ => (deadline.steps(), None),
        };
        match tokio::time::timeout_at(until, self.exchange(outgoing)).await {
            Ok(answer) => answer,
            Err(_) => Err(match own {
                Some(timeout) => FailureKind::Timeout(timeout),
                None => FailureKind::Deadline(deadline.allowed()),
            }),
        }
    }

    async fn exchange(&self, outgoing: &Outgoing<'_>) -> Result<CallResponse, FailureKind> {
        let mut wait = RESTART / 8;
        let response = loop {
            let error = match self.client.send(outgoing.request()).await {
                Ok(response) => break response,
                Err(error) => error,
            };
            match (outgoing.kind == CallKind::Call, error.is_connect()) {
                // A gateway that takes no connections has seen nothing of the call: it is given the time of a restart.
                (true, true) if wait < RESTART => {
                    tokio::time::sleep(wait).await;
                    wait *= 2;
                }
                (true, false) => return Err(FailureKind::Interrupted(chain(&error))),
                _ => return Err(FailureKind::Unreachable(chain(&error))),
            }
        };
        let (parts, body) = response.into_parts();
        // The time is bounded by the attempt as a whole.
        match read_body(body, self.max_body, Duration::MAX).await {
            Ok(body) => Ok(CallResponse::new(parts.status, parts.headers, body)),
            Err(ReadBodyError::TooLarge { limit }) => Err(FailureKind::AnswerTooLarge(limit)),
            Err(error) => Err(FailureKind::Unreachable(chain(&error))),
        }
    }
}

/// The step that a request is sent for.
#[derive(Debug)]
pub(crate) struct StepRef<'a> {
    pub(crate) context: &'a Context,
    /// Its number in the flow, from 1.
    pub(crate) number: usize,
    pub(crate) name: &'a str,
}

impl StepRef<'_> {
    fn idempotency_key(&self) -> String {
        format!("{}-{}-{}", self.context.request_id(), self.context.phase(), self.number)
    }
}

fn content_type(headers: &mut HeaderMap, payload: &Payload) {
    match payload.content_type_header() {
        Some(value) => headers.insert(CONTENT_TYPE, value.clone()),
        None if !payload.is_empty() => headers.insert(CONTENT_TYPE, OCTETS),
        None => None,
    };
}

fn standard_headers(headers: &mut HeaderMap, context: &Context, idempotency_key: &str) {
    let request = context.request();
    let mut text = |name: HeaderName, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    };
    text(headers::REQUEST_ID, request.id.as_str());
    text(headers::IDEMPOTENCY_KEY, idempotency_key);
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
