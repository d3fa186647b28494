//! Dead letters as they are shown by default: without credentials.

use std::borrow::Cow;

use faasflow_admin::DeadLetter;
use faasflow_core::definition::{SECRET, Secrets, masked_query, masked_text};
use faasflow_core::envelope::CONTENT_TYPE;
use faasflow_core::headers::is_credential;
use http::{HeaderMap, HeaderName, HeaderValue, header};

/// Masks the values of headers with credentials, even where the letter repeats them elsewhere. Which fields of payloads are secret is only
/// known to flows, so the envelope of a phase is not shown at all.
pub(super) fn mask(letter: &mut DeadLetter) {
    let known = letter.headers.iter().chain(&letter.answer_headers);
    let known: HeaderMap = known.filter_map(|(name, value)| parsed(name, value)).collect();
    let values = Secrets::default().header_values(&known);
    let mut is_masked = false;
    let mut show = |text: &mut String, shown: Option<String>| {
        if let Some(shown) = shown {
            *text = shown;
            is_masked = true;
        }
    };
    for (name, value) in letter.headers.iter_mut().chain(&mut letter.answer_headers) {
        let is_secret = HeaderName::try_from(name.as_str()).is_ok_and(|name| is_credential(&name));
        let shown = if is_secret { Some(masked_value(name, value)) } else { changed(masked_text(value, &values)) };
        show(value, shown);
    }
    for text in [&mut letter.body, &mut letter.summary.reason].into_iter().chain(&mut letter.answer_body) {
        let shown = changed(masked_text(text, &values));
        show(text, shown);
    }
    let is_envelope = |(name, value): &(String, String)| {
        header::CONTENT_TYPE.as_str().eq_ignore_ascii_case(name) && value.trim() == CONTENT_TYPE
    };
    if letter.headers.iter().any(is_envelope) {
        show(&mut letter.body, Some(SECRET.to_owned()));
    }
    let (path, query) = letter.target.split_at(letter.target.find('?').unwrap_or(letter.target.len()));
    let shown = match (masked_text(path, &values), masked_query(query.strip_prefix('?').unwrap_or_default(), &values)) {
        (Cow::Borrowed(_), Cow::Borrowed(_)) => None,
        (path, _) if query.is_empty() => Some(path.into_owned()),
        (path, query) => Some(format!("{path}?{query}")),
    };
    show(&mut letter.target, shown);
    letter.masked = is_masked;
}

fn parsed(name: &str, value: &str) -> Option<(HeaderName, HeaderValue)> {
    Some((name.parse().ok()?, HeaderValue::from_bytes(value.as_bytes()).ok()?))
}

/// What is shown instead of the value of a header with credentials. Of a cookie that an answer sets, the name and the attributes stay.
fn masked_value(name: &str, value: &str) -> String {
    let cookie = || {
        let (cookie, attributes) = value.split_at(value.find(';').unwrap_or(value.len()));
        let (name, _) = cookie.split_once('=')?;
        Some(format!("{name}={SECRET}{attributes}"))
    };
    let is_set = header::SET_COOKIE.as_str().eq_ignore_ascii_case(name);
    is_set.then(cookie).flatten().unwrap_or_else(|| SECRET.to_owned())
}

fn changed(text: Cow<'_, str>) -> Option<String> {
    match text {
        Cow::Owned(text) => Some(text),
        Cow::Borrowed(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(headers: &[(&str, &str)]) -> Vec<(String, String)> {
        headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn credentials_and_what_repeats_them_are_masked() {
        let mut letter = DeadLetter::default();
        letter.target = "/a?key=k-12%2534&b=1".to_owned();
        letter.headers = pairs(&[("authorization", "Bearer t0ken-5678"), ("x-api-key", "k-12%34"), ("x-own", "a")]);
        letter.body = "as t0ken-5678".to_owned();
        letter.summary.reason = "it answered 401 Unauthorized: not t0ken-5678".to_owned();
        letter.answer_headers =
            pairs(&[("set-cookie", "id=c-5678; Path=/"), ("set-cookie", "c-5678"), ("x-echo", "t0ken-5678, c-5678")]);
        letter.answer_body = Some("{\"id\":\"c-5678\"}".to_owned());
        let mut plain = DeadLetter::default();
        (plain.headers, plain.body) = (pairs(&[("x-own", "a")]), "t0ken-5678".to_owned());
        mask(&mut letter);
        assert_eq!(letter.target, "/a?key=[secret]&b=1");
        assert_eq!(letter.headers, pairs(&[("authorization", SECRET), ("x-api-key", SECRET), ("x-own", "a")]));
        assert_eq!(letter.body, "as [secret]");
        assert_eq!(letter.summary.reason, "it answered 401 Unauthorized: not [secret]");
        let answered =
            [("set-cookie", "id=[secret]; Path=/"), ("set-cookie", SECRET), ("x-echo", "[secret], [secret]")];
        assert_eq!(letter.answer_headers, pairs(&answered));
        assert_eq!(letter.answer_body.as_deref(), Some("{\"id\":\"[secret]\"}"));
        assert!(letter.masked);
        for (target, shown) in [("/t0ken-5678/a", "/[secret]/a"), ("https://h/k-12%34?a=1", "https://h/[secret]?a=1")] {
            letter.target = target.to_owned();
            letter.headers = pairs(&[("authorization", "Bearer t0ken-5678"), ("x-api-key", "k-12%34")]);
            mask(&mut letter);
            assert_eq!(letter.target, shown);
        }
        let whole = plain.clone();
        mask(&mut plain);
        assert_eq!(plain, whole, "there is nothing to mask");

        // The headers of the request are inside, and its payload.
        let mut envelope = DeadLetter::default();
        (envelope.headers, envelope.body) = (pairs(&[("content-type", CONTENT_TYPE)]), "t0ken-5678".to_owned());
        mask(&mut envelope);
        assert_eq!((envelope.body.as_str(), envelope.masked), (SECRET, true));
    }
}
