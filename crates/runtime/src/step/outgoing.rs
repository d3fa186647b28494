//! A request that is ready to be sent, and the headers that all requests of a phase share.

use std::borrow::Cow;
use std::time::Duration;

use axum::body::Body;
use faasflow_core::{Context, Method, Payload, Retry, headers};
use http::header::{ACCEPT_ENCODING, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue};
use http::{Request, Uri};

use super::stoppable::Stoppable;
use crate::deadline::{CutOff, Deadline};
use crate::first_outage::FirstOutage;
use crate::gateway::{OCTETS, trace_headers};
use crate::observers::{CallKind, Observers, Peer, Scope};

/// A request that can be sent as often as its retry policy allows.
pub(crate) struct Outgoing<'a> {
    pub(super) to: Peer<'a>,
    pub(super) method: &'a Method,
    pub(super) target: Cow<'a, Uri>,
    pub(super) phase: &'a PhaseHeaders,
    /// The parts of the key.
    pub(super) idempotency_key: [Cow<'a, str>; 3],
    /// Headers of the step or of the report. They replace shared headers of the same names.
    pub(super) own: Vec<(HeaderName, HeaderValue)>,
    pub(super) payload: Payload,
    pub(super) timeout: Option<Duration>,
    pub(super) retry: &'a Retry,
    /// Whether the payload was dropped. Then there can be no further attempt.
    pub(super) payload_released: bool,
}

impl Outgoing<'_> {
    /// A GET or HEAD request has no meaningful body (RFC 9110, 9.3.1), and many servers reject one.
    fn is_bodiless(&self) -> bool {
        [Method::GET, Method::HEAD].contains(self.method)
    }

    /// The size of its body in bytes.
    pub(super) fn size(&self) -> usize {
        if self.is_bodiless() { 0 } else { self.payload.len() }
    }

    /// Builds the request. It is built again for each attempt. As most requests are sent only once, keeping one for later
    /// would only cost a copy.
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
            // The headers of the flow's caller are not sent to other servers, because they may be credentials.
            CallKind::Callback | CallKind::Report => self.phase.headers(self.own.len() + 3),
        };
        match self.payload.content_type_header() {
            Some(value) => headers.insert(CONTENT_TYPE, value.clone()),
            None if !self.payload.is_empty() => headers.insert(CONTENT_TYPE, OCTETS),
            None => headers.remove(CONTENT_TYPE),
        };
        headers.insert(headers::IDEMPOTENCY_KEY, header_value(self.idempotency_key.concat()));
        scope.point(&mut headers);
        // The step's headers replace shared ones. If the step sets a header twice, it is sent twice.
        for (name, _) in &self.own {
            headers.remove(name);
        }
        for (name, value) in &self.own {
            headers.append(name.clone(), value.clone());
        }
        headers
    }
}

/// The time limits of a request.
pub(crate) struct Time<'a> {
    pub(crate) deadline: &'a Deadline,
    /// Fires when the deadline says that the steps are cut off.
    pub(crate) cut_off: &'a mut CutOff,
    pub(crate) outage: &'a FirstOutage,
    /// The request, if others may end it meanwhile.
    pub(crate) stoppable: Option<Stoppable<'a>>,
}

/// The headers that all requests of one phase share.
#[derive(Debug)]
pub(crate) struct PhaseHeaders {
    /// The request's id.
    request: HeaderValue,
    /// The beginning of the idempotency keys of its steps.
    pub(super) keys: String,
    /// The trace context of the flow's request. A request with a span of its own sends that instead.
    trace: Vec<(HeaderName, HeaderValue)>,
    /// The headers of calls. Copying this map is cheaper than inserting each header again.
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
        // Placeholders for the headers that each call sets, so that a copy of the map has room for them.
        headers.insert(CONTENT_TYPE, OCTETS);
        headers.insert(headers::IDEMPOTENCY_KEY, PLACEHOLDER);
        if observers.is_traced() {
            headers.insert(headers::TRACEPARENT, PLACEHOLDER);
        }
        shared.to_functions = headers;
        shared
    }

    /// The headers for any server, in a map with room for `more` others.
    fn headers(&self, more: usize) -> HeaderMap {
        let mut headers = HeaderMap::with_capacity(self.trace.len() + 2 + more);
        headers.insert(headers::REQUEST_ID, self.request.clone());
        // Answers are decoded anyway, so encoding them would be wasted work. A step can override this.
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        for (name, value) in &self.trace {
            headers.insert(name, value.clone());
        }
        headers
    }
}

/// Stands for a value that each request sets.
const PLACEHOLDER: HeaderValue = HeaderValue::from_static("");

/// A header value made of a request id, or of a text that begins with one.
fn header_value(text: String) -> HeaderValue {
    HeaderValue::try_from(text).expect("a request's id has no character that a header may not have")
}
