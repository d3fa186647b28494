//! A partially executed request on the wire, version 1.
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
//! The lengths of the raw sections stand in the header, and together they are the whole body: one byte
//! more or less is malformed. Unknown fields of the header are ignored, an unknown version is refused.
//!
//! A payload that a state manager keeps is not in the body: the header then holds a [`Reference`] to it.

mod carried;
mod codec;
mod encoded;
mod error;

pub use carried::Carried;
pub use codec::{Envelope, MAGIC, VERSION};
pub use encoded::Encoded;
pub use error::EnvelopeError;

pub use crate::state::{NotWhatWasStored, Reference};

/// The content type that tells an envelope from a fresh request.
pub const CONTENT_TYPE: &str = "application/vnd.faasflow.envelope";
