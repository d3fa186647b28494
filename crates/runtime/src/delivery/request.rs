//! Starts a fresh request, or resumes one from its envelope.

use std::sync::Arc;

use bytes::Bytes;
use faasflow_core::code::{self, Code};
use faasflow_core::envelope::{self, Branching, Envelope, Origin};
use faasflow_core::graph::{Earlier, Fingerprint, Place, Plan};
use faasflow_core::machine::{Caller, Token};
use faasflow_core::state::EmbeddedState;
use faasflow_core::{Flow, Payload, RequestId, RequestInfo, chain, headers, parse_callback_header};
use faasflow_http::now_ms;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, StatusCode, request};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::remedy::with_help;
use crate::conclusion::Delivery;
use crate::definitions::BegunWith;
use crate::instance::Instance;
use crate::trace::{Sampling, incoming};

/// A request at the start of one of its phases.
#[derive(Clone, Debug)]
pub(crate) struct Arrival {
    pub(crate) info: Arc<RequestInfo>,
    pub(crate) token: Token,
    pub(crate) state: EmbeddedState,
    /// What the envelope of a request with branches says besides.
    pub(crate) branching: Option<Branching>,
    /// The definition that the request began with, if another one is deployed.
    pub(crate) earlier: Option<Arc<Earlier>>,
    /// When it was forwarded, in milliseconds since the Unix epoch; `None` for a fresh request.
    pub(crate) sent_ms: Option<u64>,
    /// The invocation that brought a fresh request that will be remembered.
    pub(crate) invocation: Option<String>,
    /// The id of the request that a fresh one repeats.
    pub(crate) repeats: Option<RequestId>,
    /// The number of the attempt, if the queue says it.
    pub(crate) attempt: Option<u32>,
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
    /// The shape of another definition that made the envelope.
    pub(crate) made_by: Option<String>,
}

impl Refusal {
    pub(crate) fn new(status: StatusCode, code: Code, reason: impl Into<String>) -> Refusal {
        Refusal { status, code, reason: reason.into(), detail: None, of: None, made_by: None }
    }
}

/// What the body is, according to the request's content type. The body itself is never inspected.
pub(crate) fn delivery(headers: &HeaderMap) -> Delivery {
    let Some(Ok(value)) = headers.get(CONTENT_TYPE).map(|value| value.to_str()) else { return Delivery::Fresh };
    let essence = value.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case(envelope::CONTENT_TYPE) { Delivery::Envelope } else { Delivery::Fresh }
}

/// The number of the attempt, if the queue says it.
pub(crate) fn attempt(headers: &HeaderMap) -> Option<u32> {
    headers.get(headers::ATTEMPT)?.to_str().ok()?.parse().ok()
}

/// The id of a fresh request: the one that the caller chose, otherwise the gateway's call id, otherwise a new UUIDv7.
///
/// If the flow remembers its requests, an id stands for one request. Another flow sends its own request's id with each of its
/// calls, so a call from a flow gets an id of its own, which derives from its idempotency key: an attempt to repeat the call has
/// the same.
pub(crate) fn identify(headers: &HeaderMap, remembers: bool) -> RequestId {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let given = |name: HeaderName| text(name).and_then(RequestId::parse);
    let chosen = given(headers::REQUEST_ID);
    if let (true, Some(id), Some(key)) = (remembers, &chosen, text(headers::IDEMPOTENCY_KEY))
        && key.strip_prefix(id.as_str()).is_some_and(|rest| rest.starts_with('-'))
    {
        return called_request(id, key);
    }
    chosen
        .or_else(|| given(headers::CALL_ID))
        .unwrap_or_else(|| RequestId::parse(&Uuid::now_v7().to_string()).expect("a UUID is a valid request id"))
}

/// The id of the request that a call of this request starts, if the function is a flow that remembers its requests. `key` is the
/// idempotency key of the call.
pub(crate) fn called_request(request: &RequestId, key: &str) -> RequestId {
    let hash = hex::encode(&Sha256::digest(key)[..8]);
    let own = RequestId::parse(&format!("{request}.{hash}")).or_else(|| RequestId::parse(&hash));
    own.expect("a hash is a valid request id")
}

/// Refuses an id that is not valid, if the flow remembers its requests. If it were ignored, a request that is sent twice would be
/// executed twice.
fn check_id(headers: &HeaderMap) -> Result<(), Refusal> {
    let Some(value) = headers.get(headers::REQUEST_ID) else { return Ok(()) };
    match value.to_str().ok().and_then(RequestId::parse) {
        Some(_) => Ok(()),
        None => {
            let reason = format!(
                "the value of `X-Faasflow-Request-Id` is not a valid request id: an id has {}",
                RequestId::FORM
            );
            Err(Refusal::new(StatusCode::BAD_REQUEST, code::BAD_REQUEST_ID, reason))
        }
    }
}

