//! The encoding of a carried payload: a description as JSON, and the bytes outside it.

use bytes::Bytes;
use http::HeaderValue;
use serde::{Deserialize, Serialize};

use crate::payload::Payload;
use crate::state::Reference;

use super::carried::Carried;

/// Where the bytes are. An unknown variant is an error, because reading on without the bytes would lose them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Section {
    /// In the same body. The number is their length.
    Inline(u64),
    /// In the state manager.
    Stored(StoredSection),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct StoredSection {
    key: String,
    bytes: u64,
    /// 64 hexadecimal digits.
    sha256: String,
}

/// A carried payload without the bytes that are inline.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Packed {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    content_type: Option<String>,
    payload: Section,
}

impl Packed {
    /// Separates a payload into its description and the inline bytes.
    pub(crate) fn pack(carried: &Carried) -> (Packed, Bytes) {
        let (content_type, payload, inline) = split(carried);
        (Packed { content_type, payload }, inline)
    }

    /// Restores the payload; `None` if the description is not valid or does not match `inline`.
    pub(crate) fn unpack(&self, inline: &Bytes) -> Option<Carried> {
        let mut rest = inline.clone();
        let carried = join(self.content_type.as_deref(), &self.payload, |length| {
            let length = usize::try_from(length).ok().filter(|length| *length <= rest.len()).ok_or("too short")?;
            Ok(rest.split_to(length))
        });
        carried.ok().filter(|_| rest.is_empty())
    }
}

/// Separates a payload into its content type, the location of its bytes, and the inline bytes.
pub(super) fn split(carried: &Carried) -> (Option<String>, Section, Bytes) {
    match carried {
        Carried::Inline(payload) => {
            (payload.content_type_header().map(latin1), Section::Inline(payload.len() as u64), payload.bytes().clone())
        }
        Carried::Stored(reference) => {
            let section = StoredSection {
                key: reference.key.clone(),
                bytes: reference.bytes,
                sha256: hex::encode(reference.sha256),
            };
            (reference.content_type.as_ref().map(latin1), Section::Stored(section), Bytes::new())
        }
    }
}

/// Restores a payload. `take` returns the next inline bytes, given their number.
pub(super) fn join(
    content_type: Option<&str>,
    section: &Section,
    take: impl FnOnce(u64) -> Result<Bytes, &'static str>,
) -> Result<Carried, &'static str> {
    let content_type = match content_type {
        Some(text) => Some(from_latin1(text).ok_or("its content type is not valid")?),
        None => None,
    };
    Ok(match section {
        Section::Inline(length) => Carried::Inline(Payload::new(take(*length)?).with_content_type_header(content_type)),
        Section::Stored(StoredSection { key, bytes, sha256: digits }) => {
            let mut sha256 = [0; 32];
            hex::decode_to_slice(digits, &mut sha256).map_err(|_| "the hash of its payload is not valid")?;
            Carried::Stored(Reference { key: key.clone(), bytes: *bytes, sha256, content_type })
        }
    })
}

/// Header values are bytes. Each byte becomes the character with the same number, which loses nothing and keeps ASCII
/// readable.
#[must_use]
pub fn latin1(value: &HeaderValue) -> String {
    value.as_bytes().iter().map(|&byte| char::from(byte)).collect()
}

/// The header value that [`latin1`] wrote; `None` if the text is not one.
#[must_use]
pub fn from_latin1(text: &str) -> Option<HeaderValue> {
    let bytes: Option<Vec<u8>> = text.chars().map(|character| u8::try_from(u32::from(character)).ok()).collect();
    HeaderValue::from_bytes(&bytes?).ok()
}
