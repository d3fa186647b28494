//! Decodes bodies with a `Content-Encoding` (RFC 9110, 8.4), within limits.

mod brotli;
mod coder;
mod error;
mod zstd;

use std::collections::VecDeque;

use bytes::Bytes;
use http::HeaderMap;
use http::header::CONTENT_ENCODING;

use crate::body_buffer::BodyBuffer;
use crate::budget::{NoRoom, Share};
use brotli::Brotli;
use coder::{Decoder, PIECE, Step};
use error::MAX_CODINGS;
use zstd::Zstd;

pub use error::{DecodeError, KNOWN_CODINGS};

/// One coding of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coding {
    Gzip,
    Deflate,
    Brotli,
    Zstd,
}

/// The codings of a body, in the order in which they were applied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Codings(Vec<Coding>);

impl Codings {
    /// Reads all `Content-Encoding` headers. `identity` does not count as a coding.
    ///
    /// # Errors
    ///
    /// If a coding is not supported, or there are more than four.
    pub fn from_headers(headers: &HeaderMap) -> Result<Codings, DecodeError> {
        let mut codings = Vec::new();
        for value in headers.get_all(CONTENT_ENCODING) {
            let text = String::from_utf8_lossy(value.as_bytes());
            for name in text.split(',').map(str::trim).filter(|name| !name.is_empty()) {
                match name.to_ascii_lowercase().as_str() {
                    "identity" => {}
                    "gzip" | "x-gzip" => codings.push(Coding::Gzip),
                    "deflate" => codings.push(Coding::Deflate),
                    "br" => codings.push(Coding::Brotli),
                    "zstd" => codings.push(Coding::Zstd),
                    _ => return Err(DecodeError::Unknown(name.chars().take(64).collect())),
                }
            }
        }
        if codings.len() > MAX_CODINGS { Err(DecodeError::TooMany) } else { Ok(Codings(codings)) }
    }

    /// Whether there is nothing to decode.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Decodes a body, one coding after the other. The share makes room for the decoded bytes and for the memory of the
    /// decoders. Use [`Share::keep`] afterwards to bind it to the returned body. If the encoded body counts against the
    /// same budget, say so with [`Share::beside`].
    ///
    /// This yields to other tasks after every 64 KiB that are read or decoded, so that a timeout around it works.
    ///
    /// # Errors
    ///
    /// If the body does not match its codings, if more than `limit` bytes are decoded, which also applies between two
    /// codings, or if there is no room.
    pub async fn decode(&self, body: Bytes, limit: u64, share: &mut Share) -> Result<Bytes, DecodeError> {
        // An answer to HEAD, or a 304, may have a `Content-Encoding` but no body.
        if self.is_empty() || body.is_empty() {
            return Ok(body);
        }
        let encoded = body.len() as u64;
        // For the piece, and for the decoder itself.
        make_room(share, 2 * PIECE as u64, 0, limit).await?;
        let mut piece = vec![0; PIECE];
        let mut work = 0;
        let (mut body, mut between) = (body, 0);
        for coding in self.0.iter().rev() {
            // Bytes between two codings need room as well.
            let beside = between + PIECE as u64;
            let mut decoder = coding.decoder(body);
            let mut decoded = Parts::default();
            let mut length = 0;
            loop {
                make_room(share, beside + decoder.memory() + spare(length), length, limit).await?;
                let Step::Progress { out, work: done } = decoder.step(&mut piece).map_err(DecodeError::Malformed)?
                else {
                    break;
                };
                length += out as u64;
                if length > limit {
                    return Err(DecodeError::TooLarge { encoded, limit });
                }
                make_room(share, beside + decoder.memory() + spare(length), length, limit).await?;
                decoded.append(&piece[..out]);
                work += done.max(1);
                if work >= PIECE {
                    work = 0;
                    tokio::task::yield_now().await;
                }
            }
            drop(decoder);
            if !decoded.full.is_empty() {
                make_room(share, beside + length, length, limit).await?;
            }
            (body, between) = (decoded.join(length), length);
        }
        Ok(body)
    }
}

/// The decoded bytes, in parts. Their final length is not known, and growing a single buffer would at times need two or
/// three times its size.
struct Parts {
    full: VecDeque<Bytes>,
    last: BodyBuffer,
    in_last: usize,
}

/// The size of a part, if there are several.
const PART: usize = 4 << 20;

impl Default for Parts {
    fn default() -> Parts {
        Parts { full: VecDeque::new(), last: BodyBuffer::new(0), in_last: 0 }
    }
}

impl Parts {
    fn append(&mut self, mut piece: &[u8]) {
        while !piece.is_empty() {
            if self.in_last == PART {
                self.full.push_back(std::mem::replace(&mut self.last, BodyBuffer::new(PART)).into_bytes());
                self.in_last = 0;
            }
            let (fits, rest) = piece.split_at(piece.len().min(PART - self.in_last));
            self.last.append(fits);
            self.in_last += fits.len();
            piece = rest;
        }
    }

    /// Joins the parts. Each part is freed as soon as it is copied.
    fn join(mut self, length: u64) -> Bytes {
        if self.full.is_empty() {
            return self.last.into_bytes();
        }
        self.full.push_back(self.last.into_bytes());
        let mut joined = BodyBuffer::new(usize::try_from(length).unwrap_or(usize::MAX));
        while let Some(part) = self.full.pop_front() {
            joined.append(&part);
        }
        joined.into_bytes()
    }
}

/// The extra memory of the last part when `length` bytes were decoded, because it grows as a single buffer.
fn spare(length: u64) -> u64 {
    length.saturating_mul(2).min(PART as u64 + (1 << 20))
}

/// Makes room for `length` decoded bytes, for more that may follow, and for `beside` further bytes.
async fn make_room(share: &mut Share, beside: u64, length: u64, limit: u64) -> Result<(), DecodeError> {
    let ample = beside + length.saturating_mul(2).min(limit).max(length);
    share.grow(beside + length, ample).await.map_err(|full| match full {
        NoRoom::Never { limit } if beside > length => DecodeError::Window { needed: beside, limit },
        full => DecodeError::NoRoom(full),
    })
}

impl Coding {
    fn decoder(self, encoded: Bytes) -> Box<dyn Decoder> {
        match self {
            Coding::Gzip => coder::gzip(encoded),
            Coding::Deflate => coder::deflate(encoded),
            Coding::Brotli => Box::new(Brotli::new(encoded)),
            Coding::Zstd => Box::new(Zstd::new(encoded)),
        }
    }
}

#[cfg(test)]
mod tests;
