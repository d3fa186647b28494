//! The routes of `faasflow ui`: the pages, and of the admin API what the pages need.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRef, Path, Request, State};
use axum::middleware::{Next, from_fn_with_state, map_response};
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use bytes::Bytes;
use faasflow_admin::{PAGE_TOKEN_HEADER, REQUEST_HEADERS, RequestProblem, paths};
use faasflow_core::code;
use faasflow_core::description::Description;
use faasflow_core::headers::{ERROR_CODE, HOP_BY_HOP, OUTCOME};
use faasflow_dashboard::{OwnPages, PATH, is_change_by_page, is_local, is_of_another_site};
use faasflow_http::{ReadBodyError, drain, read_body, refusal, without_scripts};
use http::header::{ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_LENGTH, COOKIE, EXPECT, HOST, HeaderName, ORIGIN, REFERER};
use http::{HeaderMap, Method, StatusCode, Uri};
use hyper::body::Incoming;

use super::answer::{absent, not_a_flow, passed_on, trouble};
use super::remote::Remote;
use crate::client::error_code;
use crate::requests::api::{Kind, is_name};

/// Above the path of every function that is called.
const FUNCTION: &str = "/function/{flow}";
/// The paths below a request of a flow.
const BELOW_REQUESTS: &str = "/system/flows/{flow}/requests/{*rest}";

/// The largest body of a change, in bytes, and how long it may take to arrive. The local gateway has the same limits.
const LARGEST: u64 = 1 << 20;
const WITHIN: Duration = Duration::from_secs(30);
/// The largest description of a flow, in bytes.
const LARGEST_DESCRIPTION: u64 = 1 << 20;

const NO_QUEUE: &str = "This gateway does not tell what is in its queue. Only the gateway of faasflow up does.";
const NO_FIGURES: &str =
    "This gateway does not measure what functions and flows do. Only the gateway of faasflow up does.";
const NO_LOG_OF_REQUEST: &str = "This gateway cannot find log lines by request. Only the gateway of faasflow up can; on a \
                                 cluster, search its log storage for the id.";
const NO_LOG_OF_FUNCTION: &str = "This gateway does not have the log lines of functions.";

/// Headers of a browser's request that do not reach the function that it calls: they are about the body or about the page.
const OF_THE_BROWSER: [HeaderName; 8] = [
    ACCEPT_ENCODING,
    CONTENT_LENGTH,
    COOKIE,
    EXPECT,
    HOST,
    ORIGIN,
    REFERER,
    HeaderName::from_static(PAGE_TOKEN_HEADER),
];

/// The state of the routes.
#[derive(Clone)]
pub(super) struct Pages {
    pub(super) remote: Arc<Remote>,
    pub(super) own: Arc<OwnPages>,
}

impl FromRef<Pages> for Arc<Remote> {
    fn from_ref(pages: &Pages) -> Arc<Remote> {
        pages.remote.clone()
    }
}

impl FromRef<Pages> for Arc<OwnPages> {
    fn from_ref(pages: &Pages) -> Arc<OwnPages> {
        pages.own.clone()
    }
}

pub(super) fn router(pages: Pages) -> Router {
    Router::new()
        .route(paths::PAGE_TOKEN, get(tell_page_token))
        .route(paths::FUNCTIONS, get(functions))
        .route(paths::FLOWS, get(flows))
        .route(paths::DRAWING, get(draw))
        .route(paths::REQUESTS, get(requests))
        .route(BELOW_REQUESTS, get(requests).post(requests))
        .route(paths::LOGS, get(logs))
        .route(paths::ACTIVITY, get(monitor))
        .route(paths::FLOW_ACTIVITY, get(monitor))
        .route(paths::EVENTS, get(events))
        .route(paths::QUEUE, get(queue))
        .route(paths::CALLS, get(queue))
        .route(paths::DEAD_LETTERS, get(queue).delete(queue))
        .route(paths::DEAD_LETTER, get(queue))
        .route(paths::REDRIVE, post(queue))
        .route(FUNCTION, post(start))
        .route("/", get(async || Redirect::temporary(PATH)))
        .route_layer(map_response(without_scripts))
        // They have a policy of their own.
        .merge(faasflow_dashboard::router())
        .fallback(nothing)
        .method_not_allowed_fallback(wrong_method)
        .layer(from_fn_with_state(pages.own.clone(), check))
        .with_state(pages)
}

