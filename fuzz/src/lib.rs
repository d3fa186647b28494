//! The checks with hostile bytes, for the targets of cargo-fuzz and for `smash`, which runs without it.
//!
//! Each check panics if the code breaks its promise.

use bytes::Bytes;
use faasflow_core::envelope::Envelope;
use faasflow_core::signature::{Keys, SignatureError};

/// The golden file, which is the seed for mutations of an envelope.
pub const ENVELOPE_SEED: &[u8] = include_bytes!("../../crates/core/tests/golden/envelope-v1.bin");
/// The seed for `signature`: see [`signature`] for its form.
pub const SIGNATURE_SEED: &[u8] =
    b"new\nold\n\0sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843\0a body";

/// The number of bytes of a shape that a written envelope keeps.
const SHAPE_KEPT: usize = 4096;

/// Any bytes decode to an envelope or an error. An envelope that is encoded and decoded again stays the same.
///
/// # Panics
///
/// If the code breaks the promise.
pub fn envelope(input: &[u8]) {
    let Ok(first) = Envelope::decode(&Bytes::copy_from_slice(input)) else { return };
    let written = first.encode();
    let whole = written.to_bytes();
    assert_eq!(written.len(), whole.len());
    let second = Envelope::decode(&whole).expect("what was written can be read");
    let (a, b) = (&first.request, &second.request);
    assert_eq!((&a.id, &a.flow, &a.query, &a.headers), (&b.id, &b.flow, &b.query, &b.headers));
    assert_eq!((&a.callback_url, &a.trace, a.started_ms), (&b.callback_url, &b.trace, b.started_ms));
    assert_eq!(a.invocation, b.invocation);
    assert_eq!((&first.place, first.fingerprint, first.sent_ms), (&second.place, second.fingerprint, second.sent_ms));
    assert_eq!((&first.payload, &first.state), (&second.payload, &second.state));
    assert_eq!((first.ahead, &first.branching), (second.ahead, &second.branching));
    let length = first.shape.floor_char_boundary(SHAPE_KEPT);
    assert_eq!(first.shape[..length], second.shape);
    assert_eq!(whole, second.encode().to_bytes(), "written twice, it is the same to the byte");
}

/// Takes keys, a header and a body, separated by zero bytes. Only a signature by one of the keys is accepted, and never
/// a changed one.
///
/// # Panics
///
/// If the code breaks the promise.
pub fn signature(input: &[u8]) {
    let mut parts = input.splitn(3, |&byte| byte == 0);
    let text = String::from_utf8_lossy(parts.next().unwrap_or_default());
    let header = parts.next();
    let body = parts.next().unwrap_or_default();
    let lines = text.lines().filter(|line| !line.trim().is_empty()).count();
    let Ok(keys) = Keys::parse(&text) else {
        assert_eq!(lines, 0, "a text with lines has keys");
        return;
    };
    assert_eq!(keys.count(), lines);

    let signed = keys.sign([body]);
    assert_eq!(keys.verify(Some(signed.as_bytes()), body), Ok(()));
    assert_eq!(keys.verify(None, body), Err(SignatureError::Missing));
    if let Some(header) = header {
        if keys.verify(Some(header), body).is_ok() {
            assert_eq!(header.len(), signed.len(), "a signature has one form");
            assert!(header.starts_with(b"sha256="));
        }
        // The correct signature with one bit changed. The input selects the bit.
        let mut changed = signed.clone().into_bytes();
        let at = header.len() % changed.len();
        changed[at] ^= 1 << (header.first().copied().unwrap_or_default() % 5);
        // `A` and `a` are the same digit.
        if !changed.eq_ignore_ascii_case(signed.as_bytes()) {
            assert!(keys.verify(Some(&changed), body).is_err(), "a changed signature passed");
        }
        let mut longer = body.to_vec();
        longer.push(0);
        assert_eq!(keys.verify(Some(signed.as_bytes()), &longer), Err(SignatureError::Wrong));
    }
}
