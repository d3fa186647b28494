//! The payload that travels from step to step, and its conversion to and from typed values.

use bytes::Bytes;
use http::HeaderValue;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, Result};
use crate::mismatch::Mismatch;

/// The bytes that travel from step to step, with their content type.
///
/// Cloning shares the bytes.
///
/// ```
/// use faasflow_core::Payload;
///
/// let photo = Payload::new(vec![0xff, 0xd8]).with_content_type("image/jpeg");
/// assert_eq!(photo.len(), 2);
/// assert_eq!(photo.content_type(), Some("image/jpeg"));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Payload {
    bytes: Bytes,
    content_type: Option<HeaderValue>,
}

impl Payload {
    /// Creates a payload without a content type. It is sent as `application/octet-stream`.
    #[must_use]
    pub fn new(bytes: impl Into<Bytes>) -> Payload {
        Payload { bytes: bytes.into(), content_type: None }
    }

    /// Creates an empty payload without a content type.
    #[must_use]
    pub fn empty() -> Payload {
        Payload::default()
    }

    /// Sets the content type, such as `image/jpeg`.
    ///
    /// # Panics
    ///
    /// If the text contains control characters or a line break, which a header cannot hold.
    #[must_use]
    pub fn with_content_type(mut self, content_type: impl AsRef<str>) -> Payload {
        let text = content_type.as_ref();
        self.content_type =
            Some(HeaderValue::from_str(text).unwrap_or_else(|_| panic!("`{text:?}` cannot be a content type")));
        self
    }

    /// Sets the content type to the value of a header, or removes it with `None`.
    #[must_use]
    pub fn with_content_type_header(mut self, content_type: Option<HeaderValue>) -> Payload {
        self.content_type = content_type;
        self
    }

    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Converts the payload into its bytes.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        self.bytes
    }

    /// The number of bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether the payload has no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The content type as text, or `None` if it is not set or is not ASCII text.
    #[must_use]
    pub fn content_type(&self) -> Option<&str> {
        self.content_type.as_ref().and_then(|value| value.to_str().ok())
    }

    /// The content type as the value of a header.
    #[must_use]
    pub fn content_type_header(&self) -> Option<&HeaderValue> {
        self.content_type.as_ref()
    }

    /// Parses the bytes as JSON, whatever the content type is.
    ///
    /// ```
    /// use faasflow_core::Payload;
    ///
    /// assert_eq!(Payload::new("[1, 2]").json::<Vec<u8>>().unwrap(), [1, 2]);
    /// assert!(Payload::new("<xml/>").json::<Vec<u8>>().is_err());
    /// ```
    ///
    /// # Errors
    ///
    /// If the bytes are not the JSON of a `T`.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_slice(&self.bytes).map_err(|error| Error::from(NotTheJson { source: Mismatch::new(&error) }))
    }

    /// Creates a payload from JSON text.
    pub(crate) fn json_text(text: impl Into<Bytes>) -> Payload {
        Payload::new(text).with_content_type_header(Some(JSON))
    }

    /// Completes the payload that a handler made from this one. If the handler returned the same bytes without a
    /// content type, they keep the one that they had.
    pub(crate) fn hand_on(&self, made: Payload) -> Payload {
        let same = made.bytes.as_ptr() == self.bytes.as_ptr() && made.len() == self.len() && !made.is_empty();
        match made.content_type {
            None if same => made.with_content_type_header(self.content_type.clone()),
            _ => made,
        }
    }
}

/// The error of a handler that expects JSON, when its payload is something else.
#[derive(Debug, thiserror::Error)]
#[error("the payload is not the JSON expected")]
pub struct NotTheJson {
    #[source]
    source: Mismatch,
}

/// The error of a handler that expects text, when its payload is not UTF-8.
#[derive(Debug, thiserror::Error)]
#[error("the payload is not UTF-8 text")]
pub struct NotText {
    #[source]
    source: std::str::Utf8Error,
}

