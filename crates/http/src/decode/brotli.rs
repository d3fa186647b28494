//! Brotli (RFC 7932).

use std::io;

use brotli_decompressor::{BrotliDecompressStream, BrotliResult, BrotliState, StandardAlloc};
use bytes::{Buf as _, Bytes};

use super::coder::{Decoder, PIECE, Step, malformed};

/// The memory of the Huffman tables: 256 for each of literals, lengths and distances, with 1,080 entries of four bytes.
/// The rest is a generous estimate of what else the decoder needs.
const TABLES: u64 = 3 * 256 * 1080 * 4 + 256 * 1024;

pub(super) struct Brotli {
    rest: Bytes,
    window: u64,
    state: Box<BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>>,
    ended: bool,
}

impl Brotli {
    pub(super) fn new(encoded: Bytes) -> Brotli {
        let [own, tables, codes] = std::array::from_fn(|_| StandardAlloc::default());
        // Strict mode refuses the large windows of up to 1 GiB, which are not in RFC 7932.
        let state = Box::new(BrotliState::new_strict(own, tables, codes));
        Brotli { window: window(encoded.first().copied().unwrap_or_default()), rest: encoded, state, ended: false }
    }
}

/// The window size of a stream in bytes, according to its first byte (RFC 7932, 9.1).
fn window(first: u8) -> u64 {
    let bits = match (first & 1, first >> 1 & 7, first >> 4 & 7) {
        (0, _, _) => 16,
        (_, 0, 0) => 17,
        (_, 0, low) => 8 + low,
        (_, high, _) => 17 + high,
    };
    1 << bits
}

impl Decoder for Brotli {
    fn memory(&self) -> u64 {
        self.window + TABLES
    }

    fn step(&mut self, into: &mut [u8]) -> io::Result<Step> {
        if self.ended {
            return if self.rest.is_empty() { Ok(Step::Done) } else { Err(malformed("there is data after its end")) };
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
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "its brotli stream is truncated"));
            }
            BrotliResult::ResultSuccess => self.ended = true,
            BrotliResult::NeedsMoreInput | BrotliResult::NeedsMoreOutput => {}
        }
        Ok(Step::Progress { out, work: read + out })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h10_a_brotli_window_is_known_before_anything_is_decoded() {
        for (first, bits) in
            [(0x0c, 16), (0x01, 17), (0x03, 18), (0x0b, 22), (27, 22), (15, 24), (0x21, 10), (0x71, 15)]
        {
            assert_eq!(window(first), 1 << bits, "{first}");
        }
    }
}
