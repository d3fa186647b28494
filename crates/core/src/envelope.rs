//! The wire format of a partially executed request, version 1.
//!
//! ```text
//! offset  bytes
//! 0       8      magic: "FAASFLOW"
//! 8       2      version, big-endian: 1
//! 10      4      length of the header, big-endian
//! 14      …      header, JSON
//! …       …      payload, raw
//! …       …      state values, raw, in the order of the header's list
//! ```
//!
//! The header contains the lengths of the raw sections, which must add up to the whole body: one byte more or less
//! makes the envelope malformed. Unknown fields of the header are ignored, and an unknown version is refused.
//!
//! A payload in a state manager is not in the body. The header then contains a [`Reference`] to it.

mod carried;
mod codec;
mod encoded;
mod error;

pub use carried::Carried;
pub use codec::{Envelope, MAGIC, VERSION};
pub use encoded::Encoded;
pub use error::EnvelopeError;

pub use crate::state::{NotWhatWasStored, Reference};

/// The content type that distinguishes an envelope from a new request.
pub const CONTENT_TYPE: &str = "application/vnd.faasflow.envelope";
