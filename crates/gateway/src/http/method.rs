//! Refuses methods that a path does not take.

use axum::extract::Request;
use axum::response::Response;
use faasflow_core::code;
use http::header::ALLOW;
use http::{Method, StatusCode};

use crate::answer::refusal;

/// What a refused request asked for.
#[derive(Clone)]
struct WrongMethod {
    method: Method,
    path: String,
}

/// Refuses a method that a path does not take. axum adds the header `Allow` afterwards, and then [`list_methods`] makes the text.
pub(super) async fn wrong_method(request: Request) -> Response {
    let mut response = refusal(StatusCode::METHOD_NOT_ALLOWED, code::WRONG_METHOD, "");
    let path = request.uri().path().to_owned();
    response.extensions_mut().insert(WrongMethod { method: request.method().clone(), path });
    response
}

/// Writes the methods in `Allow` into the text of a refusal.
pub(super) async fn list_methods(mut response: Response) -> Response {
    let Some(WrongMethod { method, path }) = response.extensions_mut().remove() else { return response };
    let allow = response.headers_mut().remove(ALLOW);
    let listed = allow.as_ref().and_then(|allow| allow.to_str().ok()).unwrap_or_default();
    let methods: Vec<&str> = listed.split(',').map(str::trim).filter(|method| !method.is_empty()).collect();
    let text = format!("`{method}` cannot be used at `{path}`: use {}", either(&methods));
    let mut response = refusal(StatusCode::METHOD_NOT_ALLOWED, code::WRONG_METHOD, text);
    if let Some(allow) = allow {
        response.headers_mut().insert(ALLOW, allow);
    }
    response
}

/// `GET, HEAD or POST`.
fn either(methods: &[&str]) -> String {
    match methods {
        [first @ .., last] if !first.is_empty() => format!("{} or {last}", first.join(", ")),
        _ => methods.concat(),
    }
}
