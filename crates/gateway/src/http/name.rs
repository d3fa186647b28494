//! The function that a path names.

use std::sync::Arc;

use axum::response::Response;
use faasflow_core::code;
use http::StatusCode;

use crate::answer::{internal, refusal};
use crate::functions::{Function, Functions};

/// Splits a target into the name of a function and the rest of the path.
pub(super) fn split(target: &str) -> (&str, &str) {
    match target.find('/') {
        Some(slash) if &target[slash..] == "/" => (&target[..slash], ""),
        Some(slash) => target.split_at(slash),
        None => (target, ""),
    }
}

/// The function of this name.
///
/// # Errors
///
/// If there is none, with the answer for the caller: 400 if no function can have this name, otherwise 404.
pub(super) fn find(functions: &Functions, name: &str) -> Result<Arc<Function>, Box<Response>> {
    let valid = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    if !valid {
        let text = format!("`{name}` cannot be the name of a function: use letters, digits, `-`, `_` and `.` only");
        return Err(Box::new(refusal(StatusCode::BAD_REQUEST, code::BAD_NAME_IN_PATH, text)));
    }
    functions.find(name).ok_or_else(|| {
        let known = functions.names().join(", ");
        let known = if known.is_empty() { "no function is".to_owned() } else { format!("deployed functions: {known}") };
        let text = format!("the function `{name}` is not deployed; {known}");
        Box::new(internal(StatusCode::NOT_FOUND, code::UNKNOWN_FUNCTION, text))
    })
}
