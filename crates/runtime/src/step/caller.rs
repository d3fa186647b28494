//! Builds the requests of calls and callbacks. `send.rs` sends them.

use std::borrow::Cow;
use std::sync::Arc;

use faasflow_core::failure::FailureKind;
use faasflow_core::graph::StepIndex;
use faasflow_core::{Action, Call, Callback, Context, Error, Flow, Method, Payload, RequestOptions, Step};
use faasflow_http::HttpClient;
use http::Uri;
use http::header::HeaderValue;
use http::uri::Scheme;

use super::answers::Answers;
use super::outgoing::{Outgoing, PhaseHeaders};
use crate::gateway::gateway_url;
use crate::metrics::short_name;
use crate::observers::{CallKind, Observers, Peer};

#[derive(Debug)]
pub(crate) struct Caller {
    pub(super) client: HttpClient,
    gateway: Uri,
    /// The `Host` header of requests to the gateway.
    gateway_host: Option<HeaderValue>,
    default_method: Method,
    pub(super) answers: Answers,
    /// One for each step, in order.
    prepared: Vec<StepTemplate>,
}

/// The parts of a step's request that never change.
#[derive(Debug)]
struct StepTemplate {
    /// The target of a call without a query of its own.
    target: Option<Uri>,
    /// The number of the step, counted from 1.
    number: String,
}

impl Caller {
    pub(crate) fn new(
        client: HttpClient,
        gateway: Uri,
        default_method: Method,
        answers: Answers,
        flow: &Flow,
    ) -> Caller {
        let prepare = |(index, step): (usize, &Step)| {
            let target = match step.action() {
                // If the URL is not valid, the step fails when it is executed, as it does if its query makes it invalid.
                Action::Call(call) if !call.options().has_query() => {
                    gateway_url(&gateway, "function", call.function(), None).ok()
                }
                _ => None,
            };
            StepTemplate { target, number: (index + 1).to_string() }
        };
        let prepared = flow.steps().iter().enumerate().map(prepare).collect();
        let gateway_host = host(&gateway);
        Caller { client, gateway, gateway_host, default_method, answers, prepared }
    }

    /// The headers that all requests of a phase share.
    pub(crate) fn phase_headers(&self, context: &Context, observers: &Observers<'_>) -> PhaseHeaders {
        PhaseHeaders::new(context, observers, self.gateway_host.as_ref())
    }

    /// Builds the request for a call. `options` are those of the call, with the values that extractors have produced.
    /// Closures of the flow that produce other values are called now.
    pub(crate) fn call<'a>(
        &'a self,
        call: &'a Call,
        options: &'a RequestOptions,
        step: &StepRef<'a>,
        payload: Payload,
    ) -> Result<Outgoing<'a>, FailureKind> {
        let target = match &self.prepared[step.index.index()].target {
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
        options: &'a RequestOptions,
        step: &StepRef<'a>,
        payload: Payload,
    ) -> Result<Outgoing<'a>, FailureKind> {
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
            let text = format!("the value of header `{name}` has control characters");
            FailureKind::Handler(Arc::new(Error::msg(text)))
        })?;
        let prepared = &self.prepared[step.index.index()];
        let number = step.known_as.map_or(Cow::Borrowed(&*prepared.number), |number| number.to_string().into());
        Ok(Outgoing {
            to: Peer { kind, name: step.name, function, step: Some(step.index) },
            method: options.method().unwrap_or(&self.default_method),
            target,
            phase: step.phase,
            idempotency_key: [Cow::Borrowed(&step.phase.keys), step.items.into(), number],
            own,
            payload,
            timeout: options.timeout(),
            retry: options.retry(),
            payload_released: false,
        })
    }
}

/// The step that a request is sent for.
#[derive(Debug)]
pub(crate) struct StepRef<'a> {
    pub(crate) context: &'a Context,
    pub(crate) phase: &'a PhaseHeaders,
    pub(crate) index: StepIndex,
    /// The number of the step in the earlier definition that the request began with, if there is one.
    pub(crate) known_as: Option<usize>,
    /// The items that lead to the step, for its idempotency key.
    pub(crate) items: &'a str,
    pub(crate) name: &'a str,
}

/// The value of a `Host` header (RFC 9110, 7.2). The default port is left out.
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
    fn the_host_header_omits_the_default_port() {
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
