//! Reads bodies of API requests, within limits.

use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use faasflow_core::code::{self, Code};
use faasflow_http::{ReadBodyError, drain, read_body};
use http::{HeaderMap, StatusCode};
use serde::de::DeserializeOwned;

use crate::answer::refusal;

/// The largest body, in bytes. Kubernetes has the same limit for secrets.
const LARGEST: u64 = 1 << 20;
/// How long a body may take to arrive.
const WITHIN: Duration = Duration::from_secs(30);

/// Reads JSON.
pub(super) async fn read<T: DeserializeOwned>(body: Body) -> Result<T, Box<Response>> {
    let body = object(body).await?;
    let mut reader = serde_json::Deserializer::from_slice(&body);
    let read = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = error.path().to_string();
        let error = error.into_inner();
        // The path means nothing if the syntax is wrong.
        if path == "." || error.is_syntax() || error.is_eof() {
            error.to_string()
        } else {
            format!("`{path}`: {error}")
        }
    });
    let whole = read.and_then(|read| reader.end().map(|()| read).map_err(|error| error.to_string()));
    whole.map_err(|why| unusable(&why))
}

/// Reads JSON that contains a secret. The answer quotes nothing of it.
pub(super) async fn read_secret<T: DeserializeOwned>(body: Body) -> Result<T, Box<Response>> {
    let body = object(body).await?;
    serde_json::from_slice(&body).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        unusable(&format!("see line {line}, column {column}"))
    })
}

/// The bytes of a body that does not begin like an array. serde would fill a struct from an array too, in the order of its fields, and
/// an empty array would select every dead letter.
async fn object(body: Body) -> Result<Bytes, Box<Response>> {
    let bytes = bytes(body).await?;
    match bytes.iter().find(|byte| !byte.is_ascii_whitespace()) {
        Some(b'[') => Err(unusable("it is a list, and must be a JSON object, such as `{\"name\": …}`")),
        _ => Ok(bytes),
    }
}

pub(super) async fn bytes(mut body: Body) -> Result<Bytes, Box<Response>> {
    match read_body(&mut body, LARGEST, WITHIN).await {
        Ok(bytes) => Ok(bytes),
        Err(error) => {
            let status = match error {
                ReadBodyError::TooLarge { .. } => {
                    drain(&HeaderMap::new(), body).await;
                    StatusCode::PAYLOAD_TOO_LARGE
                }
                ReadBodyError::TooSlow(_) => StatusCode::REQUEST_TIMEOUT,
                _ => StatusCode::BAD_REQUEST,
            };
            Err(refuse(status, error.code(), error.to_string()))
        }
    }
}

fn unusable(why: &str) -> Box<Response> {
    refuse(StatusCode::BAD_REQUEST, code::BAD_API_BODY, format!("the body cannot be used: {why}"))
}

fn refuse(status: StatusCode, code: Code, text: String) -> Box<Response> {
    Box::new(refusal(status, code, text))
}
