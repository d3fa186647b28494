//! Brotli (RFC 7932).

use std::io;

use brotli_decompressor::{BrotliDecompressStream, BrotliResult, BrotliState, StandardAlloc};
use bytes::{Buf as _, Bytes};

use super::coder::{Decoder, PIECE, Step, malformed};

pub(super) struct Brotli {
    rest: Bytes,
    state: Box<BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>>,
    ended: bool,
}

impl Brotli {
    pub(super) fn new(encoded: Bytes) -> Brotli {
        let [own, tables, codes] = std::array::from_fn(|_| StandardAlloc::default());
        // Strict: without the large windows that RFC 7932 does not know, of up to 1 GiB.
        let state = Box::new(BrotliState::new_strict(own, tables, codes));
        Brotli { rest: encoded, state, ended: false }
    }
}

impl Decoder for Brotli {
    fn step(&mut self, into: &mut [u8]) -> io::Result<Step> {
        if self.ended {
            return if self.rest.is_empty() { Ok(Step::Ended) } else { Err(malformed("something follows its end")) };
        }
        let given = self.rest.len().min(PIECE);
        let (mut left, mut read, mut room, mut out, mut total) = (given, 0, into.len(), 0, 0);
        let input = &self.rest[..given];
        let result =
            BrotliDecompressStream(&mut left, &mut read, input, &mut room, &mut out, into, &mut total, &mut self.state);
        self.rest.advance(read);
        match result {
            BrotliResult::ResultFailure => return Err(malformed("its brotli stream is malformed")),
            BrotliResult::NeedsMoreInput if self.rest.is_empty() && out == 0 => {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "its brotli stream is cut short"));
            }
            BrotliResult::ResultSuccess => self.ended = true,
            BrotliResult::NeedsMoreInput | BrotliResult::NeedsMoreOutput => {}
        }
        Ok(Step::Went { out, work: read + out })
    }
}
