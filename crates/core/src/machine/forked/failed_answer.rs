use std::borrow::Cow;

use bytes::{BufMut as _, Bytes, BytesMut};
use http::HeaderValue;
use serde::{Deserialize, Serialize};

use crate::definition::{Secrets, masked_text};
use crate::graph::Place;
use crate::kept_headers::{EncodedHeaders, KeptHeaders};
use crate::payload::Payload;
use crate::response::CallResponse;
use crate::state::{Key, layout};
use crate::unset::is_unset;

use super::record::{decode, encode};

/// The answer of a function or callback that made a place fail. It only informs people, so a write may be lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedAnswer {
    /// Its status.
    pub status: u16,
    /// Its headers; `None` if an older version kept the answer.
    pub headers: Option<KeptHeaders>,
    /// The size of its body, in bytes.
    pub bytes: u64,
    /// The beginning of its body, with its content type.
    pub body: Payload,
    /// Whether credentials were masked in the body when it was stored.
    pub is_body_masked: bool,
    /// Whether credentials were masked in headers that repeat them when they were stored.
    pub are_headers_masked: bool,
}

/// What the status of a request tells of such an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnswerSummary {
    /// Its status.
    pub status: u16,
    /// The size of its body, in bytes.
    pub bytes: u64,
    /// The content type of its body.
    pub content_type: Option<String>,
}

/// The line of JSON that a value begins with. The beginning of the body follows.
#[derive(Serialize, Deserialize)]
struct FirstLine {
    status: u16,
    bytes: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    content_type: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    headers: Option<EncodedHeaders>,
    #[serde(default, skip_serializing_if = "is_unset")]
    masked_body: bool,
    #[serde(default, skip_serializing_if = "is_unset")]
    masked_headers: bool,
}

/// The part of a [`FirstLine`] that a summary needs.
#[derive(Deserialize)]
struct Summarized {
    status: u16,
    bytes: u64,
    #[serde(default)]
    content_type: Option<String>,
}

impl FailedAnswer {
    /// The most that is kept of the body, in bytes.
    pub const KEPT: usize = 64 * 1024;

    /// Cuts an answer to what is kept of it. Credentials are left out, and masked wherever the answer repeats them.
    #[must_use]
    pub fn new(answer: &CallResponse) -> FailedAnswer {
        let body = answer.payload();
        let kept = body.bytes().slice(..body.len().min(FailedAnswer::KEPT));
        let content_type = body.content_type_header().cloned();
        let mut headers = KeptHeaders::new(answer.headers());
        let values = Secrets::stored_values(answer.headers());
        let mut are_headers_masked = false;
        for value in headers.headers.iter_mut().filter_map(|(_, value)| value.as_mut()) {
            if let Some(masked) = masked(value.as_bytes(), &values).and_then(|text| HeaderValue::try_from(text).ok()) {
                *value = masked;
                are_headers_masked = true;
            }
        }
        let masked = masked(&kept, &values);
        let is_body_masked = masked.is_some();
        // A copy, so that the part does not hold the memory of the whole.
        let mut kept = masked.map_or_else(|| kept.to_vec(), String::into_bytes);
        // The mask is longer than a short value.
        kept.truncate(FailedAnswer::KEPT);
        FailedAnswer {
            status: answer.status().as_u16(),
            headers: Some(headers),
            bytes: body.len() as u64,
            body: Payload::new(kept).with_content_type_header(content_type),
            is_body_masked,
            are_headers_masked,
        }
    }

    /// The key of the value.
    #[must_use]
    pub fn key(place: &Place) -> Key {
        layout::answer(place)
    }

    /// Decodes the value of the key; `None` if it is not one that [`encode`](FailedAnswer::encode) has returned.
    #[must_use]
    pub fn decode(value: &Bytes) -> Option<FailedAnswer> {
        let (line, body) = split(value)?;
        let FirstLine { status, bytes, content_type, headers, masked_body, masked_headers } = decode(&line)?;
        let headers = match headers {
            Some(encoded) => Some(KeptHeaders::decode(encoded)?),
            None => None,
        };
        let content_type = content_type.and_then(|text| HeaderValue::from_str(&text).ok());
        let body = Payload::new(body).with_content_type_header(content_type);
        let (is_body_masked, are_headers_masked) = (masked_body, masked_headers);
        Some(FailedAnswer { status, headers, bytes, body, is_body_masked, are_headers_masked })
    }

