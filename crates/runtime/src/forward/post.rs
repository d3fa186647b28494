//! Posts envelopes to the gateway.

use std::time::Duration;

use axum::body::Body;
use faasflow_core::handler::BoxFuture;
use faasflow_core::{Retry, headers};
use faasflow_http::{HttpClient, body_of_parts, read_body, retry_after};
use http::{HeaderMap, Method, Request, StatusCode, Uri};
use tracing::Level;

use super::forwarder::{Forward, ForwardError, Forwarder};
use crate::gateway::gateway_url;
use crate::log::RequestLog;

/// The temporary answers to an envelope. A gateway whose queue is down also answers 500.
const TEMPORARY: Retry = Retry::unlimited().on_server_errors();

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
            .map_err(|error| ForwardError::permanent("the address of the gateway cannot be used").with_source(error))?;
        let head = forward.headers();
        let mut request = Request::new(body_of_parts(forward.body));
        (*request.method_mut(), *request.uri_mut(), *request.headers_mut()) = (Method::POST, target, head);
        match tokio::time::timeout(self.attempt_timeout, self.exchange(request)).await {
            Ok(Ok(taken)) => {
                if taken == Acceptance::Duplicate {
                    // This happens when a phase is delivered twice, which is harmless. It also happens when a second request
                    // uses the id of a recent one, and then the second request ends here.
                    RequestLog::new(forward.request.clone()).write(Level::WARN, None, format_args!(
                        "The queue already has phase {}: a phase was delivered twice, or a request id was used twice",
                        forward.place
                    ));
                }
                Ok(())
            }
            Ok(Err(error)) => Err(error),
            Err(_) => Err(ForwardError::temporary("the gateway did not answer in time", None)),
        }
    }

    async fn exchange(&self, request: Request<Body>) -> Result<Acceptance, ForwardError> {
        let response = self.client.send(request).await;
        let response = response
            .map_err(|error| ForwardError::temporary("the gateway cannot be reached", None).with_source(error))?;
        let (parts, body) = response.into_parts();
        // Read the whole body, so that the connection can be reused.
        let text = read_body(body, 4096, Duration::from_secs(5)).await.unwrap_or_default();
        interpret(parts.status, &parts.headers, &text)
    }
}

impl Forwarder for GatewayForwarder {
    fn forward(&self, forward: Forward) -> BoxFuture<'_, Result<(), ForwardError>> {
        Box::pin(self.post(forward))
    }
}

/// Whether the queue accepted the envelope as new, or already had it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Acceptance {
    New,
    Duplicate,
}

/// Interprets the gateway's answer to an envelope.
fn interpret(status: StatusCode, head: &HeaderMap, text: &[u8]) -> Result<Acceptance, ForwardError> {
    if status.is_success() {
        let duplicate = head.get(headers::DUPLICATE).is_some_and(|value| value == "true");
        return Ok(if duplicate { Acceptance::Duplicate } else { Acceptance::New });
    }
    let message = match String::from_utf8_lossy(text).trim() {
        "" => format!("the gateway answered {status}"),
        text => format!("the gateway answered {status}: {text}"),
    };
    Err(if TEMPORARY.retries_status(status) {
        ForwardError::temporary(message, retry_after(head))
    } else {
        ForwardError::permanent(message)
    })
}

#[cfg(test)]
mod tests {
    use http::header::{HeaderName, HeaderValue, RETRY_AFTER};

    use super::*;

    fn interpreted(status: u16, head: &[(HeaderName, &'static str)]) -> Result<Acceptance, ForwardError> {
        let head = head.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect();
        interpret(StatusCode::from_u16(status).unwrap(), &head, b" the queue is full\n")
    }

    #[test]
    fn duplicates_are_recognised_by_their_header() {
        assert_eq!(interpreted(202, &[]).unwrap(), Acceptance::New);
        assert_eq!(interpreted(200, &[(headers::DUPLICATE, "true")]).unwrap(), Acceptance::Duplicate);
        assert_eq!(interpreted(202, &[(headers::DUPLICATE, "false")]).unwrap(), Acceptance::New);
    }

    #[test]
    fn only_temporary_answers_are_retried() {
        for (status, temporary) in
            [(500, true), (503, true), (408, true), (425, true), (429, true), (400, false), (404, false), (413, false)]
        {
            let error = interpreted(status, &[(RETRY_AFTER, "7")]).unwrap_err();
            assert_eq!(error.is_temporary(), temporary, "{status}");
            assert_eq!(error.retry_after(), temporary.then_some(Duration::from_secs(7)), "{status}");
            assert!(error.to_string().ends_with(": the queue is full"), "{error}");
        }
    }
}
