use http::{HeaderMap, HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};

use crate::envelope::{from_latin1, latin1};
use crate::headers::is_credential;
use crate::unset::is_unset;

/// Headers that are kept to be shown to people: only so many, and without the values of [credentials](is_credential).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeptHeaders {
    /// The names and the values. A value that nobody is shown is `None`.
    pub headers: Vec<(HeaderName, Option<HeaderValue>)>,
    /// How many others there are.
    pub left_out: usize,
}

/// The encoding of the headers in a value of the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct EncodedHeaders {
    /// The names, and the values with a character for each byte.
    list: Vec<(String, Option<String>)>,
    #[serde(default, skip_serializing_if = "is_unset")]
    left_out: usize,
}

impl KeptHeaders {
    /// The most headers that are kept.
    pub const MOST: usize = 100;
    /// The most that their names and values have together, in bytes.
    pub const MOST_BYTES: usize = 32 * 1024;

    /// What is kept of these headers: as many of them as fit, in their order. One that is too large leaves room for those after it.
    #[must_use]
    pub fn new(headers: &HeaderMap) -> KeptHeaders {
        let mut kept = KeptHeaders::default();
        let mut room = KeptHeaders::MOST_BYTES;
        for (name, value) in headers {
            let value = Some(value).filter(|_| !is_credential(name));
            let bytes = name.as_str().len() + value.map_or(0, HeaderValue::len);
            match room.checked_sub(bytes).filter(|_| kept.headers.len() < KeptHeaders::MOST) {
                None => kept.left_out += 1,
                Some(rest) => {
                    room = rest;
                    // A copy, so that it does not hold the memory of the whole head.
                    let value = value.and_then(|value| HeaderValue::from_bytes(value.as_bytes()).ok());
                    kept.headers.push((name.clone(), value));
                }
            }
        }
        kept
    }

    pub(crate) fn encode(&self) -> EncodedHeaders {
        let list = self.headers.iter().map(|(name, value)| (name.to_string(), value.as_ref().map(latin1)));
        EncodedHeaders { list: list.collect(), left_out: self.left_out }
    }

    /// Returns `None` if this is not an encoding of headers.
    pub(crate) fn decode(encoded: EncodedHeaders) -> Option<KeptHeaders> {
        let decoded = |(name, value): (String, Option<String>)| {
            let value = match value {
                Some(text) => Some(from_latin1(&text)?),
                None => None,
            };
            Some((HeaderName::try_from(name).ok()?, value))
        };
        let headers = encoded.list.into_iter().map(decoded).collect::<Option<_>>()?;
        Some(KeptHeaders { headers, left_out: encoded.left_out })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(name: &str, value: &[u8]) -> (HeaderName, HeaderValue) {
        (name.parse().unwrap(), HeaderValue::from_bytes(value).unwrap())
    }

    fn names(kept: &KeptHeaders) -> Vec<&str> {
        kept.headers.iter().map(|(name, _)| name.as_str()).collect()
    }

    #[test]
    fn credentials_are_kept_without_their_values() {
        let secret = ["authorization", "cookie", "set-cookie", "x-api-key"];
        let headers: HeaderMap =
            secret.iter().map(|name| header(name, b"s3cret")).chain([header("x-own", b"a")]).collect();
        let kept = KeptHeaders::new(&headers);
        let shown: Vec<_> = kept.headers.iter().filter(|(_, value)| value.is_some()).collect();
        assert_eq!((kept.headers.len(), shown.len(), kept.left_out), (5, 1, 0));
        assert_eq!(*shown[0], ("x-own".parse().unwrap(), Some("a".parse().unwrap())));
        assert!(!format!("{kept:?}{:?}", kept.encode()).contains("s3cret"));
    }

    #[test]
    fn only_so_many_are_kept_and_the_others_are_counted() {
        let many: HeaderMap = (0..150).map(|number| header(&format!("x-{number}"), b"1")).collect();
        let kept = KeptHeaders::new(&many);
        assert_eq!((kept.headers.len(), kept.left_out), (KeptHeaders::MOST, 50));
        // A large one leaves room for those after it.
        let large = vec![b'x'; KeptHeaders::MOST_BYTES];
        let headers = [header("x-a", b"1"), header("x-large", &large), header("x-b", b"2")].into_iter().collect();
        let kept = KeptHeaders::new(&headers);
        assert_eq!((names(&kept), kept.left_out), (vec!["x-a", "x-b"], 1));
    }

    #[test]
    fn what_is_encoded_is_decoded() {
        let headers = [header("x-own", b"\xff\xfe"), header("cookie", b"a"), header("x-own", b"b")];
        let kept = KeptHeaders { left_out: 2, ..KeptHeaders::new(&headers.into_iter().collect()) };
        assert_eq!(KeptHeaders::decode(kept.encode()), Some(kept));
        let wrong = EncodedHeaders { list: vec![("two words".into(), None)], left_out: 0 };
        assert_eq!(KeptHeaders::decode(wrong), None);
        let wrong = EncodedHeaders { list: vec![("x".into(), Some("\u{100}".into()))], left_out: 0 };
        assert_eq!(KeptHeaders::decode(wrong), None);
    }
}
