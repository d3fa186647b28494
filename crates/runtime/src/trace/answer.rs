//! Reads which spans of an accepted batch a trace server rejected, from its `ExportTraceServiceResponse`
//! (`opentelemetry/proto/collector/trace/v1/trace_service.proto`).

/// The rejected spans of a batch.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct RejectedSpans {
    /// The number of spans.
    pub(super) spans: usize,
    /// The server's reason.
    pub(super) why: String,
}

impl RejectedSpans {
    /// Reads an answer. If it cannot be read, the status counts, and no spans are rejected.
    pub(super) fn read(answer: &[u8]) -> RejectedSpans {
        let mut refused = RejectedSpans::default();
        for (number, value) in Fields(answer) {
            let (1, Value::Bytes(partial_success)) = (number, value) else { continue };
            for field in Fields(partial_success) {
                match field {
                    // A negative number is a mistake of the server.
                    (1, Value::Number(spans)) => {
                        refused.spans = i64::try_from(spans).ok().and_then(|it| usize::try_from(it).ok()).unwrap_or(0);
                    }
                    (2, Value::Bytes(why)) => refused.why = String::from_utf8_lossy(why).into_owned(),
                    _ => {}
                }
            }
        }
        refused
    }
}

/// The fields of a protobuf message, as far as they can be read.
struct Fields<'a>(&'a [u8]);

enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    Fixed,
}

impl<'a> Fields<'a> {
    fn varint(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.take(1)?[0];
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }

    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = (u64, Value<'a>);

    fn next(&mut self) -> Option<(u64, Value<'a>)> {
        let tag = self.varint()?;
        let value = match tag & 7 {
            0 => Value::Number(self.varint()?),
            1 => self.take(8).map(|_| Value::Fixed)?,
            2 => {
                let length = usize::try_from(self.varint()?).ok()?;
                Value::Bytes(self.take(length)?)
            }
            5 => self.take(4).map(|_| Value::Fixed)?,
            _ => return None,
        };
        Some((tag >> 3, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(spans: usize, why: &str) -> RejectedSpans {
        RejectedSpans { spans, why: why.to_owned() }
    }

    #[test]
    fn rejected_spans_are_read() {
        assert_eq!(RejectedSpans::read(b""), refused(0, ""));
        assert_eq!(RejectedSpans::read(b"\x0a\x00"), refused(0, ""));
        assert_eq!(RejectedSpans::read(b"\x0a\x08\x08\x03\x12\x04late"), refused(3, "late"));
        // Large numbers take more bytes. Unknown fields are skipped.
        assert_eq!(RejectedSpans::read(b"\x12\x01x\x0a\x0c\x19abcdefgh\x08\xac\x02"), refused(300, ""));
    }

    #[test]
    fn malformed_answers_reject_nothing() {
        for answer in
            [&b"{}"[..], b"<html>", b"\x0a", b"\x0a\x7fx", b"\x0a\x0b\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"]
        {
            assert_eq!(RejectedSpans::read(answer).spans, 0, "{answer:?}");
        }
        assert_eq!(RejectedSpans::read(&[0xff; 100]), refused(0, ""));
    }
}
