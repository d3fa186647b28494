use std::io;

use faasflow_core::code::{self, Code};

use crate::budget::NoRoom;

/// How many codings one body may have. More than one is rare, and each takes memory of its own.
pub(super) const MOST: usize = 4;
/// The codings that are known, as `Accept-Encoding` would list them.
pub const KNOWN_CODINGS: &str = "gzip, deflate, br, zstd";

/// Why a body was not decoded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// It has a coding that is not known.
    #[error("it is encoded as `{0}`; {KNOWN_CODINGS} can be decoded")]
    Unknown(String),
    /// It has too many codings.
    #[error("it is encoded more than {MOST} times")]
    TooMany,
    /// It is not what its codings say, or is cut short.
    #[error("it cannot be decoded as its `Content-Encoding` says")]
    Malformed(#[source] io::Error),
    /// More comes out than is allowed.
    #[error("its {encoded} bytes are encoded, and decoded they are more than {limit}")]
    TooLarge {
        /// The size of the encoded body in bytes.
        encoded: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// What a decoder takes is more than there ever is.
    #[error("to decode it takes {needed} bytes of memory, of {limit} that all bodies in flight may have together")]
    Window {
        /// How much it takes in bytes, without what comes out.
        needed: u64,
        /// How many bytes may be held.
        limit: u64,
    },
    /// Other bodies leave no room for what comes out, or for what decodes it.
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
