//! A flow as a picture: the flow describes itself, and the gateway places its elements.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use faasflow_core::code;
use faasflow_core::description::Description;
use faasflow_core::headers::ERROR_CODE;
use faasflow_http::read_body;
use http::{Request, StatusCode};

use super::flows::find;
use crate::answer::refusal;
use crate::http::invoke::Invocations;
use crate::proxy::Sender;

/// The largest description, in bytes.
const LARGEST: u64 = 1 << 20;
/// How long a description may take to arrive.
const WITHIN: Duration = Duration::from_secs(10);

pub(super) async fn draw(State(way): State<Arc<Invocations>>, Path(name): Path<String>) -> Response {
    let function = match find(&way.functions, &name) {
        Ok(function) => function,
        Err(answer) => return *answer,
    };
    let (parts, ()) = Request::new(()).into_parts();
    let sender = Sender::Caller(way.under_way.token());
    let answer = match way.proxy.invoke(&function, "/_/flow", parts, Body::empty(), sender).await {
        Ok(answer) => answer,
        Err(none) => return none.response(&name),
    };
    if !answer.status().is_success() && answer.headers().contains_key(ERROR_CODE) {
        // The flow says why.
        return answer;
    }
    let is_there = answer.status() == StatusCode::OK;
    let body = read_body(answer.into_body(), LARGEST, WITHIN).await.ok().filter(|_| is_there);
    match body.and_then(|body| Description::from_json(&body).ok()) {
        Some(flow) => Json(faasflow_drawing::positions(&flow)).into_response(),
        None => {
            let text = format!(
                "the function `{name}` does not describe itself: it is not a flow, or was built with another version of Faasflow"
            );
            refusal(StatusCode::NOT_FOUND, code::NOT_A_FLOW, text)
        }
    }
}
