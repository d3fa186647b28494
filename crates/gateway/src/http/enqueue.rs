//! `/async-function/NAME`: an asynchronous call, which goes into the queue.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use faasflow_core::{chain, code, headers, parse_callback_header, without_credentials};
use faasflow_http::{Budget, ReadBodyError, drain, read_body_into};
use http::header::{ALLOW, HeaderName, HeaderValue};
use http::{Method, StatusCode, request};

use super::name::{find, split};
use super::stamp::{identify, stamp};
use crate::answer::{after_body, refusal};
use crate::forwarding::forward;
use crate::functions::Functions;
use crate::queue::{Accepted, NewCall, Queue, QueueError};
use crate::{disk, proxy, request_id, room};

const CALLBACK_URL: HeaderName = HeaderName::from_static("x-callback-url");

/// The state for asynchronous calls.
pub(crate) struct Intake {
    pub(crate) functions: Functions,
    pub(crate) queue: Queue,
    /// The limit of what is in flight.
    pub(crate) budget: Budget,
    /// The largest body, in bytes.
    pub(crate) max_body: usize,
    /// What users call the option that sets `max_body`, such as a flag.
    pub(crate) max_body_option: Option<String>,
    /// How long a body may take to arrive.
    pub(crate) read_timeout: Duration,
}

impl Intake {
    fn too_large(&self, limit: usize) -> String {
        let raise = self.max_body_option.as_ref().map(|option| format!(", or raise the limit with {option}"));
        format!("the queue takes bodies up to {limit} bytes: send less{}", raise.unwrap_or_default())
    }
}

/// Puts a call into the queue. The answer gets the request id of the request.
pub(super) async fn asynchronous(State(intake): State<Arc<Intake>>, request: Request) -> Response {
    let id = request_id::given(request.headers());
    let mut response = queue(&intake, request).await;
    request_id::put(id.as_ref(), response.headers_mut());
    response
}

async fn queue(intake: &Intake, request: Request) -> Response {
    let (mut parts, body) = request.into_parts();
    if let Some(refusal) = room::refuse_headers(&parts.headers) {
        return after_body(&parts.headers, body, refusal).await;
    }
    if let Some(why) = proxy::unsupported_upgrade(&parts.headers) {
        let refusal = refusal(StatusCode::NOT_IMPLEMENTED, code::UNSUPPORTED_UPGRADE, why);
        return after_body(&parts.headers, body, refusal).await;
    }
    if parts.method != Method::POST {
        let text = format!("`{}` cannot be used here: an asynchronous call is a POST", parts.method);
        let mut response = refusal(StatusCode::METHOD_NOT_ALLOWED, code::WRONG_METHOD, text);
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
        return after_body(&parts.headers, body, response).await;
    }
    let target = parts.uri.path().strip_prefix("/async-function/").unwrap_or_default().to_owned();
    let (name, path) = split(&target);
    if let Err(response) = find(&intake.functions, name) {
        return after_body(&parts.headers, body, *response).await;
    }
    if let Some(id) = parts.headers.get(headers::CALL_ID)
        && id.to_str().is_err()
    {
        let text = "`X-Call-Id` may only have visible ASCII characters";
        let refusal = refusal(StatusCode::BAD_REQUEST, code::BAD_CALL_ID, text);
        return after_body(&parts.headers, body, refusal).await;
    }
    let place = match intake.budget.admit() {
        Ok(place) => place,
        Err(full) => return room::refuse(&parts.headers, body, full).await,
    };
    let accepted = accept(intake, name, path, &mut parts, body).await;
    drop(place);
    match accepted {
        Ok((call_id, accepted)) => {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::ACCEPTED;
            response.headers_mut().insert(headers::CALL_ID, call_id);
            if accepted == Accepted::Duplicate {
                // Usually this is a repetition, which the window is for. But a caller that gives two calls one
                // id by mistake would never learn that the second one goes nowhere.
                response.headers_mut().insert(headers::DUPLICATE, HeaderValue::from_static("true"));
            }
            stamp(response.headers_mut());
            response
        }
        Err(response) => *response,
    }
}

/// Puts a call into the queue. When this returns, the call is on disk. Returns its id, and whether it was there before.
async fn accept(
    intake: &Intake,
    name: &str,
    path: &str,
    parts: &mut request::Parts,
    body: Body,
) -> Result<(HeaderValue, Accepted), Box<Response>> {
    let refuse = |status, code, text: String| Box::new(refusal(status, code, text));
    let callback_url = match parts.headers.get(CALLBACK_URL) {
        None => None,
        Some(value) => {
            let url = parse_callback_header(value).map_err(|fault| chain(&fault));
            Some(url.map_err(|fault| {
                refuse(
                    StatusCode::BAD_REQUEST,
                    code::BAD_CALLBACK_URL,
                    format!("`X-Callback-Url` cannot be used: {fault}"),
                )
            })?)
        }
    };
    if let Some(url) = &callback_url
        && let Ok(shown) = HeaderValue::try_from(without_credentials(&url.to_string()))
    {
        // The function gets this header, and the admin API shows it.
        parts.headers.insert(CALLBACK_URL, shown);
    }
    let limit = intake.max_body;
    let mut body = body;
    // The share is held until the call is on disk.
    let mut share = intake.budget.request_share().copied(room::WRITTEN_COPIES);
    let read = read_body_into(&mut body, limit as u64, intake.read_timeout, &mut share).await;
    match &read {
        Err(ReadBodyError::TooLarge { .. }) => drain(&parts.headers, body).await,
        Err(ReadBodyError::NoRoom(full)) => return Err(Box::new(room::refuse(&parts.headers, body, *full).await)),
        _ => {}
    }
    let body = read.map_err(|error| match error {
        ReadBodyError::TooLarge { .. } => {
            refuse(StatusCode::PAYLOAD_TOO_LARGE, code::CALL_TOO_LARGE, intake.too_large(limit))
        }
        ReadBodyError::TooSlow(_) => refuse(StatusCode::REQUEST_TIMEOUT, error.code(), error.to_string()),
        _ => refuse(StatusCode::BAD_REQUEST, error.code(), error.to_string()),
    })?;
    let (call_id, _) = identify(&mut parts.headers);
    stamp(&mut parts.headers);
    // The address of the client is added now, because it is unknown when the call is delivered.
    forward(parts);
    parts.headers.remove(http::header::HOST);
    let call = NewCall {
        call_id: String::from_utf8_lossy(call_id.as_bytes()).into_owned(),
        function: name.to_owned(),
        path: path.to_owned(),
        query: parts.uri.query().map(str::to_owned),
        headers: std::mem::take(&mut parts.headers),
        body,
        callback_url,
    };
    let accepted = intake.queue.enqueue(call).await;
    drop(share);
    match accepted {
        Ok(accepted) => Ok((call_id, accepted)),
        Err(QueueError::TooLarge { limit, .. }) => {
            Err(refuse(StatusCode::PAYLOAD_TOO_LARGE, code::CALL_TOO_LARGE, intake.too_large(limit)))
        }
        Err(error) => {
            tracing::error!(error = chain(&error), code = %error.code(), "a call was not accepted");
            Err(Box::new(disk::queue_answer(&error, "Error queuing request: ")))
        }
    }
}