    /// Decodes what the status of a request tells of the value of the key; `None` if the driver did not write it.
    #[must_use]
    pub fn summary(value: &Bytes) -> Option<AnswerSummary> {
        let (line, _) = split(value)?;
        let Summarized { status, bytes, content_type } = decode(&line)?;
        Some(AnswerSummary { status, bytes, content_type })
    }

    /// The value of the key: a line of JSON, and then the beginning of the body.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let content_type = self.body.content_type().map(str::to_owned);
        let headers = self.headers.as_ref().map(KeptHeaders::encode);
        let head = encode(&FirstLine {
            status: self.status,
            bytes: self.bytes,
            content_type,
            headers,
            masked_body: self.is_body_masked,
            masked_headers: self.are_headers_masked,
        });
        let mut value = BytesMut::with_capacity(head.len() + 1 + self.body.len());
        value.put(head);
        value.put_u8(b'\n');
        value.put_slice(self.body.bytes());
        value.freeze()
    }
}

/// Masks these values in a text. Returns `None` if it contains none of them or is not UTF-8. A body that was cut may end within a
/// character.
fn masked(bytes: &[u8], values: &[String]) -> Option<String> {
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) if error.error_len().is_none() => std::str::from_utf8(&bytes[..error.valid_up_to()]).ok()?,
        Err(_) => return None,
    };
    match masked_text(text, values) {
        Cow::Owned(masked) => Some(masked),
        Cow::Borrowed(_) => None,
    }
}

