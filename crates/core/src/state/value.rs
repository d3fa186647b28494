//! The values of a request's state.

use bytes::{BufMut as _, Bytes, BytesMut};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, Result};
use crate::mismatch::Mismatch;

use super::raw;

/// How a value was written. It is stored with the bytes, so that the value is read back as what it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ValueKind {
    /// Written as JSON by [`Context::set`](crate::Context::set).
    Json,
    /// Raw bytes.
    Bytes,
}

/// A value of a request's state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateValue {
    /// How it was written.
    pub kind: ValueKind,
    /// Its bytes.
    pub bytes: Bytes,
}

impl StateValue {
    /// Creates a value of raw bytes.
    #[must_use]
    pub fn raw(bytes: Bytes) -> StateValue {
        StateValue { kind: ValueKind::Bytes, bytes }
    }

    /// Serialises a value of any type. A type that serialises as bytes, such as [`Bytes`], is stored raw, and every
    /// other type as JSON.
    ///
    /// # Errors
    ///
    /// If the value cannot be written as JSON.
    pub(crate) fn write<T: Serialize + ?Sized>(key: &str, value: &T) -> Result<StateValue> {
        if let Some(bytes) = raw::as_bytes(value) {
            return Ok(StateValue::raw(bytes));
        }
        match serde_json::to_vec(value) {
            Ok(json) => Ok(StateValue { kind: ValueKind::Json, bytes: json.into() }),
            Err(error) => Err(Error::from(error).context(format!("state `{key}` cannot be written as JSON"))),
        }
    }

    /// Deserialises the value as a `T`.
    ///
    /// # Errors
    ///
    /// If it is not a `T`. The text names the key, what was found and what was asked for.
    pub(crate) fn read<T: DeserializeOwned>(&self, key: &str) -> Result<T> {
        let asked = std::any::type_name::<T>();
        match self.kind {
            ValueKind::Bytes => raw::from_bytes(self.bytes.clone()).map_err(|_| {
                Error::msg(format!(
                    "state `{key}` holds {} raw bytes, not a `{asked}`: read it with `get_bytes`",
                    self.bytes.len()
                ))
            }),
            ValueKind::Json => serde_json::from_slice(&self.bytes).map_err(|error| {
                let found = json_type(&self.bytes);
                Error::from(Mismatch::new(&error))
                    .context(format!("state `{key}` holds a JSON {found}, not a `{asked}`"))
            }),
        }
    }

    /// One byte for the kind, then the value. State managers store values in this form.
    pub(super) fn tagged(&self) -> Bytes {
        let mut tagged = BytesMut::with_capacity(self.bytes.len() + 1);
        tagged.put_u8(match self.kind {
            ValueKind::Json => b'j',
            ValueKind::Bytes => b'b',
        });
        tagged.put_slice(&self.bytes);
        tagged.freeze()
    }

    pub(super) fn untagged(key: &str, tagged: &Bytes) -> Result<StateValue> {
        let kind = match tagged.first() {
            Some(b'j') => ValueKind::Json,
            Some(b'b') => ValueKind::Bytes,
            _ => {
                return Err(Error::msg(format!(
                    "state `{key}` was not written by a flow: its first byte is not a known kind"
                )));
            }
        };
        Ok(StateValue { kind, bytes: tagged.slice(1..) })
    }
}

fn json_type(bytes: &[u8]) -> &'static str {
    match bytes.first() {
        Some(b'{') => "object",
        Some(b'[') => "array",
        Some(b'"') => "string",
        Some(b't' | b'f') => "boolean",
        Some(b'n') => "null",
        _ => "number",
    }
}
