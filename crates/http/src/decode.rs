//! Bodies with a `Content-Encoding` (RFC 9110, 8.4), decoded within a limit.

use std::io::{self, BufRead, BufReader, Read};

use bytes::Bytes;
use http::HeaderMap;
use http::header::CONTENT_ENCODING;

use crate::body::{Joined, ReadBodyError};
use crate::budget::{NoRoom, Share};

/// How much is decoded before other tasks have their turn.
const PIECE: usize = 64 * 1024;
/// How many codings one body may have. More than one is rare, and each takes memory of its own.
const MOST: usize = 4;
/// The codings that are known, as `Accept-Encoding` would list them.
pub const KNOWN_CODINGS: &str = "gzip, deflate, br, zstd";

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
    /// Reads all `Content-Encoding` headers. `identity` is none.
    ///
    /// # Errors
    ///
    /// If one is not known, or there are more than four.
    pub fn of(headers: &HeaderMap) -> Result<Codings, DecodeError> {
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
        if codings.len() > MOST { Err(DecodeError::TooMany) } else { Ok(Codings(codings)) }
    }

    /// Whether there is nothing to decode.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Decodes a body that was read whole. The share makes room for what comes out, and is still to be bound to it.
    ///
    /// # Errors
    ///
    /// If the body is not what its codings say, if more than `limit` bytes come out, or if there is no room for them.
    pub async fn decode(&self, body: Bytes, limit: u64, share: &mut Share) -> Result<Bytes, DecodeError> {
        // An answer to HEAD, or a 304, may name a coding and has no body.
        if self.is_empty() || body.is_empty() {
            return Ok(body);
        }
        let encoded = body.len() as u64;
        let mut reader: Box<dyn BufRead + Send> = Box::new(io::Cursor::new(body));
        for coding in self.0.iter().rev() {
            reader = coding.decoder(reader).map_err(DecodeError::Malformed)?;
        }
        let mut decoded = Joined::of(0);
        let mut length = 0;
        loop {
            let piece = reader.fill_buf().map_err(DecodeError::Malformed)?;
            if piece.is_empty() {
                return Ok(decoded.into_bytes());
            }
            length += piece.len() as u64;
            if length > limit {
                return Err(DecodeError::TooLarge { encoded, limit });
            }
            share.grow(length, limit).await?;
            let piece_length = piece.len();
            decoded.append(piece);
            reader.consume(piece_length);
            tokio::task::yield_now().await;
        }
    }
}

impl Coding {
    fn decoder(self, encoded: Box<dyn BufRead + Send>) -> io::Result<Box<dyn BufRead + Send>> {
        let decoder: Box<dyn Read + Send> = match self {
            // It may have several members (RFC 1952, 2.2).
            Coding::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(encoded)),
            Coding::Deflate => deflate(encoded)?,
            Coding::Brotli => Box::new(brotli_decompressor::Decompressor::new(encoded, PIECE)),
            Coding::Zstd => Box::new(Zstd { encoded: Some(Peeked::new(encoded)), frame: None }),
        };
        Ok(Box::new(BufReader::with_capacity(PIECE, decoder)))
    }
}

/// `deflate` is the zlib format (RFC 9110, 8.4.1.2). Some servers send it without, which the first bytes tell: those of
/// zlib are a multiple of 31, with 8 in the low half of the first.
fn deflate(mut encoded: Box<dyn BufRead + Send>) -> io::Result<Box<dyn Read + Send>> {
    let zlib = match *encoded.fill_buf()? {
        [first, second, ..] => first & 15 == 8 && u16::from_be_bytes([first, second]).is_multiple_of(31),
        _ => true,
    };
    Ok(match zlib {
        true => Box::new(flate2::bufread::ZlibDecoder::new(encoded)),
        false => Box::new(flate2::bufread::DeflateDecoder::new(encoded)),
    })
}

type Frame = ruzstd::decoding::StreamingDecoder<Peeked, ruzstd::decoding::FrameDecoder>;

/// The largest window of a zstd frame in HTTP (RFC 9659). The decoder holds as much before anything comes out.
const WINDOW: u64 = 8 << 20;
/// The longest header of a zstd frame, with its magic number (RFC 8878, 3.1.1).
const FRAME_HEADER: usize = 18;

/// The frames of a zstd body, one after the other (RFC 8878, 3.1).
struct Zstd {
    encoded: Option<Peeked>,
    frame: Option<Frame>,
}

