//! Starts a fresh request, or resumes one from its envelope.

use std::sync::Arc;

use bytes::Bytes;
use faasflow_core::code::{self, Code};
use faasflow_core::envelope::{self, Branching, Envelope, Origin};
use faasflow_core::graph::Place;
use faasflow_core::machine::{Caller, Token};
use faasflow_core::state::EmbeddedState;
use faasflow_core::{Flow, Payload, RequestId, RequestInfo, chain, headers, parse_callback_header};
use faasflow_http::now_ms;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, StatusCode, request};
use uuid::Uuid;

use super::remedy::with_help;
use crate::conclusion::Delivery;
use crate::trace::{Sampling, incoming};

/// A request at the start of one of its phases.
#[derive(Debug)]
pub(crate) struct Arrival {
    pub(crate) info: Arc<RequestInfo>,
    pub(crate) token: Token,
    pub(crate) state: EmbeddedState,
    /// What the envelope of a request with branches says besides.
    pub(crate) branching: Option<Branching>,
    /// When it was forwarded, in milliseconds since the Unix epoch; `None` for a fresh request.
    pub(crate) sent_ms: Option<u64>,
}

/// Why a delivery was refused: the status, the code, the reason for the caller, and a detail for the log.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    pub(crate) code: Code,
    pub(crate) reason: String,
    pub(crate) detail: Option<String>,
    /// The request of a verified envelope, and its place.
    pub(crate) of: Option<(Arc<RequestInfo>, Place)>,
}

impl Refusal {
    pub(crate) fn new(status: StatusCode, code: Code, reason: impl Into<String>) -> Refusal {
        Refusal { status, code, reason: reason.into(), detail: None, of: None }
    }
}

/// What the body is, according to the request's content type. The body itself is never inspected.
pub(crate) fn delivery(headers: &HeaderMap) -> Delivery {
    let Some(Ok(value)) = headers.get(CONTENT_TYPE).map(|value| value.to_str()) else { return Delivery::Fresh };
    let essence = value.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case(envelope::CONTENT_TYPE) { Delivery::Envelope } else { Delivery::Fresh }
}

/// How the caller learns about the end of a request that is delivered at this place.
fn caller(flow: &Flow, info: &RequestInfo, place: &Place) -> Caller {
    let is_fresh = *place == flow.plan().start();
    if is_fresh && info.callback_url.is_none() { Caller::Waits } else { Caller::Left }
}

/// The id of a fresh request: the one that the caller chose, otherwise the gateway's call id, otherwise a new UUIDv7.
pub(crate) fn identify(headers: &HeaderMap) -> RequestId {
    let given = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok()).and_then(RequestId::parse);
    given(headers::REQUEST_ID)
        .or_else(|| given(headers::CALL_ID))
        .unwrap_or_else(|| RequestId::parse(&Uuid::now_v7().to_string()).expect("a UUID is a valid request id"))
}

/// The id of the invocation that starts a request, if the caller chose the request's id. Otherwise the request's id is
/// already that of the invocation. It stays the same when a queue delivers the invocation again.
fn invocation(headers: &HeaderMap) -> Option<String> {
    let valid = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok()).and_then(RequestId::parse);
    let chosen = valid(headers::REQUEST_ID)?;
    match valid(headers::CALL_ID) {
        Some(call) if call == chosen => None,
        Some(call) => Some(call.to_string()),
        None => Some(Uuid::now_v7().to_string()),
    }
}

pub(crate) fn start(
    flow: &Flow,
    name: &Arc<str>,
    id: RequestId,
    parts: &request::Parts,
    body: Bytes,
    sampling: &Sampling,
) -> Result<Arrival, Refusal> {
    let callback_url = match parts.headers.get(headers::CALLBACK_URL) {
        None => None,
        Some(value) => {
            let url = parse_callback_header(value).map_err(|fault| chain(&fault));
            let url = url.map_err(|fault| {
                let reason = format!("`X-Faasflow-Callback-Url` cannot be used: {fault}");
                Refusal::new(StatusCode::BAD_REQUEST, code::BAD_CALLBACK_URL, reason)
            })?;
            Some(url)
        }
    };
    let info = RequestInfo {
        id,
        flow: name.clone(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        headers: headers::carried(&parts.headers),
        callback_url,
        trace: incoming(&parts.headers, sampling),
        started_ms: now_ms(),
        invocation: invocation(&parts.headers),
    };
    let payload = Payload::new(body).with_content_type_header(parts.headers.get(CONTENT_TYPE).cloned());
    let start = flow.plan().start();
    let caller = caller(flow, &info, &start);
    let token = Token::new(start, payload).with_caller(caller);
    Ok(Arrival { info: Arc::new(info), token, state: EmbeddedState::new(), branching: None, sent_ms: None })
}

/// Whether the token of an envelope has what the machine for this flow needs. A flow that has lost its branches cannot make
/// the input of a join.
fn can_go_on(envelope: &Envelope, flow: &Flow) -> bool {
    let is_token = envelope.branching.as_ref().is_none_or(|branching| branching.origin == Origin::Token);
    flow.plan().needs_store() || (is_token && envelope.place.is_linear())
}

/// Resumes a request from the body of a verified envelope.
pub(crate) fn resume(flow: &Flow, name: &str, body: &Bytes) -> Result<Arrival, Refusal> {
    let envelope = Envelope::decode(body).map_err(|error| Refusal {
        detail: Some(chain(&error)),
        ..Refusal::new(StatusCode::BAD_REQUEST, error.code(), with_help(error.to_string(), error.help()))
    })?;
    let of = (envelope.request.clone(), envelope.place.clone());
    let refuse = |status, code, reason: String, detail| Refusal { status, code, reason, detail, of: Some(of.clone()) };
    if &*envelope.request.flow != name {
        let reason =
            format!("the envelope belongs to the flow `{}`, but this is the flow `{name}`", envelope.request.flow);
        return Err(refuse(StatusCode::BAD_REQUEST, code::OTHER_FLOW, reason, None));
    }
    let plan = flow.plan();
    let is_same = match (envelope.ahead, plan.segment(&envelope.place)) {
        // What lies behind the place may have changed.
        (Some(ahead), Some(segment)) => segment.ahead() == ahead && can_go_on(&envelope, flow),
        _ => envelope.fingerprint == plan.fingerprint(),
    };
    if !is_same {
        let reason = "the envelope was made by another definition of this flow, which was replaced while the request \
                      was under way; deploy the old definition to let the request end, or send it again";
        let detail = format!(
            "this flow is {} ({}); the envelope, at phase {}, was made by {} ({})",
            plan.shape(),
            plan.fingerprint(),
            envelope.place,
            envelope.shape,
            envelope.fingerprint
        );
        return Err(refuse(StatusCode::CONFLICT, code::OTHER_DEFINITION, reason.to_owned(), Some(detail)));
    }
    if plan.segment(&envelope.place).is_none() {
        let reason = format!("the envelope is malformed: it is at phase {} of {}", envelope.place, plan.phase_count());
        return Err(refuse(StatusCode::BAD_REQUEST, code::NO_SUCH_PHASE, reason, None));
    }
    let caller = caller(flow, &envelope.request, &envelope.place);
    Ok(Arrival {
        info: envelope.request,
        token: Token::new(envelope.place, envelope.payload).with_caller(caller),
        state: envelope.state,
        branching: envelope.branching.filter(|_| plan.needs_store()),
        sent_ms: Some(envelope.sent_ms),
    })
}
