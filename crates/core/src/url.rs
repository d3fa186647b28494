//! URLs that others say.

use http::Uri;
use http::uri::Authority;

/// Reads an absolute `http` or `https` URL; without a scheme it is `http`.
///
/// # Errors
///
/// What is wrong with it, as a text that does not repeat credentials.
pub fn parse_url(url: &str) -> Result<Uri, String> {
    let uri = parse_callback_url(url)?;
    if uri.authority().is_some_and(has_credentials) {
        return Err("its URL holds credentials, which end up in logs: send them with `header_with`".to_owned());
    }
    Ok(uri)
}

/// The same for the URL of a callback that comes with a request, which may hold credentials (`http://user:password@host/`).
/// They are sent as `Authorization`; where the URL is shown, [`without_credentials`] hides them.
///
/// # Errors
///
/// What is wrong with it, as a text that does not repeat credentials.
pub fn parse_callback_url(url: &str) -> Result<Uri, String> {
    let url = url.trim();
    let absolute = if url.contains("://") { url.to_owned() } else { format!("http://{url}") };
    let uri: Uri = absolute.parse().map_err(|error| format!("its URL cannot be read: {error}"))?;
    match uri.scheme_str() {
        Some("http" | "https") => {}
        scheme => return Err(format!("its URL has the scheme `{}`: only http and https", scheme.unwrap_or_default())),
    }
    match uri.authority() {
        Some(authority) if !authority.host().is_empty() => Ok(uri),
        _ => Err("its URL names no host".to_owned()),
    }
}

fn has_credentials(authority: &Authority) -> bool {
    authority.as_str().contains('@')
}

/// A text, without the credentials of the URLs in it.
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
    fn h12_credentials_are_taken_for_callbacks_and_hidden() {
        for url in ["http://u:p@host/", "https://u:p%40ss@host:8080/a?b=c", "u:p@host", "http://u@[::1]/"] {
            assert!(parse_callback_url(url).is_ok(), "{url}");
            let refused = parse_url(url).unwrap_err();
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