/// How much of the past a frame may refer to, in bytes (RFC 8878, 3.1.1.1); `None` if its header is cut short.
fn window(header: &[u8]) -> Option<u64> {
    let (&descriptor, rest) = header.get(4..)?.split_first()?;
    if descriptor & 0x20 == 0 {
        let window = *rest.first()?;
        let base = 1_u64 << (10 + (window >> 3));
        return Some(base + base / 8 * u64::from(window & 7));
    }
    // A single segment is its own window, and says how long it is behind the id of its dictionary.
    let dictionary = [0, 1, 2, 4][usize::from(descriptor & 3)];
    let (length, least) = [(1, 0), (2, 256), (4, 0), (8, 0)][usize::from(descriptor >> 6)];
    let mut size = [0; 8];
    size[..length].copy_from_slice(rest.get(dictionary..dictionary + length)?);
    Some(u64::from_le_bytes(size).saturating_add(least))
}

/// Bytes whose beginning can be looked at before they are read.
struct Peeked {
    seen: Vec<u8>,
    rest: Box<dyn BufRead + Send>,
}

impl Peeked {
    fn new(rest: Box<dyn BufRead + Send>) -> Peeked {
        Peeked { seen: Vec::new(), rest }
    }

    /// The next `length` bytes, or all if there are fewer.
    fn peek(&mut self, length: usize) -> io::Result<&[u8]> {
        while self.seen.len() < length {
            let next = self.rest.fill_buf()?;
            let taken = next.len().min(length - self.seen.len());
            if taken == 0 {
                break;
            }
            self.seen.extend_from_slice(&next[..taken]);
            self.rest.consume(taken);
        }
        Ok(&self.seen)
    }
}

impl Read for Peeked {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.seen.is_empty() {
            return self.rest.read(into);
        }
        let read = self.seen.len().min(into.len());
        into[..read].copy_from_slice(&self.seen[..read]);
        self.seen.drain(..read);
        Ok(read)
    }
}

impl Read for Zstd {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            if let Some(frame) = &mut self.frame {
                let read = frame.read(into)?;
                if read > 0 || into.is_empty() {
                    return Ok(read);
                }
                self.encoded = self.frame.take().map(Frame::into_inner);
            }
            let Some(mut encoded) = self.encoded.take() else { return Ok(0) };
            let header = encoded.peek(FRAME_HEADER)?;
            if header.is_empty() {
                return Ok(0);
            }
            let malformed = |text: String| io::Error::new(io::ErrorKind::InvalidData, text);
            if window(header).is_some_and(|window| window > WINDOW) {
                return Err(malformed(format!("its zstd window is larger than {WINDOW} bytes")));
            }
            self.frame = Some(Frame::new(encoded).map_err(|error| malformed(error.to_string()))?);
        }
    }
}

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
    /// Other bodies leave no room for what comes out.
    #[error(transparent)]
    NoRoom(#[from] NoRoom),
}

