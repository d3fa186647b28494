//! An envelope on its way, and where it goes.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use faasflow_core::code::{self, Code};
use faasflow_core::handler::BoxFuture;
use faasflow_core::{RequestId, TraceContext, envelope, headers};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue};
use uuid::Uuid;

use crate::gateway::trace_headers;

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

impl Forward {
    /// The headers that the flow function is to receive with the body: content type, ids, signature and trace context.
    ///
    /// # Panics
    ///
    /// If the signature was replaced by one that no header may hold.
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

/// Where envelopes go: by default the gateway's asynchronous route.
///
/// Whoever takes an envelope has to keep it until it is delivered: a POST to the flow function with
/// [`headers`](Forward::headers) and [`body`](Forward::body), unchanged. It is to be delivered again, after a pause, for as
/// long as no answer comes, or one of 408, 425, 429, 502, 503 and 504. It may be delivered more than once, and in any order.
pub trait Forwarder: Send + Sync + 'static {
    /// Delivers one envelope into safe hands, in one attempt.
    ///
    /// # Errors
    ///
    /// If it was not accepted, and whether trying again may help.
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
    /// Trying again may help.
    #[must_use]
    pub fn temporary(message: impl Into<String>, retry_after: Option<Duration>) -> ForwardError {
        ForwardError { message: message.into(), temporary: true, retry_after, source: None }
    }

    /// Trying again will not help.
    #[must_use]
    pub fn permanent(message: impl Into<String>) -> ForwardError {
        ForwardError { message: message.into(), temporary: false, retry_after: None, source: None }
    }

    /// Names the error behind this one.
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

    /// How long to wait at least, if the peer said.
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
