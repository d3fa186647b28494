//! Decodes one coding, step by step.

use std::io::{self, BufRead, Read};

use bytes::{Buf as _, Bytes};

/// How many bytes are read or decoded before other tasks get a turn.
pub(super) const PIECE: usize = 64 * 1024;

/// How many bytes are read before that if nothing is decoded. An empty gzip member has 20 bytes, but takes as long as
/// some kilobytes of other data.
const READ_LIMIT: usize = 8 * 1024;

/// Decodes one coding.
pub(super) trait Decoder: Send {
    /// The most memory in bytes that the decoder needs until the next step is done, without the encoded and decoded
    /// bytes.
    fn memory(&self) -> u64;

    /// Decodes a little.
    ///
    /// # Errors
    ///
    /// If the body does not match its coding, or is truncated.
    fn step(&mut self, into: &mut [u8]) -> io::Result<Step>;
}

/// The result of one step.
#[derive(Debug)]
pub(super) enum Step {
    /// `out` bytes were decoded. `work` is the number of bytes read or decoded.
    Progress { out: usize, work: usize },
    /// The body is decoded completely.
    Done,
}

pub(super) fn malformed(text: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text.into())
}

/// The memory of a deflate decoder, whose window is 32 KiB.
const DEFLATE: u64 = 64 * 1024;

/// Decodes with one of the readers of `flate2`. They can be resumed.
pub(super) struct Deflate<R>(R);

pub(super) fn gzip(encoded: Bytes) -> Box<dyn Decoder> {
    // The body may have several members (RFC 1952, 2.2).
    Box::new(Deflate(flate2::bufread::MultiGzDecoder::new(PausingReader::new(encoded))))
}

/// `deflate` means the zlib format (RFC 9110, 8.4.1.2). Some servers send raw deflate data instead. The first two bytes
/// show which one it is: in zlib they are a multiple of 31, and the low half of the first byte is 8.
pub(super) fn deflate(encoded: Bytes) -> Box<dyn Decoder> {
    let zlib = match *encoded {
        [first, second, ..] => first & 15 == 8 && u16::from_be_bytes([first, second]).is_multiple_of(31),
        _ => true,
    };
    let encoded = PausingReader::new(encoded);
    match zlib {
        true => Box::new(Deflate(flate2::bufread::ZlibDecoder::new(encoded))),
        false => Box::new(Deflate(flate2::bufread::DeflateDecoder::new(encoded))),
    }
}

impl<R: Read + Send> Decoder for Deflate<R> {
    fn memory(&self) -> u64 {
        DEFLATE
    }

    fn step(&mut self, into: &mut [u8]) -> io::Result<Step> {
        match self.0.read(into) {
            Ok(0) => Ok(Step::Done),
            Ok(out) => Ok(Step::Progress { out, work: out }),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Step::Progress { out: 0, work: PIECE }),
            Err(error) => Err(error),
        }
    }
}

/// A reader that returns `WouldBlock` after every few bytes, so that decoding also pauses if it produces nothing.
struct PausingReader {
    rest: Bytes,
    left: usize,
}

impl PausingReader {
    fn new(rest: Bytes) -> PausingReader {
        PausingReader { rest, left: READ_LIMIT }
    }
}

impl BufRead for PausingReader {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.left == 0 && !self.rest.is_empty() {
            self.left = READ_LIMIT;
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(&self.rest[..self.rest.len().min(self.left)])
    }

    fn consume(&mut self, read: usize) {
        self.rest.advance(read);
        self.left -= read;
    }
}

impl Read for PausingReader {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let next = self.fill_buf()?;
        let read = next.len().min(into.len());
        into[..read].copy_from_slice(&next[..read]);
        self.consume(read);
        Ok(read)
    }
}
