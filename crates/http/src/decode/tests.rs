use std::io::Write as _;

use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use http::HeaderValue;

use super::*;
use crate::budget::{Budget, Limits};

const PLAIN: &[u8] = b"The quick brown fox jumps over the lazy dog. The quick brown fox jumps over the lazy dog.";
/// The same text, as encoded by Node's `brotliCompressSync` and by `zstd -19`.
const BROTLI: &[u8] = &[
    27, 88, 0, 136, 44, 14, 120, 211, 208, 149, 93, 151, 16, 187, 23, 43, 169, 202, 208, 146, 204, 140, 173, 65, 92,
    230, 242, 54, 200, 25, 158, 158, 10, 123, 131, 13, 56, 112, 72, 32, 111, 33, 191, 65, 167, 21, 206, 28, 30, 39,
    170, 41, 56, 194, 165, 125, 26, 99,
];
const ZSTD: &[u8] = &[
    40, 181, 47, 253, 4, 104, 173, 1, 0, 212, 2, 84, 104, 101, 32, 113, 117, 105, 99, 107, 32, 98, 114, 111, 119, 110,
    32, 102, 111, 120, 32, 106, 117, 109, 112, 115, 32, 111, 118, 101, 114, 32, 116, 104, 101, 32, 108, 97, 122, 121,
    32, 100, 111, 103, 46, 32, 1, 0, 13, 154, 170, 12, 157, 180, 205, 108,
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
    Codings::from_headers(&headers)
}

