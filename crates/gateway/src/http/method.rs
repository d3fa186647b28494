use axum::extract::Request;
use axum::response::Response;
use faasflow_core::code;
use http::StatusCode;

use crate::answer::refusal;

/// Refuses a method that a path does not take. axum adds the header `Allow`.
pub(super) async fn wrong_method(request: Request) -> Response {
    let text = format!("`{}` cannot be used at `{}`: `Allow` lists what can", request.method(), request.uri().path());
    refusal(StatusCode::METHOD_NOT_ALLOWED, code::WRONG_METHOD, text)
}
