//! The secret values in headers.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, header};

use super::{MOST_ENCODED, SHORTEST, Secrets, add_value, decoded};
use crate::envelope::latin1;
use crate::headers::is_credential;

/// Schemes that a header other than `Authorization` may begin with too.
const SCHEMES: [&str; 4] = ["Bearer", "Basic", "Token", "Digest"];
/// Parameters of other schemes than `Basic`, such as `Digest`, whose values prove or protect something. The others are names that many may
/// know, such as those of the user, of the realm and of the algorithm.
const PARAMETERS: [&str; 9] =
    ["response", "nonce", "cnonce", "opaque", "token", "signature", "mac", "oauth_token", "oauth_signature"];
/// Values of cookies that say yes or no. They occur in too many other texts.
const CHOICES: [&str; 3] = ["true", "false", "null"];
/// The shortest value of a cookie that an answer is stored without, in characters. That cannot be undone, and shorter ones are often words
/// and numbers that the answer needs.
const SHORTEST_STORED: usize = 8;

impl Secrets {
    /// The values of secret headers and of [credentials](is_credential) that are not too short: those that
    /// [`masked_text`](super::masked_text) can replace. Programs often repeat only a part of such a header, so these are values of
    /// their own: what follows the scheme, the user and password of `Basic`, the password, the secret parameters of schemes such as
    /// `Digest`, and the value of each cookie, unless the header removes it.
    #[must_use]
    pub fn header_values(&self, headers: &HeaderMap) -> Vec<String> {
        self.values_in(headers, SHORTEST)
    }

    /// The values of credentials in the headers of an answer that it is stored without. They are fewer than those that are not shown.
    pub(crate) fn stored_values(headers: &HeaderMap) -> Vec<String> {
        Secrets::default().values_in(headers, SHORTEST_STORED)
    }

    /// `shortest` is the length of the shortest value of a cookie that an answer sets.
    fn values_in(&self, headers: &HeaderMap, shortest: usize) -> Vec<String> {
        let mut values = Vec::new();
        let is_secret = |name: &HeaderName| is_credential(name) || self.is_secret_header(name.as_str());
        for (name, value) in headers.iter().filter(|(name, _)| is_secret(name)) {
            let mut parts = Vec::new();
            add_parts(name, &String::from_utf8_lossy(value.as_bytes()), &mut parts);
            if !value.as_bytes().is_ascii() {
                // Some servers take each byte for a character.
                add_parts(name, &latin1(value), &mut parts);
            }
            let is_long = |part: &&String| name != header::SET_COOKIE || part.chars().count() >= shortest;
            parts.iter().filter(is_long).for_each(|part| add_value(part, &mut values));
        }
        values
    }
}

/// Adds the value of a header, and the parts of it that are secret on their own.
fn add_parts(name: &HeaderName, value: &str, values: &mut Vec<String>) {
    // What follows a cookie that is set are its attributes.
    let (first, attributes) = value.split_once(';').unwrap_or((value, ""));
    if name == header::SET_COOKIE && is_removed(attributes) {
        return;
    }
    add(value, values);
    if name == header::COOKIE {
        value.split(';').for_each(|cookie| add_cookie(cookie, values));
    } else if name == header::SET_COOKIE {
        add_cookie(first, values);
    } else if let Some((scheme, credentials)) = value.split_once(' ') {
        let has_scheme = name == header::AUTHORIZATION || name == header::PROXY_AUTHORIZATION;
        if has_scheme || SCHEMES.iter().any(|known| known.eq_ignore_ascii_case(scheme)) {
            add_credentials(scheme, credentials.trim(), values);
        }
    }
}

/// Adds what follows the scheme, such as the token after `Bearer`.
fn add_credentials(scheme: &str, credentials: &str, values: &mut Vec<String>) {
    add(credentials, values);
    if scheme.eq_ignore_ascii_case("Basic")
        && let Ok(pair) = STANDARD.decode(credentials)
    {
        let pair = String::from_utf8_lossy(&pair);
        add(&pair, values);
        if let Some((_, password)) = pair.split_once(':') {
            add(password, values);
        }
    } else {
        add_parameters(credentials, values);
    }
}

/// Adds the values of secret parameters: `name=value` or `name="value"`, separated by commas.
fn add_parameters(mut rest: &str, values: &mut Vec<String>) {
    while let Some((before, after)) = rest.split_once('=') {
        let name = before.rsplit(',').next().unwrap_or(before).trim();
        let (value, next) = match after.trim_start().strip_prefix('"') {
            Some(quoted) => split_at_quote(quoted),
            None => after.split_once(',').unwrap_or((after, "")),
        };
        if PARAMETERS.iter().any(|secret| secret.eq_ignore_ascii_case(name)) {
            add(value.trim(), values);
            // Within quotes, a backslash stands before a character that is meant as it is.
            let mut characters = value.trim().chars();
            let plain = std::iter::from_fn(|| {
                characters.next().and_then(|one| if one == '\\' { characters.next() } else { Some(one) })
            });
            add(&plain.collect::<String>(), values);
        }
        rest = next;
    }
}

