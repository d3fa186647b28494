//! Reads the query and the path of an API request. axum's own extractors would refuse in its words and without a code.

use std::collections::HashSet;
use std::error::Error;

use axum::extract::{FromRequestParts, Path, Query};
use axum::response::Response;
use faasflow_core::code;
use http::StatusCode;
use http::request::Parts;
use serde::de::DeserializeOwned;

use crate::answer::refusal;

/// The parameters of the query. Those that `T` does not have are ignored.
pub(crate) struct Parameters<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Parameters<T> {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Parameters<T>, Response> {
        match Query::try_from_uri(&parts.uri) {
            Ok(Query(parameters)) => Ok(Parameters(parameters)),
            Err(error) => Err(match repeated(parts) {
                Some(name) => refuse(format!("`{name}` is in the query twice: give it once")),
                None => refuse(format!("the query cannot be used: {}", innermost(&error))),
            }),
        }
    }
}

/// The variable part of the path, such as the name of a function.
pub(super) struct Segment(pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for Segment {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Segment, Response> {
        match Path::from_request_parts(parts, state).await {
            Ok(Path(segment)) => Ok(Segment(segment)),
            Err(_) => Err(refuse(format!("the path `{}` cannot be used: it is not UTF-8", parts.uri.path()))),
        }
    }
}

/// The first parameter that occurs twice.
fn repeated(parts: &Parts) -> Option<String> {
    let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(&parts.uri).ok()?;
    let mut names = HashSet::new();
    pairs.into_iter().map(|(name, _)| name).find(|name| !names.insert(name.clone()))
}

/// The last cause of an error. Those before only say that a query could not be read.
fn innermost(error: &dyn Error) -> String {
    let mut last = error;
    while let Some(cause) = last.source() {
        last = cause;
    }
    last.to_string()
}

fn refuse(text: String) -> Response {
    refusal(StatusCode::BAD_REQUEST, code::BAD_API_PARAMETER, text)
}
