//! Starts a fresh request, or resumes one from its envelope.

use std::sync::Arc;

use bytes::Bytes;
use faasflow_core::code::{self, Code};
use faasflow_core::envelope::{self, Envelope};
use faasflow_core::graph::Place;
use faasflow_core::machine::{Caller, Token};
use faasflow_core::state::EmbeddedState;
use faasflow_core::{Flow, Payload, RequestId, RequestInfo, chain, headers, parse_callback_url};
use faasflow_http::now_ms;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, StatusCode, request};
use uuid::Uuid;

use crate::conclusion::Delivery;
use crate::trace::{Sampling, incoming};

/// A request at the start of one of its phases.
#[derive(Debug)]
pub(crate) struct Arrival {
    pub(crate) info: Arc<RequestInfo>,
    pub(crate) token: Token,
    pub(crate) state: EmbeddedState,
    /// When it was forwarded, in milliseconds since the Unix epoch; `None` for a fresh request.
    pub(crate) sent_ms: Option<u64>,
}

/// Why nothing was started: status and code, what the caller is told, and what the log is told.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    pub(crate) code: Code,
    pub(crate) reason: String,
    pub(crate) detail: Option<String>,
    /// The request of an envelope that is believed, and where it stands.
    pub(crate) of: Option<(Arc<RequestInfo>, Place)>,
}

impl Refusal {
    pub(crate) fn new(status: StatusCode, code: Code, reason: impl Into<String>) -> Refusal {
        Refusal { status, code, reason: reason.into(), detail: None, of: None }
    }
}

/// What a request says that its body is. The body is never guessed at.
pub(crate) fn delivery(headers: &HeaderMap) -> Delivery {
    let Some(Ok(value)) = headers.get(CONTENT_TYPE).map(|value| value.to_str()) else { return Delivery::Fresh };
    let essence = value.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case(envelope::CONTENT_TYPE) { Delivery::Envelope } else { Delivery::Fresh }
}

/// Who learns how a request ends that is delivered at this place.
fn caller(flow: &Flow, info: &RequestInfo, place: &Place) -> Caller {
    let is_fresh = *place == flow.plan().start();
    if is_fresh && info.callback_url.is_none() { Caller::Waits } else { Caller::Left }
}

/// The id of a fresh request: the caller's own, else the gateway's for the invocation, else a new UUIDv7.
pub(crate) fn identify(headers: &HeaderMap) -> RequestId {
    let given = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok()).and_then(RequestId::parse);
    given(headers::REQUEST_ID)
        .or_else(|| given(headers::CALL_ID))
        .unwrap_or_else(|| RequestId::parse(&Uuid::now_v7().to_string()).expect("a UUID is a valid request id"))
}

/// The invocation that begins a request whose caller chose its id; of any other the id says it. A queue that delivers
/// again gives the same.
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
            let url = value.to_str().map_err(|_| "it is not text".to_owned()).and_then(parse_callback_url);
            let url = url.map_err(|fault| {
                let reason = format!("`X-Faasflow-Callback-Url` is of no use: {fault}");
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
    let token = Token::new(start, payload).of(caller);
    Ok(Arrival { info: Arc::new(info), token, state: EmbeddedState::new(), sent_ms: None })
}

/// Resumes a request from the body of an envelope that is already believed.
pub(crate) fn resume(flow: &Flow, name: &str, body: &Bytes) -> Result<Arrival, Refusal> {
    let envelope = Envelope::decode(body).map_err(|error| Refusal {
        detail: Some(chain(&error)),
        ..Refusal::new(StatusCode::BAD_REQUEST, error.code(), error.to_string())
    })?;
    let of = (envelope.request.clone(), envelope.place.clone());
    let refuse = |status, code, reason: String, detail| Refusal { status, code, reason, detail, of: Some(of.clone()) };
    if &*envelope.request.flow != name {
        let reason = format!("the envelope is of the flow `{}`, this is `{name}`", envelope.request.flow);
        return Err(refuse(StatusCode::BAD_REQUEST, code::OTHER_FLOW, reason, None));
    }
    let plan = flow.plan();
    if envelope.fingerprint != plan.fingerprint() {
        let reason = "the envelope is of another definition of this flow: it was deployed anew while the request was \
                      on its way; deploy the old definition to let it end, or send the request again";
        let detail = format!(
            "this flow is {} ({}); the envelope, at phase {}, is of {} ({})",
            plan.shape(),
            plan.fingerprint(),
            envelope.place,
            envelope.shape,
            envelope.fingerprint
        );
        return Err(refuse(StatusCode::CONFLICT, code::OTHER_DEFINITION, reason.to_owned(), Some(detail)));
    }
    if plan.segment(&envelope.place).is_none() {
        let reason = format!(
            "the envelope is malformed: it is at phase {}, the flow has {}",
            envelope.place,
            plan.phase_count()
        );
        return Err(refuse(StatusCode::BAD_REQUEST, code::NO_SUCH_PHASE, reason, None));
    }
    let caller = caller(flow, &envelope.request, &envelope.place);
    Ok(Arrival {
        info: envelope.request,
        token: Token::new(envelope.place, envelope.payload).of(caller),
        state: envelope.state,
        sent_ms: Some(envelope.sent_ms),
    })
}
