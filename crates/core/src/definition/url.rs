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
        return Err(
            "its URL holds credentials, which end up in logs: leave them out, and send them in a header".to_owned()
        );
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
        Some(authority) if authority.host().is_empty() => Err("its URL names no host".to_owned()),
        Some(authority) if !has_usable_port(authority) => {
            Err("its URL has a port that is not a number from 1 to 65535".to_owned())
        }
        Some(_) => Ok(uri),
        None => Err("its URL names no host".to_owned()),
    }
}

/// [`Uri`] reads a port that is out of range as if there were none, and the request would go to another server.
fn has_usable_port(authority: &Authority) -> bool {
    let text = authority.as_str();
    let host_and_port = text.rsplit_once('@').map_or(text, |(_, behind)| behind);
    match host_and_port.strip_prefix(authority.host()).unwrap_or_default() {
        // RFC 3986, 3.2.3: an empty port is the usual one.
        "" | ":" => true,
        _ => authority.port_u16().is_some_and(|port| port > 0),
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
    fn h13_a_port_is_a_number_that_a_port_can_have() {
        for url in
            ["h", "h:80", "http://h:65535/", "http://[::1]:8080", "http://[::1]", "http://u:1@h:2/", "http://h:/"]
        {
            assert!(parse_callback_url(url).is_ok(), "{url}");
        }
        for url in
            ["h:99999", "http://h:65536/", "http://h:0/", "http://h:port/", "http://u:p@h:123456", "http://[::1]:x"]
        {
            let fault = parse_callback_url(url).unwrap_err();
            assert!(fault.contains("port") || fault.contains("read"), "{url}: {fault}");
        }
    }

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
