//! The answers to deliveries.

use axum::body::Body;
use axum::response::Response;
use faasflow_core::code::{self, Code};
use faasflow_core::machine::forked::Reason;
use faasflow_core::{Failure, Payload, RequestId, headers};
use http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use http::{HeaderName, StatusCode};
use serde::Serialize;

use super::remedy::with_help;
use crate::conclusion::{Conclusion, Delivery};
use crate::gateway::OCTETS;

/// The value of `Retry-After` if the service that is unavailable has not named one.
const RETRY_SECONDS: u64 = 5;

/// The body of an answer that does not come from the flow's own code.
#[derive(Serialize)]
struct Problem<'a> {
    request_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    phase: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    step: Option<&'a str>,
    reason: &'a str,
    code: &'a str,
}

/// The payload of a failure that no handler resolved.
pub(crate) fn failure_payload(id: &RequestId, failure: &Failure) -> Payload {
    let reason = with_help(failure.reason(), failure.kind().help());
    let phase = Some(failure.phase());
    problem(&Problem {
        request_id: id.as_str(),
        phase,
        step: Some(failure.step()),
        reason: &reason,
        code: failure.code().as_str(),
    })
}

/// The same payload, of the reason that was recorded.
pub(crate) fn reason_payload(id: &RequestId, phase: usize, reason: &Reason) -> Payload {
    let Reason { name, text, code, .. } = reason;
    // A request that is stopped need not be at one phase.
    let phase = (code != code::REQUEST_STOPPED.as_str()).then_some(phase);
    problem(&Problem { request_id: id.as_str(), phase, step: Some(name), reason: text, code })
}

fn problem(problem: &Problem<'_>) -> Payload {
    let json = serde_json::to_vec(problem).expect("a problem is plain data");
    Payload::new(json).with_content_type("application/json")
}

/// The answer to a delivery during which Faasflow itself panicked.
pub(crate) fn internal_failure(id: &RequestId) -> Response {
    let reason = "the flow function itself failed; see its log".to_owned();
    let conclusion = Conclusion::Refused(StatusCode::INTERNAL_SERVER_ERROR, code::INTERNAL, reason);
    respond(conclusion, id, Delivery::Fresh, None)
}

/// The answer to one delivery. If there are `lines_before`, the body starts with them.
pub(crate) fn respond(
    conclusion: Conclusion,
    id: &RequestId,
    delivery: Delivery,
    lines_before: Option<String>,
) -> Response {
    let (status, code) = (conclusion.status(delivery), conclusion.code());
    let mut response = match conclusion {
        Conclusion::Forwarded => empty(status),
        Conclusion::Ended(outcome, payload, _) => {
            let mut response = with_payload(status, payload, lines_before);
            let value = HeaderValue::from_static(outcome.as_str());
            response.headers_mut().insert(headers::OUTCOME, value);
            response
        }
        Conclusion::Transient(outage) => {
            let mut response = refusal(status, id, outage.code, &outage.reason);
            let seconds = outage.retry_after.map_or(RETRY_SECONDS, |asked| asked.as_secs().max(1));
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
            response
        }
        Conclusion::Refused(_, code, reason) => refusal(status, id, code, &reason),
    };
    header(&mut response, headers::REQUEST_ID, id.as_str());
    if let Some(code) = code {
        response.headers_mut().insert(headers::ERROR_CODE, HeaderValue::from_static(code.as_str()));
    }
    response
}

fn refusal(status: StatusCode, id: &RequestId, code: Code, reason: &str) -> Response {
    let code = code.as_str();
    with_payload(status, problem(&Problem { request_id: id.as_str(), phase: None, step: None, reason, code }), None)
}

fn with_payload(status: StatusCode, payload: Payload, lines_before: Option<String>) -> Response {
    let content_type = match payload.content_type_header() {
        Some(content_type) => Some(content_type.clone()),
        None => (!payload.is_empty()).then_some(OCTETS),
    };
    let body = match lines_before {
        None => Body::from(payload.into_bytes()),
        Some(lines) => faasflow_http::body_of_parts(vec![lines.into(), payload.into_bytes()]),
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    if let Some(content_type) = content_type {
        response.headers_mut().insert(CONTENT_TYPE, content_type);
    }
    response
}

fn empty(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

fn header(response: &mut Response, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}
