//! Requests to the store of a gateway.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use faasflow_core::Retry;
use faasflow_core::headers::ERROR_CODE;
use faasflow_core::state::{Scope, StateError};
use faasflow_http::{BodyBuffer, HttpClient};
use http::header::{AUTHORIZATION, CONTENT_LENGTH, HeaderName, HeaderValue};
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt as _;

/// How much of the text of a refusal is shown, in bytes.
const SHOWN: usize = 1_000;
/// How long that text may take to arrive.
const PATIENCE: Duration = Duration::from_secs(5);

/// The gateway and the token for it. Cloning is cheap.
#[derive(Clone)]
pub(super) struct Client {
    http: HttpClient,
    url: Arc<str>,
    bearer: HeaderValue,
}

/// An answer that was read to its end.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// The query with the scope of a request and other parameters.
pub(super) fn query(scope: &Scope, others: &[(&str, &str)]) -> String {
    use faasflow_admin::state::{FLOW_PARAMETER, REQUEST_PARAMETER};
    let scope = [(FLOW_PARAMETER, scope.flow.as_str()), (REQUEST_PARAMETER, &scope.request)];
    query_of(scope.iter().chain(others).copied())
}

/// The query with these parameters.
pub(super) fn query_of<'a>(parameters: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish()
}

impl Client {
    pub(super) fn new(http: HttpClient, url: String, bearer: HeaderValue) -> Client {
        Client { http, url: url.into(), bearer }
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Sends a request and reads the answer. `what` begins the text of an error, such as "a value cannot be read". A refusal with the status `allowed` is not
    /// an error.
    pub(super) async fn ask(
        &self,
        what: &str,
        method: Method,
        target: String,
        header: Option<(HeaderName, HeaderValue)>,
        body: Bytes,
        allowed: Option<StatusCode>,
    ) -> Result<Answer, StateError> {
        let size = body.len() as u64;
        let unreachable =
            || StateError::temporary(format!("{what}: the gateway cannot be reached, or the connection was lost"));
        let mut request = Request::builder().method(method).uri(format!("{}{target}", self.url));
        request = request.header(AUTHORIZATION, self.bearer.clone());
        if let Some((name, value)) = header {
            request = request.header(name, value);
        }
        let request = request.body(Body::from(body)).map_err(|error| {
            StateError::permanent(format!("{what}: the key or the request id is too long")).with_source(error)
        })?;
        let response = self.http.send(request).await.map_err(|error| unreachable().with_source(error))?;
        let (parts, mut body) = response.into_parts();
        let length = parts.headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        let mut read = BodyBuffer::new(length.unwrap_or_default());
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| unreachable().with_source(error))?;
            if let Ok(data) = frame.into_data() {
                read.append(&data);
            }
        }
        let answer = Answer { status: parts.status, headers: parts.headers, body: read.into_bytes() };
        if answer.status.is_success() || Some(answer.status) == allowed {
            return Ok(answer);
        }
        if answer.status == StatusCode::PAYLOAD_TOO_LARGE
            && let Some(limit) = self.largest_value().await
        {
            return Err(self.refused(what, &answer).with_sizes(size, limit));
        }
        Err(self.refused(what, &answer))
    }

    /// Sends a request and returns the body of the answer, which may take any time.
    pub(super) async fn read(&self, what: &str, target: String) -> Result<Body, StateError> {
        let unreachable = |error| {
            StateError::temporary(format!("{what}: the gateway cannot be reached, or the connection was lost"))
                .with_source(error)
        };
        let request = Request::get(format!("{}{target}", self.url)).header(AUTHORIZATION, self.bearer.clone());
        let request = request.body(Body::empty()).map_err(|error| StateError::permanent(what).with_source(error))?;
        let (parts, mut body) = self.http.send(request).await.map_err(unreachable)?.into_parts();
        if parts.status.is_success() {
            return Ok(Body::new(body));
        }
        let body = faasflow_http::read_body(&mut body, SHOWN as u64, PATIENCE).await.unwrap_or_default();
        Err(self.refused(what, &Answer { status: parts.status, headers: parts.headers, body }))
    }

    /// The size of the largest value that the store takes, in bytes; `None` if the gateway does not say it.
    async fn largest_value(&self) -> Option<u64> {
        let what = "the limits of the store cannot be read";
        let store = faasflow_admin::state::STORE.to_owned();
        let answer = Box::pin(self.ask(what, Method::GET, store, None, Bytes::new(), None)).await.ok()?;
        let store: faasflow_admin::state::StateStore = serde_json::from_slice(&answer.body).ok()?;
        (store.max_value > 0).then_some(store.max_value)
    }

    /// The error for a refusal.
    fn refused(&self, what: &str, answer: &Answer) -> StateError {
        const TEMPORARY: Retry = Retry::never().on_server_errors();
        let shown = answer.body.get(..SHOWN).unwrap_or(&answer.body);
        let why = String::from_utf8_lossy(shown).trim().to_owned();
        let code = answer.headers.get(ERROR_CODE).and_then(|code| code.to_str().ok());
        let code = code.map(|code| format!(" ({code})")).unwrap_or_default();
        let text = format!("{what}: the gateway answered {}{code}: {why}", answer.status.as_u16());
        match answer.status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => StateError::permanent(text).with_help(
                "the token for the store does not fit: let the gateway at this address start the function, which sets \
                 `state_gateway_token`",
            ),
            // The text is about paths, which means nothing to the author of a flow.
            StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => {
                StateError::permanent(format!("{what}: the gateway at {} has no store", self.url)).with_help(
                    "only the local gateway (`faasflow up`) has one: set `state_gateway_url` to its address, or set \
                     `state_manager` to `s3` or `redis`",
                )
            }
            status if TEMPORARY.retries_status(status) => StateError::temporary(text),
            _ => StateError::permanent(text),
        }
    }
}
