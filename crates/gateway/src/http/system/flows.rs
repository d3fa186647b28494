//! The requests of flows: forwarded to the flow, signed with its key.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use faasflow_admin::REQUEST_HEADERS;
use faasflow_core::code;
use faasflow_core::headers::{ERROR_CODE, SIGNATURE, SIGNED_AT};
use faasflow_core::names::HMAC_SECRET;
use faasflow_core::signature::{Keys, api_request};
use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::{Method, StatusCode, request};

use super::absent::absent;
use super::body;
use super::secrets::SecretFiles;
use crate::answer::{after_body, refusal};
use crate::functions::{Function, Functions};
use crate::guarded_body::GuardedBody;
use crate::http::invoke::Invocations;
use crate::http::name::split;
use crate::proxy::Sender;

/// The names of the flows.
pub(super) async fn list(State(functions): State<Functions>) -> Json<Vec<String>> {
    let flows = functions.all().into_iter().filter(|function| function.spec.has_key());
    Json(flows.map(|function| function.spec.name.clone()).collect())
}

pub(super) async fn forward(
    State(way): State<Arc<Invocations>>,
    State(files): State<Arc<SecretFiles>>,
    request: Request,
) -> Response {
    let (mut parts, body) = request.into_parts();
    let uri = parts.uri.clone();
    let (name, path) = split(uri.path().strip_prefix("/system/flows/").unwrap_or_default());
    let function = match find(&way.functions, name) {
        Ok(function) => function,
        Err(answer) => return after_body(&parts.headers, body, *answer).await,
    };
    let body = match body::bytes(body).await {
        Ok(body) => body,
        Err(answer) => return *answer,
    };
    let keys = match keys(&files).await {
        Ok(keys) => keys,
        Err(answer) => return *answer,
    };
    let path = format!("/_{path}");
    let changes = request_of(&path).filter(|_| parts.method == Method::POST).map(str::to_owned);
    sign(&mut parts, &keys, &function.spec.name, &path, &body);
    let token = way.under_way.token();
    let answer = way.proxy.invoke(&function, &path, parts, Body::from(body), Sender::Caller(token.clone())).await;
    match answer {
        Ok(answer) if answer.status() == StatusCode::NOT_FOUND && !answer.headers().contains_key(ERROR_CODE) => {
            let text = format!(
                "the function `{name}` does not answer about requests: it is not a flow, or was built with an older version of Faasflow"
            );
            refusal(StatusCode::NOT_FOUND, code::NOT_A_FLOW, text)
        }
        Ok(answer) => {
            if let Some(id) = changes {
                // Nothing else tells, if another store remembers the request.
                way.monitor.request_changed(&function.spec.name, &id, None);
            }
            answer
        }
        Err(none) => none.response(name).map(|body| GuardedBody::body(body, token)),
    }
}

/// The id of the request in a path below `/_/requests/`.
fn request_of(path: &str) -> Option<&str> {
    path.strip_prefix("/_/requests/")?.split('/').next()
}

/// Finds a flow. Other functions are not asked, because a request would run them.
pub(super) fn find(functions: &Functions, name: &str) -> Result<Arc<Function>, Box<Response>> {
    let function = functions.find(name).ok_or_else(|| absent(name))?;
    if !function.spec.has_key() {
        let text = format!(
            "the function `{name}` is not a flow: it has neither `lang: faasflow` nor the secret `{HMAC_SECRET}`"
        );
        return Err(Box::new(refusal(StatusCode::NOT_FOUND, code::NOT_A_FLOW, text)));
    }
    Ok(function)
}

/// The keys of all flows. The file is read each time, because the secret can be replaced.
async fn keys(files: &SecretFiles) -> Result<Keys, Box<Response>> {
    let path = files.folder.join(HMAC_SECRET);
    let fail = |code, why: String| {
        let text = format!("the key for signing cannot be used: {}: {why}", path.display());
        Box::new(refusal(StatusCode::INTERNAL_SERVER_ERROR, code, text))
    };
    let text = tokio::fs::read_to_string(&path).await;
    let text = text.map_err(|error| fail(code::GATEWAY_FILE_UNREADABLE, error.to_string()))?;
    Keys::parse(&text).map_err(|error| fail(code::SIGNING_KEY_EMPTY, error.to_string()))
}

/// Leaves only the headers that are for the flow, and signs the request for it.
fn sign(parts: &mut request::Parts, keys: &Keys, flow: &str, path: &str, body: &[u8]) {
    let sent = std::mem::take(&mut parts.headers);
    // The others are not for the flow, least of all the password of this gateway.
    let kept = |name: &'static str| Some((HeaderName::from_static(name), sent.get(name)?.clone()));
    parts.headers = REQUEST_HEADERS.into_iter().filter_map(kept).collect::<HeaderMap>();
    let target = match parts.uri.query() {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    let now_ms = faasflow_http::now_ms();
    let signed = api_request(flow, parts.method.as_str(), &target, now_ms);
    let signature = keys.sign([signed.as_bytes(), body]);
    parts.headers.insert(SIGNED_AT, HeaderValue::from(now_ms));
    parts.headers.insert(SIGNATURE, HeaderValue::try_from(signature).expect("a signature is hexadecimal"));
}
