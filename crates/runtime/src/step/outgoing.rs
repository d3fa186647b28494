//! A request that is ready to be sent, and what the requests of a phase have in common.

use std::borrow::Cow;
use std::sync::OnceLock;
use std::time::Duration;

use axum::body::Body;
use faasflow_core::machine::Outage;
use faasflow_core::{Context, Method, Payload, Retry, headers};
use http::header::{ACCEPT_ENCODING, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue};
use http::{Request, Uri};

use crate::deadline::{CutOff, Deadline};
use crate::gateway::{OCTETS, trace_headers};
use crate::observers::{CallKind, Observers, Peer, Scope};

/// A request ready to be sent as often as its retries say.
pub(crate) struct Outgoing<'a> {
    pub(super) to: Peer<'a>,
    pub(super) method: &'a Method,
    pub(super) target: Cow<'a, Uri>,
    pub(super) phase: &'a PhaseHeaders,
    /// The beginning and the end of it.
    pub(super) idempotency_key: [&'a str; 2],
    /// What replaces headers of the same names: what the step says, or the report.
    pub(super) own: Vec<(HeaderName, HeaderValue)>,
    pub(super) payload: Payload,
    pub(super) timeout: Option<Duration>,
    pub(super) retry: &'a Retry,
    /// Whether the payload was given up, so that there can be no further attempt.
    pub(super) payload_released: bool,
}

impl Outgoing<'_> {
    /// A GET or HEAD has no use for a body (RFC 9110, 9.3.1), and many servers stumble over one.
    fn is_bodiless(&self) -> bool {
        [Method::GET, Method::HEAD].contains(self.method)
    }

    /// How many bytes its body has.
    pub(super) fn size(&self) -> usize {
        if self.is_bodiless() { 0 } else { self.payload.len() }
    }

    /// Made anew for each attempt, since most requests are sent once: what is kept for another attempt is copied.
    pub(super) fn request(&self, scope: &Scope<'_>) -> Request<Body> {
        let bodiless = self.is_bodiless();
        let body = if bodiless { Body::empty() } else { Body::from(self.payload.bytes().clone()) };
        let mut request = Request::new(body);
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = Uri::clone(&self.target);
        *request.headers_mut() = self.headers(scope);
        if bodiless {
            request.headers_mut().remove(CONTENT_TYPE);
        }
        request
    }

    fn headers(&self, scope: &Scope<'_>) -> HeaderMap {
        let mut headers = match self.to.kind {
            CallKind::Call => self.phase.to_functions.clone(),
            // The caller's headers stay at home where the URL is outside: they may be credentials.
            CallKind::Callback | CallKind::Report => self.phase.headers(self.own.len() + 3),
        };
        match self.payload.content_type_header() {
            Some(value) => headers.insert(CONTENT_TYPE, value.clone()),
            None if !self.payload.is_empty() => headers.insert(CONTENT_TYPE, OCTETS),
            None => headers.remove(CONTENT_TYPE),
        };
        headers.insert(headers::IDEMPOTENCY_KEY, header_value(self.idempotency_key.concat()));
        scope.point(&mut headers);
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

/// Until when an answer is waited for.
pub(crate) struct Time<'a> {
    pub(crate) deadline: &'a Deadline,
    /// Cuts off when the deadline says that steps are.
    pub(crate) cut_off: &'a mut CutOff,
    /// The first outage that the phase has met: the time that it took is missing later.
    pub(crate) outage: &'a OnceLock<Outage>,
}

/// What the requests of one phase have in shared.
#[derive(Debug)]
pub(crate) struct PhaseHeaders {
    /// The request's id.
    request: HeaderValue,
    /// What the idempotency keys of its steps begin with.
    pub(super) keys: String,
    /// The trace context that the request came with: a request that has a span of its own names that instead.
    trace: Vec<(HeaderName, HeaderValue)>,
    /// The headers of calls. A copy of them costs a call less than to put each into a map.
    to_functions: HeaderMap,
}

impl PhaseHeaders {
    pub(super) fn new(
        context: &Context,
        observers: &Observers<'_>,
        gateway_host: Option<&HeaderValue>,
    ) -> PhaseHeaders {
        let id = context.request_id();
        let carried = &context.request().headers;
        let mut shared = PhaseHeaders {
            request: header_value(id.to_owned()),
            keys: context.place().idempotency_prefix(id),
            trace: trace_headers(&context.request().trace).collect(),
            to_functions: HeaderMap::new(),
        };
        let mut headers = shared.headers(carried.len() + 4);
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
        if observers.is_traced() {
            headers.insert(headers::TRACEPARENT, PLACEHOLDER);
        }
        shared.to_functions = headers;
        shared
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
