//! The wire format of a partially executed request.
//!
//! ```text
//! offset  bytes
//! 0       8      magic: "FAASFLOW"
//! 8       2      version, big-endian: 1, or 2 for a request with branches
//! 10      4      length of the header, big-endian
//! 14      …      header, JSON
//! …       …      payload, raw
//! …       …      state values, raw, in the order of the header's list
//! ```
//!
//! The header contains the lengths of the raw sections, which must add up to the whole body: one byte more or less
//! makes the envelope malformed. Unknown fields of the header are ignored, and an unknown version is refused.
//!
//! The two versions differ only in the header. In version 1, a place is the number of a phase. Version 2 adds a path and a
//! generation, and the [`Branching`]: where the input of the phase comes from, and the joins ahead of it.
//!
//! A payload in a state manager is not in the body. The header then contains a [`Reference`] to it.

mod branch;
mod carried;
mod codec;
mod encoded;
mod error;
mod section;

pub use branch::{Branching, List, Origin, Terms};
pub use carried::Carried;
pub use codec::{Envelope, MAGIC, VERSION, VERSION_OF_BRANCHES};
pub use encoded::Encoded;
pub use error::EnvelopeError;
pub(crate) use section::Packed;
pub use section::{from_latin1, latin1};

pub use crate::state::{NotWhatWasStored, Reference};

/// The content type that distinguishes an envelope from a new request.
pub const CONTENT_TYPE: &str = "application/vnd.faasflow.envelope";