async fn decode(values: &[&'static str], body: Vec<u8>, limit: u64) -> Result<Bytes, DecodeError> {
    let budget = Budget::new(Limits { requests: 1, bytes: 16 << 20 });
    codings(values)?.decode(body.into(), limit, &mut budget.request_share()).await
}

#[tokio::test]
async fn h10_a_zstd_window_over_8_mib_is_refused() {
    // 96 MiB encoded in 3 kB: blocks of 128 KiB, each of which repeats one byte.
    let mut bomb = vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x84];
    for block in 0..768_u32 {
        let header = (128 << 10 << 3) | (1 << 1) | u32::from(block == 767);
        bomb.extend_from_slice(&header.to_le_bytes()[..3]);
        bomb.push(b'x');
    }
    let headers: HeaderMap = [(CONTENT_ENCODING, HeaderValue::from_static("zstd"))].into_iter().collect();
    let budget = Budget::new(Limits { requests: 1, bytes: 1 << 30 });
    let decoded =
        Codings::from_headers(&headers).unwrap().decode(bomb.into(), 1 << 30, &mut budget.request_share()).await;
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
async fn h10_undecodable_bodies_are_explained() {
    let text_of = |outcome: Result<Bytes, DecodeError>| outcome.unwrap_err().to_string();
    let unknown = decode(&["gzip, rot13"], gzip(PLAIN), 1000).await;
    assert_eq!(text_of(unknown), "its encoding is `rot13`, and only gzip, deflate, br, zstd can be decoded");
    let many = decode(&["gzip, gzip, gzip, gzip, gzip"], Vec::new(), 1000).await;
    assert_eq!(text_of(many), "it is encoded more than 4 times");
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
    let text = format!("its {length} bytes decode to more than 1048576 bytes");
    assert_eq!(outcome.unwrap_err().to_string(), text);
    assert_eq!(decode(&["gzip"], bomb.clone(), 5 << 20).await.unwrap().len(), 5 << 20);
    let budget = Budget::new(Limits { requests: 1, bytes: 2 << 20 });
    let outcome = codings(&["gzip"]).unwrap().decode(bomb.into(), 5 << 20, &mut budget.request_share()).await;
    assert!(matches!(outcome, Err(DecodeError::Window { .. })), "{outcome:?}");
}

/// Decodes a body that decodes to nothing, and counts how often other tasks got a turn.
async fn turns_of_others(values: &[&'static str], body: Vec<u8>) -> usize {
    let mut turns = 0;
    let mut decoding = std::pin::pin!(decode(values, body, 1 << 20));
    let decoded = std::future::poll_fn(|context| {
        turns += 1;
        decoding.as_mut().poll(context)
    });
    assert_eq!(decoded.await.unwrap(), "");
    turns
}

#[tokio::test]
async fn h10_decoding_yields_even_if_it_produces_nothing() {
    // An empty frame of a single segment: one block of no bytes, which is the last.
    let frame = [0x28, 0xb5, 0x2f, 0xfd, 0x20, 0, 1, 0, 0];
    // Stored blocks of no bytes, of which only the last is marked as the last.
    let deflate = [[0, 0, 0, 0xff, 0xff].repeat(80_000), vec![1, 0, 0, 0xff, 0xff]].concat();
    // Metadata blocks of no bytes, in a window of 64 KiB.
    let brotli = [vec![0x0c], vec![0x06; 400_000], vec![0x03]].concat();
    for (value, body) in [
        ("gzip", gzip(b"").repeat(20_000)),
        ("deflate", deflate),
        ("br", brotli),
        ("zstd", frame.repeat(44_000)),
        ("zstd", [0x50, 0x2a, 0x4d, 0x18, 0, 0, 0, 0].repeat(50_000)),
    ] {
        let turns = turns_of_others(&[value], body).await;
        assert!(turns >= 5, "{value}: {turns}");
    }
}

#[tokio::test]
async fn h10_bytes_between_two_codings_are_limited_like_the_body() {
    let members = gzip(b"").repeat(5000);
    let body = gzip(&gzip(&members));
    let length = body.len();
    let outcome = decode(&["gzip, gzip, gzip"], body.clone(), 50_000).await;
    let text = format!("its {length} bytes decode to more than 50000 bytes");
    assert_eq!(outcome.unwrap_err().to_string(), text);
    assert_eq!(decode(&["gzip, gzip, gzip"], body, 100_000).await.unwrap(), "");
}

/// `small`, and 30 MiB of one letter, both with a window of 16 MiB, as encoded by Node.
const WIDE_BROTLI: &[u8] = &[15, 2, 128, 115, 109, 97, 108, 108, 3];
const LONG_BROTLI: &[u8] = &[
    207, 255, 255, 127, 0, 36, 240, 226, 177, 64, 114, 239, 255, 243, 255, 255, 27, 128, 4, 64, 28, 22, 128, 238, 253,
    55,
];

/// A frame with a window of 8 MiB and this many blocks of 128 KiB, each of which repeats one letter.
fn wide_zstd(blocks: u32) -> Vec<u8> {
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x68];
    for block in 1..=blocks {
        let header = (128 << 10 << 3) | (1 << 1) | u32::from(block == blocks);
        frame.extend_from_slice(&header.to_le_bytes()[..3]);
        frame.push(b'x');
    }
    frame
}

#[tokio::test]
async fn h10_the_memory_of_decoders_counts_against_the_budget() {
    let outcome = async |value: &'static str, body: &[u8], bytes: u64, occupied: u64| {
        let budget = Budget::new(Limits { requests: 1, bytes });
        let mut other = budget.request_share();
        other.make_room(occupied).await.unwrap();
        let mut share = budget.request_share();
        let body = Bytes::copy_from_slice(body);
        let decoded = codings(&[value]).unwrap().decode(body, 32 << 20, &mut share).await;
        drop(other);
        decoded.map(|decoded| {
            let decoded = share.keep(decoded);
            assert_eq!(budget.bytes(), if decoded.len() > 16 << 10 { decoded.len() as u64 } else { 0 });
            decoded.len()
        })
    };
    // Alone, the body has room. Beside another body, it has no room for now. With a smaller budget, it can never have
    // room.
    for (value, body, length, bytes) in [
        ("br", WIDE_BROTLI, 5, 32 << 20),
        ("br", LONG_BROTLI, 30 << 20, 64 << 20),
        ("zstd", &wide_zstd(128), 16 << 20, 36 << 20),
    ] {
        assert_eq!(outcome(value, body, bytes, 0).await.unwrap(), length, "{value}");
        let full = outcome(value, body, bytes, 1 << 20).await;
        assert!(matches!(full, Err(DecodeError::NoRoom(NoRoom::Bytes { .. }))), "{value}: {full:?}");
        let never = outcome(value, body, bytes / 2, 0).await.unwrap_err();
        let never = matches!(never, DecodeError::Window { .. } | DecodeError::NoRoom(NoRoom::Never { .. }));
        assert!(never, "{value}");
    }
    let never = outcome("br", WIDE_BROTLI, 16 << 20, 0).await.unwrap_err();
    let text = "decoding it takes 20422656 bytes of memory, but all bodies in flight share 16777216 bytes";
    assert_eq!(never.to_string(), text);
    // A frame needs room for what it decodes to, not for its whole window.
    assert_eq!(outcome("zstd", &wide_zstd(1), 8 << 20, 1 << 20).await.unwrap(), 128 << 10);
}