/// The first line of a value, and what follows it.
fn split(value: &Bytes) -> Option<(Bytes, Bytes)> {
    let end = value.iter().position(|byte| *byte == b'\n')?;
    Some((value.slice(..end), value.slice(end + 1..)))
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, StatusCode};

    use super::*;

    fn answer(status: u16, headers: &[(&'static str, &[u8])], body: impl Into<Bytes>) -> FailedAnswer {
        let header = |(name, value): &(&'static str, &[u8])| {
            (http::HeaderName::from_static(name), HeaderValue::from_bytes(value).unwrap())
        };
        let headers: HeaderMap = headers.iter().map(header).collect();
        FailedAnswer::new(&CallResponse::new(StatusCode::from_u16(status).unwrap(), headers, body.into()))
    }

    /// The stores of remembered requests contain such values.
    #[test]
    fn the_encoding_never_changes() {
        let headers: [(_, &[u8]); 3] = [("content-type", b"text/plain"), ("x-why", b"\xfcber"), ("set-cookie", b"a=b")];
        let kept = answer(400, &headers, b"no\n\xff".to_vec());
        let expected = [
            "{\"status\":400,\"bytes\":4,\"content_type\":\"text/plain\",\"headers\":{\"list\":[[\"content-type\",\"text/plain\"],\
             [\"x-why\",\"\u{fc}ber\"],[\"set-cookie\",null]]}}\n"
                .as_bytes(),
            b"no\n\xff",
        ];
        let expected = Bytes::from(expected.concat());
        assert_eq!(kept.encode(), expected);
        assert_eq!(FailedAnswer::decode(&expected), Some(kept));
        assert_eq!(FailedAnswer::decode(&Bytes::from_static(b"{\"status\":400}")), None);
    }

    #[test]
    fn a_value_that_an_older_version_wrote_has_no_headers() {
        let value = b"{\"status\":400,\"bytes\":4,\"content_type\":\"text/plain\"}\nno\n\xff".as_slice();
        let kept = answer(400, &[("content-type", b"text/plain")], b"no\n\xff".to_vec());
        let expected = FailedAnswer { headers: None, ..kept };
        assert_eq!(FailedAnswer::decode(&Bytes::from_static(value)).as_ref(), Some(&expected));
        assert_eq!(expected.encode(), value);
    }

    /// Otherwise the answer would be taken for one of an older version.
    #[test]
    fn a_value_with_headers_that_cannot_be_decoded_is_not_decoded_without_them() {
        for list in [r#"[["x y","a"]]"#, r#"[["x-own","a\n"]]"#, r#"[["x-own"]]"#, "7"] {
            let value = format!("{{\"status\":400,\"bytes\":2,\"headers\":{{\"list\":{list}}}}}\nno");
            assert_eq!(FailedAnswer::decode(&Bytes::from(value)), None, "{list}");
        }
    }

    #[test]
    fn credentials_that_the_answer_repeats_are_not_kept() {
        let headers: [(_, &[u8]); 3] =
            [("set-cookie", b"id=t0ken-5678; Path=/"), ("x-id", b"t0ken-5678."), ("x-own", b"a")];
        let kept = answer(400, &headers, "{\"id\":\"t0ken-5678\"}");
        assert_eq!((kept.body.bytes().as_ref(), kept.bytes), (br#"{"id":"[secret]"}"#.as_slice(), 19));
        let value = kept.encode();
        let text = std::str::from_utf8(&value).unwrap();
        assert!(text.contains(r#"["x-id","[secret]."],["x-own","a"]"#) && !text.contains("t0ken"), "{text}");
        assert!(text.contains(r#","masked_body":true,"masked_headers":true}"#), "{text}");
        assert_eq!(FailedAnswer::decode(&value), Some(kept));
        // The text is cut within a character.
        let long = format!("t0ken-5678{}\u{e9}", "x".repeat(FailedAnswer::KEPT - 11));
        let kept = answer(400, &headers, long);
        assert!(kept.body.bytes().starts_with(b"[secret]xx") && kept.body.bytes().ends_with(b"xx"));
        // Bytes that are not UTF-8 are kept as they are.
        let bytes = b"\xff t0ken-5678".as_slice();
        assert_eq!(answer(400, &headers, bytes).body.bytes(), bytes);
    }

    #[test]
    fn words_and_numbers_that_are_cookies_too_are_kept() {
        let headers: [(_, &[u8]); 3] = [
            ("set-cookie", b"theme=dark"),
            ("set-cookie", b"id=1234"),
            ("set-cookie", b"session=logged-out; Max-Age=0; Path=/"),
        ];
        let body = r#"{"n":1234,"why":"dark, logged-out [secret]"}"#;
        let kept = answer(400, &headers, body);
        assert_eq!(kept.body.bytes(), body.as_bytes());
        assert!(!kept.is_body_masked && !kept.are_headers_masked, "the answer has the text of the mask itself");
    }

    /// The mask is longer than the value.
    #[test]
    fn a_body_with_many_short_values_is_cut_after_they_are_masked() {
        let body = "k-12".repeat(FailedAnswer::KEPT / 4);
        let kept = answer(400, &[("x-api-key", b"k-12")], body);
        assert_eq!((kept.bytes, kept.body.len()), (FailedAnswer::KEPT as u64, FailedAnswer::KEPT));
        assert_eq!(kept.body.bytes(), "[secret]".repeat(FailedAnswer::KEPT / 8).as_bytes());
    }

    #[test]
    fn a_summary_is_what_the_answer_says() {
        let kept = answer(400, &[("content-type", b"text/plain"), ("x-why", b"a")], b"no".to_vec());
        let expected = AnswerSummary { status: 400, bytes: 2, content_type: Some("text/plain".to_owned()) };
        assert_eq!(FailedAnswer::summary(&kept.encode()), Some(expected));
        let older = FailedAnswer { headers: None, body: Payload::new("no"), ..kept };
        let expected = AnswerSummary { status: 400, bytes: 2, content_type: None };
        assert_eq!(FailedAnswer::summary(&older.encode()), Some(expected));
        assert_eq!(FailedAnswer::summary(&Bytes::from_static(b"{\"status\":400}\n")), None);
        assert_eq!(FailedAnswer::summary(&Bytes::from_static(b"{\"status\":400,\"bytes\":2}")), None);
    }

    #[test]
    fn a_long_body_is_cut_and_its_size_is_kept() {
        let kept = answer(500, &[], vec![7; FailedAnswer::KEPT + 5]);
        assert_eq!((kept.bytes, kept.body.len()), (FailedAnswer::KEPT as u64 + 5, FailedAnswer::KEPT));
        assert_eq!(FailedAnswer::decode(&kept.encode()), Some(kept));
    }
}