/// Splits at the quote that ends a quoted text. A backslash stands before one that belongs to the text.
fn split_at_quote(quoted: &str) -> (&str, &str) {
    let mut is_escaped = false;
    let end = quoted.find(|character| {
        let is_end = character == '"' && !is_escaped;
        is_escaped = character == '\\' && !is_escaped;
        is_end
    });
    end.map_or((quoted, ""), |end| (&quoted[..end], &quoted[end + 1..]))
}

/// Whether an answer removes a cookie instead of setting it. Its value is then a word such as `deleted`. There is no clock here, but the
/// libraries that remove a cookie with a time in the past take the first day of 1970.
fn is_removed(attributes: &str) -> bool {
    let attribute = |wanted: &str| {
        let mut named = attributes.split(';').filter_map(|attribute| attribute.split_once('='));
        named.rfind(|(name, _)| name.trim().eq_ignore_ascii_case(wanted)).map(|(_, value)| value.trim())
    };
    match attribute("Max-Age").and_then(|seconds| seconds.parse::<i64>().ok()) {
        Some(seconds) => seconds <= 0,
        None => attribute("Expires").is_some_and(|time| time.split([' ', '-']).any(|part| part == "1970")),
    }
}

fn add_cookie(cookie: &str, values: &mut Vec<String>) {
    let value = cookie.split_once('=').map_or(cookie, |(_, value)| value).trim().trim_matches('"');
    if CHOICES.contains(&value) {
        return;
    }
    add(value, values);
    // Many programs decode it, and some have encoded it twice.
    decoded(value, MOST_ENCODED).iter().for_each(|decoded| add(decoded, values));
}