#[tokio::test]
async fn h10_a_large_brotli_window_is_refused() {
    // The bytes that "large window" encoders write before the window size, which may be 1 GiB.
    let outcome = decode(&["br"], vec![0x11, 0xd8], 1000).await;
    assert!(matches!(outcome, Err(DecodeError::Malformed(_))), "{outcome:?}");
}

#[tokio::test]
async fn h10_zstd_frames_without_data_are_skipped() {
    let skipped = |magic: u8| [&[magic, 0x2a, 0x4d, 0x18, 4, 0, 0, 0][..], b"abcd"].concat();
    for body in [
        [skipped(0x50), ZSTD.to_vec()].concat(),
        [ZSTD.to_vec(), skipped(0x5f)].concat(),
        [skipped(0x51), skipped(0x52), ZSTD.to_vec(), skipped(0x53)].concat(),
    ] {
        assert_eq!(decode(&["zstd"], body, 1000).await.unwrap(), PLAIN);
    }
    assert_eq!(decode(&["zstd"], skipped(0x50), 1000).await.unwrap(), "");
    for cut in [3, 7, 11] {
        let outcome = decode(&["zstd"], [ZSTD.to_vec(), skipped(0x50)[..cut].to_vec()].concat(), 1000).await;
        assert!(matches!(outcome, Err(DecodeError::Malformed(_))), "{cut}: {outcome:?}");
    }
}

#[tokio::test]
async fn h10_a_wrong_zstd_checksum_is_refused() {
    let mut body = vec![40, 181, 47, 253, 4, 88, 41, 0, 0, 104, 101, 108, 108, 111, 163, 109, 159, 136];
    assert_eq!(decode(&["zstd"], body.repeat(2), 1000).await.unwrap(), "hellohello");
    *body.last_mut().unwrap() ^= 1;
    let error = faasflow_core::chain(&decode(&["zstd"], body, 1000).await.unwrap_err());
    assert!(error.contains("its zstd checksum does not match the decoded bytes"), "{error}");
}

/// A block may decode to at most 128 KiB (RFC 8878, 3.1.1.2.4). This one claims a hundred times as much.
#[tokio::test]
async fn h10_an_oversized_zstd_block_is_refused() {
    // After eight letters comes a block with one literal and sequences that repeat earlier bytes.
    let mut sequences = vec![(1 << 3) | 1, b'x'];
    // 100 sequences of one kind: no literals, the same offset as before, and the greatest length.
    sequences.extend([100, 0b01_01_01_00, 0, 0, 52]);
    let bits = 100 * 16;
    let mut stream = vec![0xff; bits / 8];
    stream.push(1);
    sequences.extend(stream);
    let header = (sequences.len() as u32) << 3 | 2 << 1 | 1;
    let mut body = vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x68];
    body.extend_from_slice(&((8_u32 << 3) | (1 << 1)).to_le_bytes()[..3]);
    body.push(b'x');
    body.extend_from_slice(&header.to_le_bytes()[..3]);
    body.extend(sequences);
    let budget = Budget::new(Limits { requests: 1, bytes: 64 << 20 });
    let outcome = codings(&["zstd"]).unwrap().decode(body.into(), 64 << 20, &mut budget.request_share()).await;
    assert!(matches!(outcome, Err(DecodeError::Malformed(_))), "{:?}", outcome.map(|body| body.len()));
}

#[tokio::test]
async fn h10_a_body_of_many_parts_is_complete_and_counted_while_it_is_joined() {
    let plain: Vec<u8> = (0..9_500_000_u32).map(|number| (number / 977) as u8).collect();
    let outcome = async |bytes: u64| {
        let budget = Budget::new(Limits { requests: 1, bytes });
        let mut share = budget.request_share();
        codings(&["gzip"]).unwrap().decode(gzip(&plain).into(), 10 << 20, &mut share).await
    };
    assert!(outcome(20 << 20).await.unwrap() == plain);
    let never = outcome(18 << 20).await.unwrap_err();
    assert!(matches!(never, DecodeError::Window { .. }), "{never:?}");
}
