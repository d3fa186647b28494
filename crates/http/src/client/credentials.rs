//! Credentials in a URL.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, HeaderValue};
use http::{Request, Uri};
use percent_encoding::percent_decode_str;

/// Moves the credentials in a URL into an `Authorization` header (RFC 7617), unless the request already has one.
pub(super) fn authorize<B>(request: &mut Request<B>) {
    let Some((credentials, uri)) = split(request.uri()) else { return };
    if let Ok(mut value) = HeaderValue::try_from(format!("Basic {}", STANDARD.encode(credentials))) {
        value.set_sensitive(true);
        request.headers_mut().entry(AUTHORIZATION).or_insert(value);
    }
    *request.uri_mut() = uri;
}

/// The decoded user and password, and the URL without them.
fn split(uri: &Uri) -> Option<(Vec<u8>, Uri)> {
    let (credentials, host) = uri.authority()?.as_str().rsplit_once('@')?;
    let decoded = |text| Cow::from(percent_decode_str(text)).into_owned();
    let (user, password) = credentials.split_once(':').unwrap_or((credentials, ""));
    let mut parts = uri.clone().into_parts();
    parts.authority = Some(host.parse().ok()?);
    Some(([decoded(user), decoded(password)].join(&b':'), Uri::from_parts(parts).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h12_credentials_of_a_url_become_a_header() {
        for (url, sent, expected) in [
            ("http://u:p@host/a?b", "http://host/a?b", "u:p"),
            ("http://u:p%40s%3As@host:8080/", "http://host:8080/", "u:p@s:s"),
            ("http://u@[::1]:1/", "http://[::1]:1/", "u:"),
            ("http://:p@host/", "http://host/", ":p"),
        ] {
            let mut request = Request::get(url).body(()).unwrap();
            authorize(&mut request);
            assert_eq!(request.uri().to_string(), sent);
            assert_eq!(request.headers()[AUTHORIZATION], format!("Basic {}", STANDARD.encode(expected)), "{url}");
        }
        let mut own = Request::get("http://u:p@host/").header(AUTHORIZATION, "Bearer x").body(()).unwrap();
        authorize(&mut own);
        assert_eq!(
            (own.uri().to_string().as_str(), &own.headers()[AUTHORIZATION]),
            ("http://host/", &HeaderValue::from_static("Bearer x"))
        );
        let mut none = Request::get("http://host/").body(()).unwrap();
        authorize(&mut none);
        assert!(none.headers().is_empty());
    }
}
