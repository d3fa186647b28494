//! Disks that take no more, and how the gateway answers then.

use std::io;

use axum::response::Response;
use faasflow_core::chain;
use faasflow_core::code::Code;
use http::StatusCode;
use http::header::{HeaderValue, RETRY_AFTER};

use crate::answer::refusal;
use crate::queue::{QueueError, is_full};

/// When to come again to a disk that took nothing, in seconds: room on it is seldom made sooner.
const RETRY_SECONDS: &str = "5";

/// The status for a change that the disk did not take: 507 where it is full, 500 where somebody has to see to the folder,
/// else 503.
pub(crate) fn status(error: &io::Error) -> StatusCode {
    use io::ErrorKind::{IsADirectory, NotADirectory, NotFound, PermissionDenied, ReadOnlyFilesystem};
    match error.kind() {
        _ if is_full(error) => StatusCode::INSUFFICIENT_STORAGE,
        IsADirectory | NotADirectory | NotFound | PermissionDenied | ReadOnlyFilesystem => {
            StatusCode::INTERNAL_SERVER_ERROR
        }
        _ => StatusCode::SERVICE_UNAVAILABLE,
    }
}

/// The status for something that the queue did not do, for want of its disk or since it is closed.
pub(crate) fn queue_status(error: &QueueError) -> StatusCode {
    match error {
        QueueError::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        QueueError::Full(_) => StatusCode::INSUFFICIENT_STORAGE,
        QueueError::Storage(_) | QueueError::Closed => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// The answer about something that the queue did not do.
pub(crate) fn queue_answer(error: &QueueError, before: &str) -> Response {
    answer(queue_status(error), error.code(), format!("{before}{}", chain(error)))
}

/// A short text as an answer, with the time to come again where the status is one that passes.
pub(crate) fn answer(status: StatusCode, code: Code, text: String) -> Response {
    let mut response = refusal(status, code, text);
    if [StatusCode::INSUFFICIENT_STORAGE, StatusCode::SERVICE_UNAVAILABLE].contains(&status) {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static(RETRY_SECONDS));
    }
    response
}
