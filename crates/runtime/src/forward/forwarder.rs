//! Envelopes, and the trait of what accepts them.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use faasflow_core::code::{self, Code};
use faasflow_core::graph::Place;
use faasflow_core::handler::BoxFuture;
use faasflow_core::{RequestId, TraceContext, envelope, headers};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue};
use uuid::Uuid;

use crate::gateway::trace_headers;

/// An envelope that is to be delivered to the next phase.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Forward {
    /// The name of the flow. This is the function that the envelope must be sent to.
    pub flow: String,
    /// The request.
    pub request: RequestId,
    /// Where the request continues. [`Place::phase`] is the number of the phase.
    pub place: Place,
    /// Identifies the invocation of this phase of this request. It is the same whenever the phase is forwarded again, so
    /// that a queue can drop duplicates. Without this, a phase that is delivered twice would cause everything after it to
    /// happen twice.
    pub call_id: Uuid,
    /// The signature of the envelope, if signing is on.
    pub signature: Option<String>,
    /// The trace context of the request.
    pub trace: TraceContext,
    /// The envelope, in parts.
    pub body: Vec<Bytes>,
}

impl Forward {
    /// The headers that the flow function must receive with the body: content type, ids, signature and trace context.
    ///
    /// # Panics
    ///
    /// If `signature` was replaced by a text that is not a valid header value.
    #[must_use]
    pub fn headers(&self) -> HeaderMap {
        let value = |text: &str| HeaderValue::from_str(text).expect("ids and signatures are header values");
        let mut map = HeaderMap::with_capacity(6);
        map.insert(CONTENT_TYPE, HeaderValue::from_static(envelope::CONTENT_TYPE));
        map.insert(headers::REQUEST_ID, value(self.request.as_str()));
        map.insert(headers::CALL_ID, value(&self.call_id.to_string()));
        if let Some(signature) = &self.signature {
            map.insert(headers::SIGNATURE, value(signature));
        }
        map.extend(trace_headers(&self.trace));
        map
    }
}

/// Accepts envelopes. The default implementation posts them to the gateway's asynchronous route.
///
/// An implementation must keep an accepted envelope until it is delivered. To deliver it, POST the unchanged
/// [`body`](Forward::body) to the flow function with these [`headers`](Forward::headers). Deliver it again, after a pause,
/// as long as there is no answer, or the answer is 408, 425, 429, 502, 503 or 504. An envelope may be delivered more than
/// once, and envelopes may be delivered in any order.
pub trait Forwarder: Send + Sync + 'static {
    /// Accepts one envelope, in one attempt. On success, the envelope must be stored safely.
    ///
    /// # Errors
    ///
    /// If the envelope was not accepted. The error says whether trying again may help.
    fn forward(&self, forward: Forward) -> BoxFuture<'_, Result<(), ForwardError>>;
}

/// An envelope that was not accepted.
#[derive(Clone, Debug)]
pub struct ForwardError {
    message: String,
    temporary: bool,
    retry_after: Option<Duration>,
    source: Option<Arc<dyn std::error::Error + Send + Sync>>,
}

impl ForwardError {
    /// An error after which trying again may help.
    #[must_use]
    pub fn temporary(message: impl Into<String>, retry_after: Option<Duration>) -> ForwardError {
        ForwardError { message: message.into(), temporary: true, retry_after, source: None }
    }

    /// An error after which trying again will not help.
    #[must_use]
    pub fn permanent(message: impl Into<String>) -> ForwardError {
        ForwardError { message: message.into(), temporary: false, retry_after: None, source: None }
    }

    /// Adds the underlying error.
    #[must_use]
    pub fn with_source(mut self, source: impl std::error::Error + Send + Sync + 'static) -> ForwardError {
        self.source = Some(Arc::new(source));
        self
    }

    /// The code of the error.
    #[must_use]
    pub fn code(&self) -> Code {
        if self.temporary { code::NOT_QUEUED_YET } else { code::NOT_QUEUED }
    }

    /// Whether trying again may help.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        self.temporary
    }

    /// The shortest time to wait before trying again, if the peer named one.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }
}

impl std::fmt::Display for ForwardError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ForwardError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}