/// The id of the request that a fresh one repeats. One that is not valid is refused, because the link would be lost otherwise.
fn repeats(headers: &HeaderMap) -> Result<Option<RequestId>, Refusal> {
    let Some(value) = headers.get(headers::REPEATS) else { return Ok(None) };
    match value.to_str().ok().and_then(RequestId::parse) {
        Some(id) => Ok(Some(id)),
        None => {
            let reason = format!(
                "the value of `X-Faasflow-Repeats` is not a valid request id: leave the header out, or send the id of the request \
                 that this one repeats; an id has {}",
                RequestId::FORM
            );
            Err(Refusal::new(StatusCode::BAD_REQUEST, code::BAD_REQUEST_ID, reason))
        }
    }
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

/// The id of the invocation. It stays the same when a queue delivers the invocation again.
fn call(headers: &HeaderMap) -> String {
    let given = headers.get(headers::CALL_ID).and_then(|value| value.to_str().ok());
    given.map_or_else(|| Uuid::now_v7().to_string(), str::to_owned)
}

pub(crate) fn start(
    flow: &Flow,
    name: &Arc<str>,
    id: RequestId,
    parts: &request::Parts,
    body: Bytes,
    sampling: &Sampling,
    remembers: bool,
) -> Result<Arrival, Refusal> {
    if remembers {
        check_id(&parts.headers)?;
    }
    let repeats = if remembers { repeats(&parts.headers)? } else { None };
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
        // A request that is remembered is found by its id alone, so no other may have the same.
        invocation: if remembers { None } else { invocation(&parts.headers) },
    };
    let invocation = remembers.then(|| call(&parts.headers));
    let payload = Payload::new(body).with_content_type_header(parts.headers.get(CONTENT_TYPE).cloned());
    let start = flow.plan().start();
    let caller = if info.callback_url.is_none() { Caller::Waits } else { Caller::Left };
    let token = Token::new(start, payload).with_caller(caller);
    Ok(Arrival {
        info: Arc::new(info),
        token,
        state: EmbeddedState::new(),
        branching: None,
        earlier: None,
        sent_ms: None,
        invocation,
        repeats,
        attempt: None,
    })
}

/// Whether the token of an envelope has what the machine for this flow needs. A flow that has lost its branches cannot make
/// the input of a join.
fn can_go_on(envelope: &Envelope, flow: &Flow, remembers: bool) -> bool {
    let is_token = envelope.branching.as_ref().is_none_or(|branching| branching.origin == Origin::Token);
    let is_single = if remembers { envelope.place.path().is_empty() } else { envelope.place.is_linear() };
    flow.plan().needs_store() || (is_token && is_single)
}

/// The reason in the answer to an envelope that cannot go on with the definition that is deployed.
pub(super) const OTHER_DEFINITION: &str = "the envelope was made by another definition of this flow, which was replaced while \
                                           the request was under way; deploy the old definition to let the request end, or \
                                           send it again";

impl Refusal {
    /// The refusal of a token of another definition, whose steps ahead of it differ from those that are deployed.
    pub(super) fn other_definition(
        of: (Arc<RequestInfo>, Place),
        deployed: &Plan,
        shape: &str,
        fingerprint: Fingerprint,
    ) -> Refusal {
        let detail = format!(
            "this flow is {} ({}); the envelope, at phase {}, was made by {shape} ({fingerprint})",
            deployed.shape(),
            deployed.fingerprint(),
            of.1,
        );
        let refusal = Refusal::new(StatusCode::CONFLICT, code::OTHER_DEFINITION, OTHER_DEFINITION);
        Refusal { detail: Some(detail), of: Some(of), made_by: Some(shape.to_owned()), ..refusal }
    }
}

impl Instance {
    /// Resumes a request from the body of a verified envelope.
    pub(super) fn open(&self, body: &Bytes) -> Result<Arrival, Refusal> {
        let (flow, name, plan) = (&self.flow, &*self.name, self.flow.plan());
        let envelope = Envelope::decode(body).map_err(|error| Refusal {
            detail: Some(chain(&error)),
            ..Refusal::new(StatusCode::BAD_REQUEST, error.code(), with_help(error.to_string(), error.help()))
        })?;
        let of = (envelope.request.clone(), envelope.place.clone());
        let refuse =
            |code, reason| Refusal { of: Some(of.clone()), ..Refusal::new(StatusCode::BAD_REQUEST, code, reason) };
        if &*envelope.request.flow != name {
            let other = &envelope.request.flow;
            let reason = format!("the envelope belongs to the flow `{other}`, but this is the flow `{name}`");
            return Err(refuse(code::OTHER_FLOW, reason));
        }
        let begun = self.definitions.find(flow, envelope.fingerprint, &envelope.shape);
        let route = begun.route(flow);
        let is_same = match (&begun, envelope.ahead, route.segment(&envelope.place)) {
            (BegunWith::Deployed, ..) => true,
            (BegunWith::Earlier(_), _, segment) => {
                // The machine for requests that are remembered executes only what is the same, but also passes on what is recorded.
                let may_be_recorded = self.keeps(&envelope.request) && route.plan().segment(&envelope.place).is_some();
                may_be_recorded || (segment.is_some() && can_go_on(&envelope, flow, self.remembers))
            }
            (BegunWith::Unknown, Some(ahead), Some(segment)) => {
                segment.ahead() == ahead && can_go_on(&envelope, flow, self.remembers)
            }
            (BegunWith::Unknown, ..) => false,
        };
        if !is_same {
            return Err(Refusal::other_definition(of, plan, &envelope.shape, envelope.fingerprint));
        }
        if route.plan().segment(&envelope.place).is_none() {
            let count = plan.phase_count();
            let reason = format!("the envelope is malformed: it is at phase {} of {count}", envelope.place);
            return Err(refuse(code::NO_SUCH_PHASE, reason));
        }
        // Nobody waits for the answer to an envelope.
        let caller = Caller::Left;
        Ok(Arrival {
            info: envelope.request,
            token: Token::new(envelope.place, envelope.payload).with_caller(caller),
            state: envelope.state,
            branching: envelope.branching.filter(|_| plan.needs_store() || self.remembers),
            earlier: begun.earlier().cloned(),
            sent_ms: Some(envelope.sent_ms),
            invocation: None,
            repeats: None,
            attempt: None,
        })
    }
}
