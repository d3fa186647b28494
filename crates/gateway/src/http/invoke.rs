//! `/function/NAME`: a synchronous call.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use faasflow_core::headers;
use faasflow_http::Budget;
use tokio_util::task::TaskTracker;

use super::name::{find, split};
use super::stamp::{identify, stamp};
use crate::answer::after_body;
use crate::functions::Functions;
use crate::functions::origin::Origin;
use crate::guarded_body::GuardedBody;
use crate::monitor::Monitor;
use crate::proxy::{Proxy, Sender};
use crate::request_id;
use crate::room::{self, is_step};

/// The state for synchronous calls.
pub(crate) struct Invocations {
    pub(crate) functions: Functions,
    pub(crate) proxy: Proxy,
    /// The limit of what is in flight.
    pub(crate) budget: Budget,
    pub(crate) monitor: Monitor,
    /// Whether another gateway is in front.
    pub(crate) behind: bool,
    /// The calls under way.
    pub(crate) under_way: TaskTracker,
}

/// Answers a call. If the answer has no request id, it gets the one of the request. Only flows answer with an id.
pub(super) async fn synchronous(State(way): State<Arc<Invocations>>, request: Request) -> Response {
    let id = request_id::given(request.headers());
    let mut response = invoke(&way, request).await;
    request_id::put(id.as_ref(), response.headers_mut());
    response
}

async fn invoke(way: &Invocations, request: Request) -> Response {
    let (mut parts, body) = request.into_parts();
    if let Some(refusal) = room::refuse_headers(&parts.headers) {
        return after_body(&parts.headers, body, refusal).await;
    }
    let uri = parts.uri.clone();
    let (name, path) = split(uri.path().strip_prefix("/function/").unwrap_or_default());
    let function = match find(&way.functions, name) {
        Ok(function) => function,
        Err(response) => return after_body(&parts.headers, body, *response).await,
    };
    let place = match is_step(&parts.headers) {
        true => None,
        false => match (room::share(&way.budget, &function.spec.name, &function.calls), way.budget.admit()) {
            (Err(busy), _) => return room::refuse_share(&parts.headers, body, busy).await,
            (_, Err(full)) => return room::refuse(&parts.headers, body, full).await,
            (Ok(share), Ok(place)) => Some((share, place)),
        },
    };
    let token = way.under_way.token();
    let (call_id, made) = identify(&mut parts.headers);
    // The headers of a gateway in front are passed on unchanged, because its start time counts.
    if !way.behind {
        stamp(&mut parts.headers);
    }
    let origin = Origin::from_headers(&parts.headers);
    let started = way.monitor.begin(&function.spec, &parts.headers);
    let answer = way.proxy.invoke(&function, path, parts, body, Sender::Caller(token.clone())).await;
    let mut response = answer.unwrap_or_else(|none| {
        function.logs.push(origin.as_ref(), format!("gateway: no answer: {}", none.reason()));
        none.response(name).map(|body| GuardedBody::body(body, token))
    });
    started.end(response.status());
    // The call ends when its answer is complete.
    if let Some(place) = place {
        response = response.map(|body| GuardedBody::body(body, place));
    }
    if made {
        response.headers_mut().insert(headers::CALL_ID, call_id);
    }
    stamp(response.headers_mut());
    response
}
