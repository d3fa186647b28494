//! The secret values in headers.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, header};
use percent_encoding::percent_decode_str;

use super::{Secrets, add_value};
use crate::envelope::latin1;
use crate::headers::is_credential;

/// Schemes that a header other than `Authorization` may begin with too.
const SCHEMES: [&str; 3] = ["Bearer", "Basic", "Token"];
/// Values of cookies that say yes or no. They occur in too many other texts.
const CHOICES: [&str; 3] = ["true", "false", "null"];

impl Secrets {
    /// The values of secret headers and of [credentials](is_credential) that are not too short: those that
    /// [`masked_text`](super::masked_text) can replace. Programs often repeat only a part of such a header, so these are values of
    /// their own: what follows the scheme, the user and password of `Basic`, the password, and the value of each cookie.
    #[must_use]
    pub fn header_values(&self, headers: &HeaderMap) -> Vec<String> {
        let mut values = Vec::new();
        let is_secret = |name: &HeaderName| is_credential(name) || self.is_secret_header(name.as_str());
        for (name, value) in headers.iter().filter(|(name, _)| is_secret(name)) {
            add_parts(name, &String::from_utf8_lossy(value.as_bytes()), &mut values);
            if !value.as_bytes().is_ascii() {
                // Some servers take each byte for a character.
                add_parts(name, &latin1(value), &mut values);
            }
        }
        values
    }
}

/// Adds the value of a header, and the parts of it that are secret on their own.
fn add_parts(name: &HeaderName, value: &str, values: &mut Vec<String>) {
    add(value, values);
    if name == header::COOKIE {
        value.split(';').for_each(|cookie| add_cookie(cookie, values));
    } else if name == header::SET_COOKIE {
        // Its attributes follow.
        value.split(';').take(1).for_each(|cookie| add_cookie(cookie, values));
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
    }
}

fn add_cookie(cookie: &str, values: &mut Vec<String>) {
    let value = cookie.split_once('=').map_or(cookie, |(_, value)| value).trim().trim_matches('"');
    if CHOICES.contains(&value) {
        return;
    }
    add(value, values);
    // Many programs decode it.
    if let Ok(decoded) = percent_decode_str(value).decode_utf8() {
        add(&decoded, values);
    }
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
    fn each_cookie_is_a_value_of_its_own() {
        let found = values(&[("cookie", b"a=t0ken-1; id=s%3At0ken=2 ;c=\"t0ken-3\"; ok=true; n=1; t0ken-4")]);
        assert_eq!(found[2..], ["t0ken-1", "s%3At0ken=2", "s:t0ken=2", "t0ken-3", "t0ken-4"], "{found:?}");
        let found = values(&[("set-cookie", b"a=t0ken-1; Path=/path; HttpOnly")]);
        assert_eq!(found, ["a=t0ken-1; Path=/path; HttpOnly", "t0ken-1"]);
    }

    #[test]
    fn a_value_may_have_any_bytes() {
        assert_eq!(values(&[("x-own", "z\u{fc}rich".as_bytes())]), ["z\u{fc}rich", "z\u{c3}\u{bc}rich"]);
        assert_eq!(values(&[("x-own", b"z\xfcrich")]), ["z\u{fffd}rich", "z\u{fc}rich"]);
        assert_eq!(values(&[("x-own", br#"a"b\c"#)]), [r#"a"b\c"#, r#"a\"b\\c"#]);
    }
}
