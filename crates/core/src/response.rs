use http::{HeaderMap, StatusCode};

use crate::payload::Payload;

/// The answer of a function or a callback.
#[derive(Clone, Debug)]
pub struct CallResponse {
    status: StatusCode,
    headers: HeaderMap,
    payload: Payload,
}

impl CallResponse {
    /// Creates an answer. Its payload gets the content type from the `Content-Type` header.
    #[must_use]
    pub fn new(status: StatusCode, headers: HeaderMap, body: bytes::Bytes) -> CallResponse {
        let content_type = headers.get(http::header::CONTENT_TYPE).cloned();
        CallResponse { status, headers, payload: Payload::new(body).with_content_type_header(content_type) }
    }

    /// The status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The headers.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// The value of a header as text, or `None` if the header is missing or is not ASCII text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The body with its content type.
    #[must_use]
    pub fn payload(&self) -> &Payload {
        &self.payload
    }

    /// Converts the answer into its body.
    #[must_use]
    pub fn into_payload(self) -> Payload {
        self.payload
    }
}