async fn nothing(uri: Uri) -> Response {
    let text = format!("`faasflow ui` serves nothing at `{}`: the pages begin at {PATH}", uri.path());
    refusal(StatusCode::NOT_FOUND, code::NO_ROUTE, text)
}

async fn wrong_method(method: Method, uri: Uri) -> Response {
    let text = format!("`{method}` cannot be used at `{}`: the pages do not need it", uri.path());
    refusal(StatusCode::METHOD_NOT_ALLOWED, code::WRONG_METHOD, text)
}

/// Lets only own pages change anything, and only pages at an address of this machine see anything. Programs send no
/// `Origin`.
async fn check(State(own): State<Arc<OwnPages>>, request: Request, next: Next) -> Response {
    let is_start = request.uri().path().starts_with("/function/");
    let is_allowed = match is_start {
        true => own.is_own_origin(&request),
        false => !is_change_by_page(&request) || own.may_change(&request),
    };
    let (code, text) = if !is_local(&request) {
        (code::FOREIGN_HOST, "`faasflow ui` answers only if the URL names it by an IP address or as `localhost`")
    } else if !is_allowed {
        (
            code::FROM_WEB_PAGE,
            "only the pages of `faasflow ui` may change this: leave out the headers `Origin` and `Sec-Fetch-Site`",
        )
    } else {
        return next.run(request).await;
    };
    let (parts, body) = request.into_parts();
    drain(&parts.headers, body).await;
    refusal(StatusCode::FORBIDDEN, code, text)
}

async fn tell_page_token(State(own): State<Arc<OwnPages>>, request: Request) -> Response {
    match own.token_for(&request) {
        Some(token) => ([(CACHE_CONTROL, "no-store")], Json(token)).into_response(),
        None => {
            let text = "only the pages of `faasflow ui` get this token";
            refusal(StatusCode::FORBIDDEN, code::FROM_WEB_PAGE, text)
        }
    }
}

async fn functions(State(remote): State<Arc<Remote>>) -> Response {
    match remote.functions().await {
        Ok(functions) => Json(functions).into_response(),
        Err(failure) => trouble(&failure),
    }
}

async fn flows(State(remote): State<Arc<Remote>>) -> Response {
    match remote.flows().await {
        Ok(flows) => Json(flows).into_response(),
        Err(failure) => trouble(&failure),
    }
}

/// Requests about the requests of a flow.
async fn requests(State(remote): State<Arc<Remote>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Some((flow, target)) = of_flow(&parts.uri) else {
        drain(&parts.headers, body).await;
        let text = format!("the path `{}` cannot be used", parts.uri.path());
        return refusal(StatusCode::BAD_REQUEST, code::BAD_API_PARAMETER, text);
    };
    let body = match whole(body).await {
        Ok(body) => body,
        Err(refusal) => return *refusal,
    };
    match remote.is_flow(flow).await {
        Ok(true) => {}
        Ok(false) => return not_a_flow(flow),
        Err(failure) => return trouble(&failure),
    }
    match remote.ask_flow(parts.method, flow, &target, for_flow(&parts.headers), body).await {
        Ok(answer) if is_about_signature(&answer) => unsigned(&remote, flow, answer).await,
        Ok(answer) => passed_on(answer),
        Err(failure) => trouble(&failure),
    }
}

/// The flow that a path below `/system/flows/` names, and what comes after `/_` in the path of the flow, with the query.
/// Nobody before the flow may understand the path in another way.
fn of_flow(uri: &Uri) -> Option<(&str, String)> {
    let (flow, rest) = uri.path().strip_prefix("/system/flows/")?.split_once('/')?;
    let is_plain = |part: &str| !["", ".", ".."].contains(&part) && !part.to_ascii_lowercase().contains("%2e");
    if !is_name(flow) || !rest.split('/').all(is_plain) {
        return None;
    }
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    Some((flow, format!("/{rest}{query}")))
}

fn for_flow(sent: &HeaderMap) -> HeaderMap {
    let kept = |name: &'static str| Some((HeaderName::from_static(name), sent.get(name)?.clone()));
    REQUEST_HEADERS.into_iter().filter_map(kept).collect()
}

