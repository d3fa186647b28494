//! What undoes one coding, a step at a time.

use std::io::{self, BufRead, Read};

use bytes::{Buf as _, Bytes};

/// How much is decoded before other tasks have their turn: bytes of either side.
pub(super) const PIECE: usize = 64 * 1024;

/// How much is read before that, where nothing comes out: an empty member of gzip has 20 bytes, and takes as long as some
/// kilobytes of another.
const RATION: usize = 8 * 1024;

/// Undoes one coding.
pub(super) trait Decoder: Send {
    /// How many bytes of memory it takes until the next step is done, at most, beside what is to be decoded and what
    /// came out.
    fn memory(&self) -> u64;

    /// Does a little, and says what came of it.
    ///
    /// # Errors
    ///
    /// If the body is not what its coding says, or is cut short.
    fn step(&mut self, into: &mut [u8]) -> io::Result<Step>;
}

/// What one step came to.
#[derive(Debug)]
pub(super) enum Step {
    /// So many bytes came out, for so much work, in bytes of either side.
    Progress { out: usize, work: usize },
    /// That was all.
    Done,
}

pub(super) fn malformed(text: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text.into())
}

/// The memory of a decoder of deflate, which remembers 32 KiB.
const DEFLATE: u64 = 64 * 1024;

/// Decodes by one of the readers of `flate2`. They go on where they have stopped.
pub(super) struct Deflate<R>(R);

pub(super) fn gzip(encoded: Bytes) -> Box<dyn Decoder> {
    // It may have several members (RFC 1952, 2.2).
    Box::new(Deflate(flate2::bufread::MultiGzDecoder::new(PausingReader::new(encoded))))
}

/// `deflate` is the zlib format (RFC 9110, 8.4.1.2). Some servers send it without, which the first bytes tell: those of
/// zlib are a multiple of 31, with 8 in the low half of the first.
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

/// Bytes that say after each piece of them that no more have come yet, so that whoever reads them stops for a moment also
/// where nothing comes out.
struct PausingReader {
    rest: Bytes,
    ration: usize,
}

impl PausingReader {
    fn new(rest: Bytes) -> PausingReader {
        PausingReader { rest, ration: RATION }
    }
}

impl BufRead for PausingReader {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.ration == 0 && !self.rest.is_empty() {
            self.ration = RATION;
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(&self.rest[..self.rest.len().min(self.ration)])
    }

    fn consume(&mut self, read: usize) {
        self.rest.advance(read);
        self.ration -= read;
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