impl From<DecodeError> for ReadBodyError {
    fn from(error: DecodeError) -> ReadBodyError {
        match error {
            DecodeError::NoRoom(full) => ReadBodyError::NoRoom(full),
            error => ReadBodyError::Encoded(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
    use http::HeaderValue;

    use super::*;
    use crate::budget::{Budget, Limits};

    const PLAIN: &[u8] = b"The quick brown fox jumps over the lazy dog. The quick brown fox jumps over the lazy dog.";
    /// The same, as Node's `brotliCompressSync` and `zstd -19` encode it.
    const BROTLI: &[u8] = &[
        27, 88, 0, 136, 44, 14, 120, 211, 208, 149, 93, 151, 16, 187, 23, 43, 169, 202, 208, 146, 204, 140, 173, 65,
        92, 230, 242, 54, 200, 25, 158, 158, 10, 123, 131, 13, 56, 112, 72, 32, 111, 33, 191, 65, 167, 21, 206, 28, 30,
        39, 170, 41, 56, 194, 165, 125, 26, 99,
    ];
    const ZSTD: &[u8] = &[
        40, 181, 47, 253, 4, 104, 173, 1, 0, 212, 2, 84, 104, 101, 32, 113, 117, 105, 99, 107, 32, 98, 114, 111, 119,
        110, 32, 102, 111, 120, 32, 106, 117, 109, 112, 115, 32, 111, 118, 101, 114, 32, 116, 104, 101, 32, 108, 97,
        122, 121, 32, 100, 111, 103, 46, 32, 1, 0, 13, 154, 170, 12, 157, 180, 205, 108,
    ];

    fn gzip(plain: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(plain).unwrap();
        encoder.finish().unwrap()
    }

    fn codings(values: &[&'static str]) -> Result<Codings, DecodeError> {
        let values = values.iter().map(|value| (CONTENT_ENCODING, HeaderValue::from_static(value)));
        let mut headers = HeaderMap::new();
        for (name, value) in values {
            headers.append(name, value);
        }
        Codings::of(&headers)
    }

    async fn decode(values: &[&'static str], body: Vec<u8>, limit: u64) -> Result<Bytes, DecodeError> {
        let budget = Budget::new(Limits { requests: 1, bytes: 10 << 20 });
        codings(values)?.decode(body.into(), limit, &mut budget.intake()).await
    }

    /// Four bytes of magic, then what the frame says of itself.
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

    #[tokio::test]
    async fn h10_a_zstd_window_over_8_mib_is_refused() {
        // Blocks of 128 KiB, each of one byte that repeats: 96 MiB out of 3 kB.
        let mut bomb = vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x84];
        for block in 0..768_u32 {
            let header = (128 << 10 << 3) | (1 << 1) | u32::from(block == 767);
            bomb.extend_from_slice(&header.to_le_bytes()[..3]);
            bomb.push(b'x');
        }
        let headers: HeaderMap = [(CONTENT_ENCODING, HeaderValue::from_static("zstd"))].into_iter().collect();
        let budget = Budget::new(Limits { requests: 1, bytes: 1 << 30 });
        let decoded = Codings::of(&headers).unwrap().decode(bomb.into(), 1 << 30, &mut budget.intake()).await;
        let error = faasflow_core::chain(&decoded.unwrap_err());
        assert!(error.contains("window is larger than 8388608 bytes"), "{error}");
    }

    #[tokio::test]
    async fn h10_every_coding_is_decoded() {
        let mut zlib = ZlibEncoder::new(Vec::new(), Compression::default());
        zlib.write_all(PLAIN).unwrap();
        let mut raw = DeflateEncoder::new(Vec::new(), Compression::default());
        raw.write_all(PLAIN).unwrap();
        for (values, body) in [
            (&["gzip"][..], gzip(PLAIN)),
            (&["X-GZip"], gzip(PLAIN)),
            (&["deflate"], zlib.finish().unwrap()),
            (&["deflate"], raw.finish().unwrap()),
            (&["gzip, gzip"], gzip(&gzip(PLAIN))),
            (&["gzip", "identity, gzip"], gzip(&gzip(PLAIN))),
            (&["identity"], PLAIN.to_vec()),
            (&[""], PLAIN.to_vec()),
            (&["gzip"], [gzip(&PLAIN[..9]), gzip(&PLAIN[9..])].concat()),
            (&["br"], BROTLI.to_vec()),
            (&["zstd"], ZSTD.to_vec()),
            (&["br, gzip"], gzip(BROTLI)),
        ] {
            assert_eq!(decode(values, body, 1000).await.unwrap(), PLAIN, "{values:?}");
        }
        assert_eq!(decode(&["zstd"], ZSTD.repeat(2), 1000).await.unwrap(), PLAIN.repeat(2));
        assert_eq!(decode(&["gzip"], Vec::new(), 1000).await.unwrap(), "");
    }

    #[tokio::test]
    async fn h10_what_cannot_be_decoded_says_so() {
        let said = |outcome: Result<Bytes, DecodeError>| outcome.unwrap_err().to_string();
        let unknown = decode(&["gzip, rot13"], gzip(PLAIN), 1000).await;
        assert_eq!(said(unknown), "it is encoded as `rot13`; gzip, deflate, br, zstd can be decoded");
        let many = decode(&["gzip, gzip, gzip, gzip, gzip"], Vec::new(), 1000).await;
        assert_eq!(said(many), "it is encoded more than 4 times");
        let whole = gzip(PLAIN);
        for (value, body) in [
            ("gzip", PLAIN.to_vec()),
            ("gzip", whole[..whole.len() - 9].to_vec()),
            ("deflate", PLAIN.to_vec()),
            ("br", PLAIN.to_vec()),
            ("br", BROTLI[..5].to_vec()),
            ("zstd", PLAIN.to_vec()),
            ("zstd", ZSTD[..9].to_vec()),
        ] {
            let outcome = decode(&[value], body, 1000).await;
            assert!(matches!(outcome, Err(DecodeError::Malformed(_))), "{value}: {outcome:?}");
        }
    }

    #[tokio::test]
    async fn h10_a_bomb_is_not_decoded_further_than_the_limit() {
        let bomb = gzip(&vec![0; 5 << 20]);
        let length = bomb.len() as u64;
        let outcome = decode(&["gzip"], bomb.clone(), 1 << 20).await;
        let text = format!("its {length} bytes are encoded, and decoded they are more than 1048576");
        assert_eq!(outcome.unwrap_err().to_string(), text);
        assert_eq!(decode(&["gzip"], bomb.clone(), 5 << 20).await.unwrap().len(), 5 << 20);
        let budget = Budget::new(Limits { requests: 1, bytes: 2 << 20 });
        let outcome = codings(&["gzip"]).unwrap().decode(bomb.into(), 5 << 20, &mut budget.intake()).await;
        assert!(matches!(outcome, Err(DecodeError::NoRoom(NoRoom::Never { .. }))), "{outcome:?}");
    }
}