/// Whether a flow misses a signature, or does not accept it. The result of a request may have the same code.
fn is_about_signature(answer: &http::Response<Incoming>) -> bool {
    let codes = [code::SIGNATURE_MISSING, code::SIGNATURE_MALFORMED, code::SIGNATURE_WRONG, code::SIGNED_TOO_LONG_AGO];
    answer.status() == StatusCode::UNAUTHORIZED
        && !answer.headers().contains_key(OUTCOME)
        && error_code(answer.headers()).is_some_and(|code| codes.contains(&code))
}

/// The answer to a request that the flow wants to be signed, or signed with another key.
async fn unsigned(remote: &Remote, flow: &str, answer: http::Response<Incoming>) -> Response {
    let text = match remote.has_key() {
        false => "`faasflow ui` has no key to sign with: start it again with the key of the flows, as in \
                  `--key @secrets/faasflow-hmac-secret`"
            .to_owned(),
        true => {
            let body = read_body(answer.into_body(), LARGEST, WITHIN).await.unwrap_or_default();
            let problem: RequestProblem = serde_json::from_slice(&body).unwrap_or_default();
            format!(
                "the flow `{flow}` does not accept the signature: {}; check the key of `--key`, and the clock",
                problem.reason
            )
        }
    };
    refusal(StatusCode::FORBIDDEN, code::SIGNING_KEY_UNUSABLE, text)
}

/// The picture of a flow, which describes itself.
async fn draw(State(remote): State<Arc<Remote>>, Path(flow): Path<String>) -> Response {
    match remote.is_flow(&flow).await {
        Ok(true) => {}
        Ok(false) => return not_a_flow(&flow),
        Err(failure) => return trouble(&failure),
    }
    let target = format!("/function/{flow}/_/flow");
    let answer = match remote.ask(Method::GET, &target, HeaderMap::new(), Bytes::new()).await {
        Ok(answer) => answer,
        Err(failure) => return trouble(&failure),
    };
    if !answer.status().is_success() && answer.headers().contains_key(ERROR_CODE) {
        // The flow says why.
        return passed_on(answer);
    }
    let is_there = answer.status() == StatusCode::OK;
    let body = read_body(answer.into_body(), LARGEST_DESCRIPTION, WITHIN).await.ok().filter(|_| is_there);
    match body.and_then(|body| Description::from_json(&body).ok()) {
        Some(flow) => Json(faasflow_drawing::positions(&flow)).into_response(),
        None => {
            let text = format!(
                "the flow `{flow}` does not describe itself now, or was built with another version of Faasflow"
            );
            refusal(StatusCode::NOT_FOUND, code::NOT_A_FLOW, text)
        }
    }
}

/// Log lines. A gateway of OpenFaaS knows functions, and no requests.
async fn logs(State(remote): State<Arc<Remote>>, uri: Uri) -> Response {
    let kind = match remote.kind().await {
        Ok(kind) => kind,
        Err(failure) => return trouble(&failure),
    };
    let query = uri.query().unwrap_or_default();
    let is_of_request = form_urlencoded::parse(query.as_bytes()).any(|(name, _)| name == "request");
    if kind == Kind::OpenFaas && is_of_request {
        return absent(NO_LOG_OF_REQUEST);
    }
    match remote.ask(Method::GET, &format!("{}?{query}", paths::LOGS), HeaderMap::new(), Bytes::new()).await {
        // OpenFaaS answers with one of these statuses if nothing provides logs, and does not say so.
        Ok(answer)
            if kind == Kind::OpenFaas
                && !answer.headers().contains_key(ERROR_CODE)
                && matches!(answer.status().as_u16(), 404 | 422 | 500 | 501) =>
        {
            absent(NO_LOG_OF_FUNCTION)
        }
        Ok(answer) => passed_on(answer),
        Err(failure) => trouble(&failure),
    }
}

/// The queue, if the gateway tells what is in it.
async fn queue(State(remote): State<Arc<Remote>>, request: Request) -> Response {
    of_local_gateway(&remote, request, NO_QUEUE).await
}

/// The figures of the last hour, if the gateway has any.
async fn monitor(State(remote): State<Arc<Remote>>, request: Request) -> Response {
    of_local_gateway(&remote, request, NO_FIGURES).await
}

