//! URLs that come from a definition or a request.

use std::sync::Arc;

use http::header::ToStrError;
use http::uri::{Authority, InvalidUri};
use http::{HeaderValue, Uri};

use crate::code::{self, Code};

/// A URL that cannot be used. Its text does not repeat credentials.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UrlError {
    /// It is not a URL.
    #[error("its URL cannot be read")]
    Unreadable(#[source] Arc<InvalidUri>),
    /// It comes from a header whose value has bytes that a URL cannot contain.
    #[error("its URL is not ASCII text")]
    NotText(#[source] Arc<ToStrError>),
    /// Its scheme is neither `http` nor `https`.
    #[error("its URL has the scheme `{0}`; only `http` and `https` are supported")]
    Scheme(String),
    /// It has no host.
    #[error("its URL has no host")]
    NoHost,
    /// Its port is not a number from 1 to 65535.
    #[error("the port in its URL is not a number from 1 to 65535")]
    Port,
    /// It contains a user name or a password.
    #[error("its URL contains credentials, which would end up in logs")]
    Credentials,
}

impl UrlError {
    /// The code of the error, where the URL is part of a definition.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            UrlError::Credentials => code::CREDENTIALS_IN_URL,
            _ => code::BAD_URL,
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn help(&self) -> &'static str {
        match self {
            UrlError::Unreadable(_) | UrlError::NotText(_) => "write a URL such as `https://example.com/path`",
            UrlError::Scheme(_) => "start the URL with `http://` or `https://`",
            UrlError::NoHost => "write the host after the scheme, as in `https://example.com/path`",
            UrlError::Port => "write a port number after the host, as in `https://example.com:8443/path`",
            UrlError::Credentials => "remove them from the URL and send them in a header",
        }
    }
}

/// Parses an absolute `http` or `https` URL. Without a scheme, `http` is assumed.
///
/// # Errors
///
/// If the URL cannot be used, or contains credentials.
pub fn parse_url(url: &str) -> Result<Uri, UrlError> {
    let uri = read(url)?;
    if uri.authority().is_some_and(has_credentials) { Err(UrlError::Credentials) } else { Ok(uri) }
}

/// Parses the callback URL of a request. Unlike a URL in a definition, it may contain credentials
/// (`http://user:password@host/`). They are sent as `Authorization`; [`without_credentials`] hides them wherever the URL is
/// shown.
///
/// # Errors
///
/// If the URL cannot be used. The error does not repeat credentials.
pub fn parse_callback_url(url: &str) -> Result<Uri, UrlError> {
    read(url)
}

/// Parses a header with the callback URL of a request, as [`parse_callback_url`] does.
///
/// # Errors
///
/// If the value is not text, or the URL cannot be used.
pub fn parse_callback_header(value: &HeaderValue) -> Result<Uri, UrlError> {
    read(value.to_str().map_err(|error| UrlError::NotText(Arc::new(error)))?)
}

fn read(url: &str) -> Result<Uri, UrlError> {
    let url = url.trim();
    let absolute = if url.contains("://") { url.to_owned() } else { format!("http://{url}") };
    let uri: Uri = absolute.parse().map_err(|error: InvalidUri| UrlError::Unreadable(Arc::new(error)))?;
    match uri.scheme_str() {
        Some("http" | "https") => {}
        scheme => return Err(UrlError::Scheme(scheme.unwrap_or_default().to_owned())),
    }
    match uri.authority() {
        Some(authority) if authority.host().is_empty() => Err(UrlError::NoHost),
        Some(authority) if !has_usable_port(authority) => Err(UrlError::Port),
        Some(_) => Ok(uri),
        None => Err(UrlError::NoHost),
    }
}

/// [`Uri`] ignores a port that is out of range, and the request would go to another server.
fn has_usable_port(authority: &Authority) -> bool {
    let text = authority.as_str();
    let host_and_port = text.rsplit_once('@').map_or(text, |(_, behind)| behind);
    match host_and_port.strip_prefix(authority.host()).unwrap_or_default() {
        // RFC 3986, 3.2.3: an empty port means the default port.
        "" | ":" => true,
        _ => authority.port_u16().is_some_and(|port| port > 0),
    }
}

fn has_credentials(authority: &Authority) -> bool {
    authority.as_str().contains('@')
}

/// Removes the credentials from all URLs in a text.
#[must_use]
pub fn without_credentials(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("://") {
        shown.push_str(before);
        shown.push_str("://");
        let ends = |byte: char| matches!(byte, '/' | '?' | '#' | '"' | '<' | '>' | '\\') || byte.is_whitespace();
        let authority = &after[..after.find(ends).unwrap_or(after.len())];
        rest = authority.rfind('@').map_or(after, |at| &after[at + 1..]);
    }
    shown.push_str(rest);
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h13_a_port_must_be_in_range() {
        for url in
            ["h", "h:80", "http://h:65535/", "http://[::1]:8080", "http://[::1]", "http://u:1@h:2/", "http://h:/"]
        {
            assert!(parse_callback_url(url).is_ok(), "{url}");
        }
        for url in
            ["h:99999", "http://h:65536/", "http://h:0/", "http://h:port/", "http://u:p@h:123456", "http://[::1]:x"]
        {
            let fault = parse_callback_url(url).unwrap_err().to_string();
            assert!(fault.contains("port") || fault.contains("read"), "{url}: {fault}");
        }
    }

    #[test]
    fn h12_callbacks_may_have_credentials_which_are_hidden() {
        for url in ["http://u:p@host/", "https://u:p%40ss@host:8080/a?b=c", "u:p@host", "http://u@[::1]/"] {
            assert!(parse_callback_url(url).is_ok(), "{url}");
            let refused = parse_url(url).unwrap_err().to_string();
            assert!(refused.contains("credentials") && !refused.contains("p@"), "{refused}");
        }
        for (text, shown) in [
            ("http://u:p@host/", "http://host/"),
            ("http://u:p@ss@host", "http://host"),
            ("http://u:p%40@host:1/a@b?c@d", "http://host:1/a@b?c@d"),
            ("http://host/x?to=http://u:p@inner/", "http://host/x?to=http://inner/"),
            (r#"{"callback_url":"https://u:p@h/","other":"a@b"}"#, r#"{"callback_url":"https://h/","other":"a@b"}"#),
            ("nothing here, a@b", "nothing here, a@b"),
            ("://", "://"),
        ] {
            assert_eq!(without_credentials(text), shown);
        }
    }
}
