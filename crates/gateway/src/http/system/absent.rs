use axum::response::Response;
use http::StatusCode;

use crate::answer::plain;

/// The answer where no function has this name.
pub(super) fn absent(name: &str) -> Response {
    plain(StatusCode::NOT_FOUND, format!("there is no function `{name}` here"))
}
