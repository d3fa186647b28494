use std::io;

use faasflow_core::code::{self, Code};

use crate::budget::NoRoom;

/// The most codings of one body. More than one is rare, and each needs memory.
pub(super) const MAX_CODINGS: usize = 4;
/// The supported codings, as in `Accept-Encoding`.
pub const KNOWN_CODINGS: &str = "gzip, deflate, br, zstd";

/// Why a body was not decoded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// A coding is not supported.
    #[error("its encoding is `{0}`, and only {KNOWN_CODINGS} can be decoded")]
    Unknown(String),
    /// There are too many codings.
    #[error("it is encoded more than {MAX_CODINGS} times")]
    TooMany,
    /// The body does not match its codings, or is truncated.
    #[error("it cannot be decoded as its `Content-Encoding` says")]
    Malformed(#[source] io::Error),
    /// The decoded body is larger than the limit.
    #[error("its {encoded} bytes decode to more than {limit} bytes")]
    TooLarge {
        /// The size of the encoded body in bytes.
        encoded: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// The decoder needs more memory than the limit of all bodies.
    #[error("decoding it takes {needed} bytes of memory, but all bodies in flight share {limit} bytes")]
    Window {
        /// The memory that decoding needs in bytes, without the decoded bytes.
        needed: u64,
        /// The most bytes of bodies.
        limit: u64,
    },
    /// Other bodies leave no room for the decoded bytes or for the decoder.
    #[error(transparent)]
    NoRoom(#[from] NoRoom),
}

impl DecodeError {
    /// The code of the error.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            DecodeError::Unknown(_) | DecodeError::TooMany => code::UNKNOWN_CODING,
            DecodeError::Malformed(_) => code::UNDECODABLE_BODY,
            DecodeError::TooLarge { .. } => code::BODY_TOO_LARGE,
            DecodeError::Window { .. } => code::NEVER_ROOM,
            DecodeError::NoRoom(full) => full.code(),
        }
    }
}