/// A payload as JSON. It is parsed when a handler takes it, and written as `application/json` when a handler returns
/// it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Json<T>(pub T);

/// A type that a handler can take its payload as.
#[diagnostic::on_unimplemented(
    message = "a handler cannot take its payload as `{Self}`",
    label = "not a payload",
    note = "the last parameter of a handler is its payload: `Bytes`, `String`, `Json<T>`, `Payload`, or `()` to ignore it",
    note = "`Context`, `Query<T>` and `RequestState<T>` come before it"
)]
pub trait FromPayload: Sized {
    /// Converts the payload.
    ///
    /// # Errors
    ///
    /// If the payload cannot be converted to the type.
    fn from_payload(payload: Payload) -> Result<Self>;
}

impl FromPayload for Payload {
    fn from_payload(payload: Payload) -> Result<Payload> {
        Ok(payload)
    }
}

impl FromPayload for Bytes {
    fn from_payload(payload: Payload) -> Result<Bytes> {
        Ok(payload.bytes)
    }
}

/// Fails unless the bytes are UTF-8.
impl FromPayload for String {
    fn from_payload(payload: Payload) -> Result<String> {
        match std::str::from_utf8(&payload.bytes) {
            Ok(text) => Ok(text.to_owned()),
            Err(source) => Err(NotText { source }.into()),
        }
    }
}

/// Fails unless the bytes are the JSON of a `T`. The content type is ignored, because many functions do not set one.
impl<T: DeserializeOwned> FromPayload for Json<T> {
    fn from_payload(payload: Payload) -> Result<Json<T>> {
        payload.json().map(Json)
    }
}

/// Ignores the payload.
impl FromPayload for () {
    fn from_payload(_: Payload) -> Result<()> {
        Ok(())
    }
}

/// A type that a handler can return as the next payload.
#[diagnostic::on_unimplemented(
    message = "a handler cannot return `{Self}`",
    label = "not a payload",
    note = "return `Bytes`, `Vec<u8>`, `String`, `Json<T>`, `Payload`, `()`, or a `Result` of one with `faasflow::Error`"
)]
pub trait IntoPayload {
    /// Converts the value into a payload.
    ///
    /// # Errors
    ///
    /// If the value cannot be serialised, or is an error itself.
    fn into_payload(self) -> Result<Payload>;
}

impl IntoPayload for Payload {
    fn into_payload(self) -> Result<Payload> {
        Ok(self)
    }
}

/// Bytes that the handler passes on unchanged keep their content type. Other bytes have none.
impl IntoPayload for Bytes {
    fn into_payload(self) -> Result<Payload> {
        Ok(Payload::new(self))
    }
}

impl IntoPayload for Vec<u8> {
    fn into_payload(self) -> Result<Payload> {
        Ok(Payload::new(self))
    }
}

/// The content type is `text/plain; charset=utf-8`.
impl IntoPayload for String {
    fn into_payload(self) -> Result<Payload> {
        Ok(Payload::new(self).with_content_type_header(Some(TEXT)))
    }
}

/// The content type is `text/plain; charset=utf-8`.
impl IntoPayload for &'static str {
    fn into_payload(self) -> Result<Payload> {
        Ok(Payload::new(self).with_content_type_header(Some(TEXT)))
    }
}

/// The payload is empty.
impl IntoPayload for () {
    fn into_payload(self) -> Result<Payload> {
        Ok(Payload::empty())
    }
}

/// The content type is `application/json`.
impl<T: Serialize> IntoPayload for Json<T> {
    fn into_payload(self) -> Result<Payload> {
        let bytes = serde_json::to_vec(&self.0).map_err(|error| Error::from(error).context("cannot write JSON"))?;
        Ok(Payload::new(bytes).with_content_type_header(Some(JSON)))
    }
}

// There is only one error type here, because that allows `?` in an `async` closure to infer its type.
impl<T: IntoPayload> IntoPayload for Result<T, Error> {
    fn into_payload(self) -> Result<Payload> {
        self.and_then(T::into_payload)
    }
}

const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