/// What happens, as long as the page listens. Without events, pages ask for changes every two seconds.
async fn events(State(remote): State<Arc<Remote>>, request: Request) -> Response {
    if is_of_another_site(&request) {
        return refusal(StatusCode::FORBIDDEN, code::FROM_WEB_PAGE, "only the pages of `faasflow ui` get events");
    }
    of_local_gateway(&remote, request, NO_FIGURES).await
}

/// What only the gateway of `faasflow up` has. `none` is what the page says for any other.
async fn of_local_gateway(remote: &Remote, request: Request, none: &str) -> Response {
    let (parts, body) = request.into_parts();
    let body = match whole(body).await {
        Ok(body) => body,
        Err(refusal) => return *refusal,
    };
    match remote.kind().await {
        Ok(Kind::Local) => {}
        Ok(Kind::OpenFaas) => return absent(none),
        Err(failure) => return trouble(&failure),
    }
    let target = parts.uri.path_and_query().map_or(paths::QUEUE, |target| target.as_str());
    match remote.ask(parts.method, target, for_flow(&parts.headers), body).await {
        Ok(answer) if answer.status() == StatusCode::NOT_FOUND && !answer.headers().contains_key(ERROR_CODE) => {
            // Another gateway answers at this address now.
            remote.forget_kind();
            absent(none)
        }
        Ok(answer) => passed_on(answer),
        Err(failure) => trouble(&failure),
    }
}

/// Starts a request of a flow.
async fn start(State(remote): State<Arc<Remote>>, Path(flow): Path<String>, request: Request) -> Response {
    let (mut parts, body) = request.into_parts();
    match remote.is_flow(&flow).await {
        Ok(true) => {}
        Ok(false) => {
            drain(&parts.headers, body).await;
            return not_a_flow(&flow);
        }
        Err(failure) => {
            drain(&parts.headers, body).await;
            return trouble(&failure);
        }
    }
    let query = parts.uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    leave_browser(&mut parts.headers);
    match remote.call(&format!("/function/{flow}{query}"), parts.headers, body).await {
        Ok(answer) => passed_on(answer),
        Err(failure) => trouble(&failure),
    }
}

/// Removes what is not for a function.
fn leave_browser(headers: &mut HeaderMap) {
    for name in HOP_BY_HOP.into_iter().chain(OF_THE_BROWSER) {
        headers.remove(name);
    }
    let fetch: Vec<HeaderName> = headers.keys().filter(|name| name.as_str().starts_with("sec-")).cloned().collect();
    for name in fetch {
        headers.remove(name);
    }
}

/// The body of a change.
async fn whole(body: Body) -> Result<Bytes, Box<Response>> {
    read_body(body, LARGEST, WITHIN).await.map_err(|error| {
        let status = match error {
            ReadBodyError::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            ReadBodyError::TooSlow(_) => StatusCode::REQUEST_TIMEOUT,
            _ => StatusCode::BAD_REQUEST,
        };
        Box::new(refusal(status, error.code(), error.to_string()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_others_could_read_differently_is_refused() {
        let read = |uri: &str| {
            let uri: Uri = uri.parse().unwrap();
            of_flow(&uri).map(|(flow, target)| (flow.to_owned(), target))
        };
        let found = |flow: &str, target: &str| Some((flow.to_owned(), target.to_owned()));
        assert_eq!(read("/system/flows/a/requests?limit=1"), found("a", "/requests?limit=1"));
        assert_eq!(
            read("/system/flows/a.dev/requests/b-1/redrive?from=2"),
            found("a.dev", "/requests/b-1/redrive?from=2")
        );
        assert_eq!(read("/system/flows/a/requests/b%20c"), found("a", "/requests/b%20c"));
        for path in [
            "/system/flows/a/requests/../../b",
            "/system/flows/a/requests/%2e%2E/x",
            "/system/flows/a/requests/.%2e",
            "/system/flows/a/requests//b",
            "/system/flows/a/requests/b/",
            "/system/flows/../requests/b",
            "/system/flows/a%2fb/requests/b",
            "/system/flows//requests/b",
            "/system/flows/a",
        ] {
            assert_eq!(read(path), None, "{path}");
        }
    }
}
