//! References to payloads that a state manager stores.

use bytes::Bytes;
use http::HeaderValue;
use sha2::{Digest as _, Sha256};

use crate::graph::Place;
use crate::payload::Payload;

use super::layout;

/// Where a payload is stored in the request's scope of a state manager, and what must be found there.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reference {
    pub(crate) key: String,
    pub(crate) bytes: u64,
    pub(crate) sha256: [u8; 32],
    pub(crate) content_type: Option<HeaderValue>,
}

impl Reference {
    /// Creates the reference to a payload for the phase at `place`.
    #[must_use]
    pub fn to(payload: &Payload, place: impl Into<Place>) -> Reference {
        let sha256: [u8; 32] = Sha256::digest(payload.bytes()).into();
        Reference {
            key: layout::payload(&place.into(), &sha256),
            bytes: payload.len() as u64,
            sha256,
            content_type: payload.content_type_header().cloned(),
        }
    }

    /// The key of the payload in the request's scope.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The size of the payload in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Converts what was found under the key into the payload, if it is what was stored.
    ///
    /// # Errors
    ///
    /// If the size or the hash differs.
    pub fn check(&self, found: Bytes) -> Result<Payload, NotWhatWasStored> {
        if found.len() as u64 != self.bytes {
            return Err(NotWhatWasStored { stored: self.bytes, found: found.len() as u64 });
        }
        if <[u8; 32]>::from(Sha256::digest(&found)) != self.sha256 {
            return Err(NotWhatWasStored { stored: self.bytes, found: self.bytes });
        }
        Ok(Payload::new(found).with_content_type_header(self.content_type.clone()))
    }
}

/// The error of a payload that a state manager returned with another size or hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the state manager was given a payload of {stored} bytes and returned {found} bytes with another hash")]
pub struct NotWhatWasStored {
    stored: u64,
    found: u64,
}
