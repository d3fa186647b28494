//! Why a function gave no answer, and the answer that its caller gets instead.

use std::time::Duration;

use axum::response::Response;
use faasflow_core::chain;
use faasflow_core::code::{self, Code};
use faasflow_core::headers::{ERROR_CODE, GATEWAY_ERROR, gateway_error};
use faasflow_http::{HttpError, NoRoom};
use http::StatusCode;
use http::header::{HeaderValue, RETRY_AFTER};

use super::limit::Busy;
use super::unavailable::Unavailable;
use crate::answer::{busy, internal, no_room};

/// Why a function gave no answer.
#[derive(Debug)]
pub(crate) enum NoAnswer {
    /// It does not take requests yet, or not at the moment.
    Pending(Unavailable),
    /// It will not take requests until it is changed.
    Broken(Unavailable),
    /// It was removed after the request had found it.
    Removed,
    /// It is at its limit of requests.
    Busy(Busy),
    /// The gateway could not connect to it.
    Unreachable(String),
    /// The gateway could not connect to its container. It has ended, which the engine has not reported yet.
    Ended(String),
    /// The gateway could not connect to it because it has no more files.
    NoFiles(String),
    /// The connection was lost before it had answered. It may have executed the request.
    Died(String),
    /// Its answer cannot be used. Another attempt would have the same result.
    Unusable(String),
    /// It did not begin to answer in time.
    Timeout(Duration),
    /// There is no memory for the request or for the answer.
    NoRoom(NoRoom),
    /// The request could not be forwarded.
    Request(StatusCode, Code, String),
}

impl NoAnswer {
    /// The answer that the caller gets. Some texts are those of OpenFaaS's gateway.
    pub(crate) fn response(&self, name: &str) -> Response {
        match self {
            NoAnswer::Pending(why) => {
                let text = format!("`{name}` is not ready: {}", why.describe());
                let mut response = marked(StatusCode::SERVICE_UNAVAILABLE, gateway_error::FUNCTION_UNREACHABLE, text);
                // The code of the cause, which can be explained.
                let code = HeaderValue::from_static(why.code().as_str());
                response.headers_mut().insert(ERROR_CODE, code);
                response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
                response
            }
            NoAnswer::Broken(why) => marked(
                StatusCode::SERVICE_UNAVAILABLE,
                gateway_error::FUNCTION_BROKEN,
                format!("`{name}` does not run: {}", why.describe()),
            ),
            NoAnswer::Removed => {
                let text = format!("the function `{name}` is not deployed: it was removed");
                internal(StatusCode::NOT_FOUND, code::UNKNOWN_FUNCTION, text)
            }
            NoAnswer::Busy(limit) => too_many(name, limit),
            NoAnswer::Unreachable(_) => marked(
                StatusCode::INTERNAL_SERVER_ERROR,
                gateway_error::FUNCTION_UNREACHABLE,
                format!("Can't reach service for: {name}."),
            ),
            NoAnswer::Ended(why) => marked(
                StatusCode::BAD_GATEWAY,
                gateway_error::FUNCTION_UNREACHABLE,
                format!("`{name}` cannot be reached: its container has stopped or is stopping: {why}"),
            ),
            NoAnswer::NoFiles(why) => {
                busy(format!("the gateway has no more files (`ulimit -n`): {why}: try again later"))
            }
            NoAnswer::Died(why) => marked(
                StatusCode::BAD_GATEWAY,
                gateway_error::FUNCTION_DIED,
                format!("`{name}` died before it had answered: {why}"),
            ),
            NoAnswer::Unusable(why) => marked(
                StatusCode::BAD_GATEWAY,
                gateway_error::UNUSABLE_ANSWER,
                format!("`{name}` gave an answer that cannot be used: {why}"),
            ),
            NoAnswer::Timeout(after) => {
                let text = format!("`{name}` did not begin to answer within {after:?}");
                internal(StatusCode::BAD_GATEWAY, code::TIMEOUT, text)
            }
            NoAnswer::NoRoom(full) => no_room(*full),
            NoAnswer::Request(status, code, why) => internal(*status, *code, why.clone()),
        }
    }

    /// The reason, for the log and for the dead letter.
    pub(crate) fn reason(&self) -> String {
        match self {
            NoAnswer::Pending(why) => format!("it is not ready: {}", why.describe()),
            NoAnswer::Broken(why) => format!("it does not run: {}", why.describe()),
            NoAnswer::Unreachable(why) | NoAnswer::Ended(why) => format!("it could not be reached: {why}"),
            NoAnswer::NoFiles(why) => format!("the gateway has no more files: {why}"),
            NoAnswer::Died(why) => format!("it died before it had answered: {why}"),
            NoAnswer::Unusable(why) => format!("its answer cannot be used: {why}"),
            NoAnswer::Removed => "it was removed".to_owned(),
            NoAnswer::Busy(busy) => busy.reason(),
            NoAnswer::Timeout(after) => format!("it did not begin to answer within {after:?}"),
            NoAnswer::NoRoom(full) => full.to_string(),
            NoAnswer::Request(_, _, why) => why.clone(),
        }
    }
}

impl From<HttpError> for NoAnswer {
    fn from(error: HttpError) -> NoAnswer {
        let why = chain(&error);
        if error.is_out_of_files() {
            NoAnswer::NoFiles(why)
        } else if error.is_connect() {
            NoAnswer::Unreachable(why)
        } else if error.is_request_body() {
            NoAnswer::Request(StatusCode::BAD_REQUEST, code::BODY_INTERRUPTED, why)
        } else if error.is_unusable_answer() {
            NoAnswer::Unusable(why)
        } else {
            NoAnswer::Died(why)
        }
    }
}

/// The answer if a function is at its limit of requests: 429, with the time after which to try again.
fn too_many(name: &str, limit: &Busy) -> Response {
    let text = format!("`{name}` is busy: {}. Try again later.", limit.reason());
    let mut response = internal(StatusCode::TOO_MANY_REQUESTS, code::FUNCTION_BUSY, text);
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

/// The same as [`internal`], which also tells flows why there is no answer: a constant of [`gateway_error`].
fn marked(status: StatusCode, why: &'static str, text: String) -> Response {
    let code = match why {
        gateway_error::FUNCTION_DIED => code::INTERRUPTED,
        gateway_error::FUNCTION_UNREACHABLE => code::UNREACHABLE,
        gateway_error::UNUSABLE_ANSWER => code::UNUSABLE_ANSWER,
        _ => code::FUNCTION_BROKEN,
    };
    let mut response = internal(status, code, text);
    response.headers_mut().insert(GATEWAY_ERROR, HeaderValue::from_static(why));
    response
}