/// Adds a text as it is, and as it is written in JSON.
fn add(text: &str, values: &mut Vec<String>) {
    add_value(text, values);
    let quoted = serde_json::to_string(text).expect("a text is JSON");
    add_value(&quoted[1..quoted.len() - 1], values);
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn values(headers: &[(&'static str, &[u8])]) -> Vec<String> {
        let mut secrets = Secrets::default();
        secrets.add_header("x-own");
        let header = |(name, value): &(&'static str, &[u8])| {
            (HeaderName::from_static(name), HeaderValue::from_bytes(value).unwrap())
        };
        secrets.header_values(&headers.iter().map(header).collect())
    }

    #[test]
    fn only_secret_headers_and_credentials_have_values() {
        let headers: [(_, &[u8]); 4] = [
            ("x-note", b"a note"),
            ("x-own", b"card 9876"),
            ("x-api-key", b"k-12345"),
            ("content-type", b"text/plain"),
        ];
        assert_eq!(values(&headers), ["card 9876", "k-12345"]);
        assert_eq!(values(&[("x-own", b"abc"), ("x-api-key", b"")]), [""; 0], "they are too short");
    }

    #[test]
    fn what_follows_the_scheme_is_a_value_of_its_own() {
        assert_eq!(values(&[("authorization", b"Bearer t0ken-5678")]), ["Bearer t0ken-5678", "t0ken-5678"]);
        assert_eq!(values(&[("proxy-authorization", b"Own  t0ken-5678")]), ["Own  t0ken-5678", "t0ken-5678"]);
        assert_eq!(values(&[("authorization", b"t0ken-5678")]), ["t0ken-5678"]);
        assert_eq!(values(&[("x-own", b"bearer t0ken-5678")]), ["bearer t0ken-5678", "t0ken-5678"]);
    }

    #[test]
    fn the_password_of_basic_is_a_value_of_its_own() {
        // `ada:pass:word`
        let found = values(&[("authorization", b"Basic YWRhOnBhc3M6d29yZA==")]);
        assert_eq!(found, ["Basic YWRhOnBhc3M6d29yZA==", "YWRhOnBhc3M6d29yZA==", "ada:pass:word", "pass:word"]);
        assert_eq!(values(&[("authorization", b"Basic no base64")]), ["Basic no base64", "no base64"]);
    }

    #[test]
    fn the_secret_parameters_of_digest_and_similar_schemes_are_values_of_their_own() {
        let digest = br#"Digest username="ada", realm="a, b", nonce="n-0123",uri="/x?response=no", qop=auth, nc=00000001, cnonce=c-0123 , response="r-0123""#;
        let found = values(&[("authorization", digest)]);
        let parameters: Vec<&str> = found.iter().map(String::as_str).filter(|value| value.len() < 20).collect();
        assert_eq!(parameters, ["n-0123", "c-0123", "r-0123"]);
        // A quote in a name hides no other parameter.
        let found = values(&[("proxy-authorization", br#"Digest username="a\"da=", RESPONSE="r-0123""#)]);
        assert_eq!(found.last().unwrap(), "r-0123");
        let found = values(&[("authorization", br#"Digest nonce="a\"b\c-0", opaque=o-0123"#)]);
        assert_eq!(found[4..], [r#"a\"b\c-0"#, r#"a\\\"b\\c-0"#, r#"a"bc-0"#, r#"a\"bc-0"#, "o-0123"], "{found:?}");
        assert!(values(&[("x-own", br#"Digest response="r-0123"#)]).contains(&"r-0123".to_owned()));
        assert!(values(&[("authorization", b"OAuth oauth_token=\"t%3Ax\"")]).contains(&"t%3Ax".to_owned()));
        assert_eq!(values(&[("authorization", b"Bearer abcd==")]), ["Bearer abcd==", "abcd=="]);
    }

    #[test]
    fn each_cookie_is_a_value_of_its_own() {
        let found = values(&[("cookie", b"a=t0ken-1; id=s%3At0ken=2 ;c=\"t0ken-3\"; ok=true; n=1; t0ken-4")]);
        assert_eq!(found[2..], ["t0ken-1", "s%3At0ken=2", "s:t0ken=2", "t0ken-3", "t0ken-4"], "{found:?}");
        let found = values(&[("cookie", b"id=s%253At0ken")]);
        assert_eq!(found[1..], ["s%253At0ken", "s%3At0ken", "s:t0ken"], "{found:?}");
        let found = values(&[("set-cookie", b"a=t0ken-1; Path=/path; HttpOnly")]);
        assert_eq!(found, ["a=t0ken-1; Path=/path; HttpOnly", "t0ken-1"]);
    }

    #[test]
    fn a_cookie_that_is_removed_has_no_value() {
        let removed: [&[u8]; 5] = [
            b"a=t0ken-1; Max-Age=0",
            b"a=t0ken-1; Path=/; max-age = -1 ",
            b"a=t0ken-1; Max-Age=0; Expires=Fri, 01 Jan 2100 00:00:00 GMT",
            b"a=t0ken-1; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Path=/",
            b"a=t0ken-1; expires=Thu, 01-Jan-1970 00:00:01 GMT",
        ];
        for cookie in removed {
            assert_eq!(values(&[("set-cookie", cookie)]), [""; 0], "{}", String::from_utf8_lossy(cookie));
        }
        let set: [&[u8]; 5] = [
            b"a=t0ken-1; Max-Age=10",
            b"a=t0ken-1; Max-Age=10; Expires=Thu, 01 Jan 1970 00:00:00 GMT",
            b"a=t0ken-1; Max-Age=0; max-age=2",
            b"a=t0ken-1; Expires=Fri, 01 Jan 2100 19:70:00 GMT; Max-Age=",
            b"a=t0ken-1; Path=/1970; Max-Age",
        ];
        for cookie in set {
            assert_eq!(values(&[("set-cookie", cookie)])[1..], ["t0ken-1"], "{}", String::from_utf8_lossy(cookie));
        }
        // An attribute's name may be that of a cookie.
        assert_eq!(values(&[("cookie", b"a=t0ken-1; Max-Age=0")])[1..], ["t0ken-1"]);
    }

    #[test]
    fn an_answer_is_stored_with_the_short_values_of_its_cookies() {
        let headers = [("set-cookie", "theme=dark"), ("set-cookie", "a=t0ken-5678"), ("x-api-key", "k-12")];
        let header = |(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value));
        let headers: HeaderMap = headers.into_iter().map(header).collect();
        let stored = Secrets::stored_values(&headers);
        assert_eq!(stored, ["theme=dark", "a=t0ken-5678", "t0ken-5678", "k-12"]);
        let shown = Secrets::default().header_values(&headers);
        assert_eq!(shown, ["theme=dark", "dark", "a=t0ken-5678", "t0ken-5678", "k-12"]);
    }

    #[test]
    fn a_value_may_have_any_bytes() {
        assert_eq!(values(&[("x-own", "z\u{fc}rich".as_bytes())]), ["z\u{fc}rich", "z\u{c3}\u{bc}rich"]);
        assert_eq!(values(&[("x-own", b"z\xfcrich")]), ["z\u{fffd}rich", "z\u{fc}rich"]);
        assert_eq!(values(&[("x-own", br#"a"b\c"#)]), [r#"a"b\c"#, r#"a\"b\\c"#]);
    }
}
