//! Makes the callback that a call asks for.

use faasflow_core::RequestId;
use faasflow_core::headers::{REQUEST_ID, is_hop_by_hop};
use faasflow_http::now_ms;
use http::header::{CONTENT_LENGTH, DATE};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use crate::call::{Call, Target};
use crate::deliver::Answer;

/// The status in a callback if the function gave no answer. OpenFaaS's worker reports the same.
const NO_ANSWER: StatusCode = StatusCode::SERVICE_UNAVAILABLE;

/// The callback that a call asks for, with the answer; `None` if the call asks for none.
pub(crate) fn callback_of(call: &Call, answer: Option<&Answer>) -> Option<Call> {
    let Target::Function { name, callback_url: Some(url), .. } = &call.target else { return None };
    let mut headers = HeaderMap::new();
    if let Some(answer) = answer {
        for (name, value) in &answer.headers {
            if !is_hop_by_hop(name) && *name != CONTENT_LENGTH && *name != DATE {
                headers.append(name.clone(), value.clone());
            }
        }
    }
    // Flows answer with the id of the request. For other functions the id comes from the caller.
    if let Some(id) =
        call.headers.get(REQUEST_ID).filter(|id| id.to_str().is_ok_and(|id| RequestId::parse(id).is_some()))
    {
        headers.entry(REQUEST_ID).or_insert_with(|| id.clone());
    }
    let status = answer.map_or(NO_ANSWER, |answer| answer.status);
    let seconds = answer.map_or(0.0, |answer| answer.duration.as_secs_f64());
    for (header, text) in [
        ("x-call-id", call.call_id.clone()),
        ("x-duration-seconds", format!("{seconds:.6}")),
        ("x-function-status", status.as_u16().to_string()),
        ("x-function-name", name.clone()),
    ] {
        if let Ok(value) = HeaderValue::from_str(&text) {
            headers.insert(HeaderName::from_static(header), value);
        }
    }
    Some(Call {
        call_id: call.call_id.clone(),
        target: Target::Callback { url: url.clone(), function: name.clone() },
        headers,
        body: answer.map(|answer| answer.body.clone()).unwrap_or_default(),
        accepted_ms: now_ms(),
    })
}
