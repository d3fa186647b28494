//! The query and the headers of a request, and the headers of an answer that made a place fail, as people are shown them.

use std::borrow::Cow;

use faasflow_admin as api;
use faasflow_core::KeptHeaders;
use faasflow_core::definition::{SECRET, Secrets, masked_query, masked_text};
use faasflow_core::graph::Place;
use faasflow_core::state::Scope;
use http::{HeaderName, HeaderValue};

use super::not_done::NotDone;
use super::payloads::KeptAnswer;
use crate::instance::Instance;

impl Instance {
    /// What a request was sent with besides its body.
    pub(super) async fn request_head(&self, scope: &Scope) -> Result<api::RequestHead, NotDone> {
        let shelves = self.shelves(scope).await?;
        let (info, values) = (shelves.info(), shelves.secret_values().await?);
        let mut head = api::RequestHead::default();
        head.version = api::REQUESTS_VERSION;
        let query = masked_query(&info.query, &values);
        head.query_altered = matches!(query, Cow::Owned(_)).then_some(api::Altered::Masked);
        head.query = query.into_owned();
        let kept = KeptHeaders::new(&info.headers);
        head.headers_left_out = kept.left_out as u64;
        head.headers = shown(&kept, self.flow.secrets(), &values, false);
        Ok(head)
    }

    /// What a function answered that made a place fail, besides the body.
    pub(super) async fn answer_head(&self, scope: &Scope, place: &Place) -> Result<api::AnswerHead, NotDone> {
        let KeptAnswer { answer, secrets } = self.kept_answer(scope, place).await?;
        let mut head = api::AnswerHead::default();
        (head.version, head.status) = (api::REQUESTS_VERSION, answer.status);
        head.headers_left_out = answer.headers.as_ref().map_or(0, |kept| kept.left_out as u64);
        let show = |kept| shown(&kept, self.flow.secrets(), &secrets, answer.are_headers_masked);
        head.headers = answer.headers.map(show);
        Ok(head)
    }
}

/// Headers without these values and without those that the flow has declared as secret. `are_masked` says whether some were masked when
/// they were stored.
fn shown(kept: &KeptHeaders, secrets: &Secrets, values: &[String], are_masked: bool) -> Vec<api::ShownHeader> {
    let show = |(name, value): &(HeaderName, Option<HeaderValue>)| {
        let mut header = api::ShownHeader::default();
        header.name = name.to_string();
        (header.value, header.altered) = match value.as_ref().filter(|_| !secrets.is_secret_header(name.as_str())) {
            None => (SECRET.to_owned(), Some(api::Altered::Masked)),
            Some(value) => {
                let text = String::from_utf8_lossy(value.as_bytes());
                let is_lossy = matches!(text, Cow::Owned(_));
                match masked_text(&text, values) {
                    Cow::Owned(masked) => (masked, Some(api::Altered::Masked)),
                    Cow::Borrowed(text) if are_masked && text.contains(SECRET) => {
                        (text.to_owned(), Some(api::Altered::Masked))
                    }
                    Cow::Borrowed(text) => (text.to_owned(), is_lossy.then_some(api::Altered::NotUtf8)),
                }
            }
        };
        header
    };
    kept.headers.iter().map(show).collect()
}

#[cfg(test)]
mod tests {
    use faasflow_core::Flow;
    use http::HeaderMap;
    use serde_json::json;

    use super::*;

    #[test]
    fn values_that_are_no_text_or_secret_are_told_apart_from_those_that_are_shown() {
        let flow = Flow::builder().secret_header("X-Card").apply("one").build().unwrap();
        let headers: [(&str, &[u8]); 8] = [
            ("x-own", b"a"),
            ("x-mask", b"no [secret]"),
            ("x-utf8", "z\u{fc}rich".as_bytes()),
            ("x-latin1", b"z\xfcrich"),
            ("x-card", b"4111"),
            ("cookie", b"a=b"),
            ("x-quotes", b"card 4111-1111"),
            ("x-both", b"\xff4111-1111"),
        ];
        let header = |(name, value): (&str, &[u8])| (name.parse().unwrap(), HeaderValue::from_bytes(value).unwrap());
        let headers: HeaderMap = headers.into_iter().map(header).collect();
        let shown = shown(&KeptHeaders::new(&headers), flow.secrets(), &["4111-1111".to_owned()], false);
        let expected = json!([
            { "name": "x-own", "value": "a" },
            { "name": "x-mask", "value": "no [secret]" },
            { "name": "x-utf8", "value": "z\u{fc}rich" },
            { "name": "x-latin1", "value": "z\u{fffd}rich", "altered": "not_utf8" },
            { "name": "x-card", "value": "[secret]", "altered": "masked" },
            { "name": "cookie", "value": "[secret]", "altered": "masked" },
            { "name": "x-quotes", "value": "card [secret]", "altered": "masked" },
            { "name": "x-both", "value": "\u{fffd}[secret]", "altered": "masked" },
        ]);
        assert_eq!(serde_json::to_value(&shown).unwrap(), expected);
    }
}
