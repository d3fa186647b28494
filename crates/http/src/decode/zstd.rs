//! Zstandard (RFC 8878), with the windows that HTTP allows (RFC 9659).

use std::io::{self, Read as _};

use bytes::{Buf as _, Bytes};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

use super::coder::{Decoder, Step, malformed};

/// The largest window of a frame in HTTP, in bytes.
const WINDOW: u64 = 8 << 20;
/// The largest decoded size of a block, in bytes.
const BLOCK: u64 = 128 << 10;
/// Other memory of the decoder: literals and a block of `BLOCK` bytes each, and up to 98,047 sequences of 12 bytes.
const OTHER_MEMORY: u64 = 2 * BLOCK + (1280 << 10);
/// The work for a frame in addition to its blocks, because its tables are built anew.
const FRAME_WORK: usize = 1024;

/// Decodes the frames of a body, one after the other (RFC 8878, 3.1).
pub(super) struct Zstd {
    rest: Bytes,
    frame: Option<Frame>,
}

struct Frame {
    decoder: FrameDecoder,
    window: u64,
    blocks: u64,
    /// Whether a whole window is in use.
    full: bool,
}

impl Zstd {
    pub(super) fn new(encoded: Bytes) -> Zstd {
        Zstd { rest: encoded, frame: None }
    }

    /// Begins the next frame, or skips one without data (RFC 8878, 3.1.2).
    fn begin(&mut self) -> io::Result<Step> {
        let cut_short = || io::Error::new(io::ErrorKind::UnexpectedEof, "its zstd frame is truncated");
        if self.rest.is_empty() {
            return Ok(Step::Done);
        }
        if let [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] = *self.rest {
            let length = self.rest.get(4..8).and_then(|length| length.try_into().ok()).ok_or_else(cut_short)?;
            let length = usize::try_from(u32::from_le_bytes(length)).unwrap_or(usize::MAX).saturating_add(8);
            if length > self.rest.len() {
                return Err(cut_short());
            }
            self.rest.advance(length);
            return Ok(Step::Progress { out: 0, work: 8 });
        }
        let window = window(&self.rest).unwrap_or_default();
        if window > WINDOW {
            return Err(malformed(format!("its zstd window is larger than {WINDOW} bytes")));
        }
        let mut header = &*self.rest;
        let mut decoder = FrameDecoder::new();
        decoder.init(&mut header).map_err(|error| malformed(error.to_string()))?;
        self.rest.advance(self.rest.len() - header.len());
        self.frame = Some(Frame { decoder, window, blocks: 0, full: false });
        Ok(Step::Progress { out: 0, work: FRAME_WORK })
    }
}

impl Decoder for Zstd {
    fn memory(&self) -> u64 {
        OTHER_MEMORY + self.frame.as_ref().map_or(0, Frame::memory)
    }

    fn step(&mut self, into: &mut [u8]) -> io::Result<Step> {
        let Some(frame) = &mut self.frame else { return self.begin() };
        let out = frame.decoder.read(into)?;
        if out > 0 {
            frame.full |= !frame.decoder.is_finished();
            return Ok(Step::Progress { out, work: out });
        }
        if !frame.decoder.is_finished() {
            let mut rest = &*self.rest;
            let one = BlockDecodingStrategy::UptoBlocks(1);
            frame.decoder.decode_blocks(&mut rest, one).map_err(|error| malformed(faasflow_core::chain(&error)))?;
            frame.blocks += 1;
            let read = self.rest.len() - rest.len();
            self.rest.advance(read);
            return Ok(Step::Progress { out: 0, work: read });
        }
        let (given, calculated) = (frame.decoder.get_checksum_from_data(), frame.decoder.get_calculated_checksum());
        if given.is_some() && given != calculated {
            return Err(malformed("its zstd checksum does not match the decoded bytes"));
        }
        self.frame = None;
        Ok(Step::Progress { out: 0, work: 0 })
    }
}

impl Frame {
    /// The memory of the ring buffer while the next block is decoded. The buffer grows with the decoded bytes. Only
    /// bytes older than the window leave it.
    fn memory(&self) -> u64 {
        let capacity = if self.full { self.window } else { self.window.min(self.blocks * BLOCK) };
        // The decoder rounds the size up. While the buffer grows, the old one exists as well.
        let ring = capacity.next_power_of_two() + 2 * BLOCK;
        ring + ring / 2
    }
}

/// The window size of a frame in bytes (RFC 8878, 3.1.1.1). `None` if its header is truncated.
fn window(header: &[u8]) -> Option<u64> {
    let (&descriptor, rest) = header.get(4..)?.split_first()?;
    if descriptor & 0x20 == 0 {
        let window = *rest.first()?;
        let base = 1_u64 << (10 + (window >> 3));
        return Some(base + base / 8 * u64::from(window & 7));
    }
    // A single segment is its own window. Its size follows the id of its dictionary.
    let dictionary = [0, 1, 2, 4][usize::from(descriptor & 3)];
    let (length, least) = [(1, 0), (2, 256), (4, 0), (8, 0)][usize::from(descriptor >> 6)];
    let mut size = [0; 8];
    size[..length].copy_from_slice(rest.get(dictionary..dictionary + length)?);
    Some(u64::from_le_bytes(size).saturating_add(least))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each header is the four magic bytes, followed by the frame header.
    #[test]
    fn h10_a_zstd_window_is_known_before_anything_is_decoded() {
        let of = |header: &[u8]| window(&[&[0x28, 0xb5, 0x2f, 0xfd], header].concat());
        assert_eq!(of(&[0x00, 0x00]), Some(1 << 10));
        assert_eq!(of(&[0x00, 0x58]), Some(2 << 20));
        assert_eq!(of(&[0x00, 0x84]), Some(96 << 20));
        assert_eq!(of(&[0x20, 200]), Some(200));
        assert_eq!(of(&[0x60, 0, 1]), Some(512));
        assert_eq!(of(&[0xa1, 9, 0, 0, 0, 1]), Some(1 << 24));
        assert_eq!(of(&[0xe0, 255, 255, 255, 255, 255, 255, 255, 255]), Some(u64::MAX));
        assert_eq!(of(&[0xa0, 1, 2]), None);
    }
}
