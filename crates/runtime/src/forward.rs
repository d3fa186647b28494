//! Hands a request on to its next phase.

use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use faasflow_core::graph::Place;
use faasflow_core::handler::BoxFuture;
use faasflow_core::state::Scope;
use faasflow_core::{RequestId, RequestInfo, TraceContext, envelope, headers};
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Request, StatusCode, Uri};
use uuid::Uuid;

use crate::http::{HttpClient, body_of_parts, read_body, retry_after};
use crate::log::RequestLog;

/// An envelope on its way to the next phase.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Forward {
    /// The name of the flow, which is the function to send to.
    pub flow: String,
    /// The request.
    pub request: RequestId,
    /// The number of the phase that is to receive it, from 1.
    pub phase: usize,
    /// The same whenever the same phase of the same request is forwarded, so that a queue can drop what it
    /// already has: a phase that is delivered twice does not multiply the rest of its flow.
    pub call_id: Uuid,
    /// The envelope's signature, where signing is on.
    pub signature: Option<String>,
    /// The trace context of the request.
    pub trace: TraceContext,
    /// The envelope, in parts.
    pub body: Vec<Bytes>,
}

/// Where envelopes go: by default the gateway's asynchronous route.
pub trait Forwarder: Send + Sync + 'static {
    /// Delivers one envelope into safe hands, in one attempt.
    ///
    /// # Errors
    ///
    /// If it was not accepted, and whether trying again may help.
    fn forward(&self, forward: Forward) -> BoxFuture<'_, Result<(), ForwardError>>;
}

/// An envelope that was not accepted.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct ForwardError {
    message: String,
    temporary: bool,
    retry_after: Option<Duration>,
}

impl ForwardError {
    /// Trying again may help.
    #[must_use]
    pub fn temporary(message: impl Into<String>, retry_after: Option<Duration>) -> ForwardError {
        ForwardError { message: message.into(), temporary: true, retry_after }
    }

    /// Trying again will not help.
    #[must_use]
    pub fn permanent(message: impl Into<String>) -> ForwardError {
        ForwardError { message: message.into(), temporary: false, retry_after: None }
    }

    /// Whether trying again may help.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        self.temporary
    }

    /// How long to wait at least, if the peer said.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }
}

/// The id of the invocation that executes a request's phase at a place: a UUID (version 8) of a hash of both.
pub(crate) fn call_id(request: &RequestInfo, place: &Place) -> Uuid {
    let Scope { flow, request } = request.scope();
    Uuid::new_v8(place.call_id(&flow, &request))
}

/// Posts envelopes to the gateway's `/async-function/<flow>`.
#[derive(Debug)]
pub(crate) struct GatewayForwarder {
    client: HttpClient,
    gateway: Uri,
    attempt_timeout: Duration,
}

impl GatewayForwarder {
    pub(crate) fn new(client: HttpClient, gateway: Uri, attempt_timeout: Duration) -> GatewayForwarder {
        GatewayForwarder { client, gateway, attempt_timeout }
    }

    async fn post(&self, forward: Forward) -> Result<(), ForwardError> {
        let target = gateway_url(&self.gateway, "async-function", &forward.flow, None)
            .map_err(|error| ForwardError::permanent(format!("the gateway's address is of no use: {error}")))?;
        let mut request = Request::post(target)
            .header(CONTENT_TYPE, envelope::CONTENT_TYPE)
            .header(headers::REQUEST_ID, forward.request.as_str())
            .header(headers::CALL_ID, forward.call_id.to_string());
        if let Some(signature) = &forward.signature {
            request = request.header(headers::SIGNATURE, signature);
        }
        for (name, value) in trace_headers(&forward.trace) {
            request = request.header(name, value);
        }
        let request = request
            .body(body_of_parts(forward.body))
            .map_err(|error| ForwardError::permanent(format!("the envelope cannot be sent: {error}")))?;
        match tokio::time::timeout(self.attempt_timeout, self.exchange(request)).await {
            Ok(Ok(duplicate)) => {
                if duplicate {
                    // A phase that is delivered twice does this, and no harm is done. So does a second request
                    // under an id that was used a moment ago, and that one ends here.
                    RequestLog::new(forward.request.clone()).warn(format_args!(
                        "The queue has phase {} already: a phase was delivered twice, or a request id was used twice",
                        forward.phase
                    ));
                }
                Ok(())
            }
            Ok(Err(error)) => Err(error),
            Err(_) => Err(ForwardError::temporary("the gateway did not answer in time", None)),
        }
    }

    /// Returns whether the queue had it already, where it says so.
    async fn exchange(&self, request: Request<Body>) -> Result<bool, ForwardError> {
        let response = self.client.send(request).await.map_err(|error| {
            let cause = std::error::Error::source(&error).map(|source| format!(": {source}")).unwrap_or_default();
            ForwardError::temporary(format!("the gateway cannot be reached: {error}{cause}"), None)
        })?;
        let status = response.status();
        let wait = retry_after(response.headers());
        let duplicate = response.headers().get(headers::DUPLICATE).is_some_and(|value| value == "true");
        // Read to its end, so that the connection can be used again.
        let text = read_body(response.into_body(), 4096, Duration::from_secs(5)).await.unwrap_or_default();
        if status.is_success() {
            return Ok(duplicate);
        }
        let text = String::from_utf8_lossy(&text);
        let message = format!("the gateway answered {status}: {}", text.trim());
        let passing = status.is_server_error()
            || [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_EARLY, StatusCode::TOO_MANY_REQUESTS].contains(&status);
        Err(if passing { ForwardError::temporary(message, wait) } else { ForwardError::permanent(message) })
    }
}

impl Forwarder for GatewayForwarder {
    fn forward(&self, forward: Forward) -> BoxFuture<'_, Result<(), ForwardError>> {
        Box::pin(self.post(forward))
    }
}

/// The URL of a function at the gateway.
pub(crate) fn gateway_url(gateway: &Uri, route: &str, function: &str, query: Option<&str>) -> Result<Uri, http::Error> {
    let path = match query {
        Some(query) => format!("/{route}/{function}?{query}"),
        None => format!("/{route}/{function}"),
    };
    let mut parts = gateway.clone().into_parts();
    parts.path_and_query = Some(path.parse()?);
    Ok(Uri::from_parts(parts)?)
}

/// The trace context as headers; what cannot be one is left out.
pub(crate) fn trace_headers(trace: &TraceContext) -> impl Iterator<Item = (http::HeaderName, HeaderValue)> {
    let parent = trace.parent.as_ref().map(|text| (headers::TRACEPARENT, text));
    let state = trace.state.as_ref().map(|text| (headers::TRACESTATE, text));
    parent.into_iter().chain(state).filter_map(|(name, text)| Some((name, HeaderValue::from_str(text).ok()?)))
}
