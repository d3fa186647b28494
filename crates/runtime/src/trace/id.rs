//! The ids of traces and spans, and the trace context.

use std::fmt;

/// The id of a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TraceId(pub(crate) [u8; 16]);

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

/// The id of a span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SpanId(pub(super) [u8; 8]);

impl SpanId {
    /// The id of a new span.
    pub(super) fn random() -> SpanId {
        SpanId(rand::random::<u64>().max(1).to_be_bytes())
    }

    /// Parses 16 hexadecimal digits that are not all zero.
    pub(super) fn parse(text: &str) -> Option<SpanId> {
        let digits = Some(text).filter(|text| text.len() == 16 && is_hexadecimal(text))?;
        let number = u64::from_str_radix(digits, 16).ok().filter(|number| *number != 0)?;
        Some(SpanId(number.to_be_bytes()))
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", u64::from_be_bytes(self.0))
    }
}

/// A span, as its children refer to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SpanContext {
    pub(super) trace: TraceId,
    pub(super) span: SpanId,
    pub(super) sampled: bool,
}

impl SpanContext {
    /// The value of `traceparent` (W3C Trace Context, level 1, 3.2).
    pub(super) fn traceparent(&self) -> String {
        self.traceparent_bytes().iter().copied().map(char::from).collect()
    }

    /// The same in ASCII. Every call needs one, so it is built by hand. Formatting takes several times as long.
    pub(super) fn traceparent_bytes(&self) -> [u8; 55] {
        let mut text = *b"00-00000000000000000000000000000000-0000000000000000-00";
        put_hex(&mut text[3..35], &self.trace.0);
        put_hex(&mut text[36..52], &self.span.0);
        text[54] += u8::from(self.sampled);
        text
    }
}

/// Whether a text consists of hexadecimal digits. Rust's number parser would also accept a sign.
pub(super) fn is_hexadecimal(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn put_hex(text: &mut [u8], bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for (digits, byte) in text.chunks_exact_mut(2).zip(bytes) {
        digits[0] = DIGITS[usize::from(byte >> 4)];
        digits[1] = DIGITS[usize::from(byte & 0xf)];
    }
}
