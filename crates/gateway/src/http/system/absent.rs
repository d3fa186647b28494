use axum::response::Response;
use faasflow_core::code;
use http::StatusCode;

use crate::answer::refusal;

/// The answer to a request about a function that is not deployed.
pub(super) fn absent(name: &str) -> Response {
    refusal(StatusCode::NOT_FOUND, code::UNKNOWN_FUNCTION, format!("the function `{name}` is not deployed"))
}
