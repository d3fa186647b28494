//! The answers of the gateway if the disk is full or fails.

use std::io;

use axum::response::Response;
use faasflow_core::chain;
use faasflow_core::code::Code;
use http::StatusCode;
use http::header::{HeaderValue, RETRY_AFTER};

use crate::answer::refusal;
use crate::queue::{QueueError, is_full};
use crate::store::StoreError;

/// The value of `Retry-After` after an error of the disk, in seconds. Space is seldom made sooner.
const RETRY_SECONDS: &str = "5";

/// The status for a change that could not be written: 507 if the disk is full, 500 if somebody must repair the folder, and 503
/// otherwise.
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

/// The status for an error of the queue.
pub(crate) fn queue_status(error: &QueueError) -> StatusCode {
    match error {
        QueueError::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        QueueError::Full(_) => StatusCode::INSUFFICIENT_STORAGE,
        QueueError::Storage(_) | QueueError::Closed => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// The answer for an error of the queue.
pub(crate) fn queue_answer(error: &QueueError, before: &str) -> Response {
    answer(queue_status(error), error.code(), format!("{before}{}", chain(error)))
}

/// The answer for an error of the store.
pub(crate) fn store_answer(error: &StoreError) -> Response {
    let status = match error {
        StoreError::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        StoreError::Full(_) => StatusCode::INSUFFICIENT_STORAGE,
        StoreError::Storage(_) | StoreError::Closed => StatusCode::SERVICE_UNAVAILABLE,
        StoreError::Unusable { .. } => StatusCode::INTERNAL_SERVER_ERROR,
    };
    answer(status, error.code(), chain(error))
}

/// A refusal, with `Retry-After` if the status is temporary.
pub(crate) fn answer(status: StatusCode, code: Code, text: String) -> Response {
    let mut response = refusal(status, code, text);
    if [StatusCode::INSUFFICIENT_STORAGE, StatusCode::SERVICE_UNAVAILABLE].contains(&status) {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static(RETRY_SECONDS));
    }
    response
}
