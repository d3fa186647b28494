//! Passes a request to a process in variables, with the names that both watchdogs of OpenFaaS use.
//!
//! A header becomes a variable named `Http_` and its name. Because a caller chooses the names, some headers are withheld:
//!
//! - `Proxy`. Many HTTP libraries use a variable `http_proxy`, in any case, as the proxy for their own requests (httpoxy,
//!   CVE-2016-5385).
//! - Names of variables that the gateway sets for a request. `Method: X` must not replace the method.
//! - Names with characters other than letters, digits and `-`. `X_User` and `X-User` become the same variable, and a proxy in
//!   front of the gateway may check only one of them. Apache and nginx drop such headers too.
//!
//! A header does not replace a variable that the author of the function set either.

use std::ffi::OsString;

use http::header::{COOKIE, HeaderMap, HeaderValue, TRANSFER_ENCODING};
use http::request;
use percent_encoding::percent_decode_str;

use crate::forwarding::host;

/// Headers that do not become variables: `Proxy`, and those whose variables the gateway sets.
const WITHHELD: [&str; 8] =
    ["proxy", "method", "path", "query", "contentlength", "content-length", "host", "transfer-encoding"];

pub(super) type Variable = (OsString, OsString);

/// The variables of a request.
#[derive(Debug)]
pub(super) struct Variables {
    /// The variables of its headers. The function's own environment overrides them.
    pub(super) headers: Vec<Variable>,
    /// The variables that the gateway sets. They override the function's own environment.
    pub(super) facts: Vec<Variable>,
}

/// The path contains a NUL byte, so it cannot be a variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NulInPath;

impl Variables {
    /// Creates the variables of a request with a body of `length` bytes. `path` is the part of the path after the function's
    /// name, as it was sent.
    pub(super) fn new(parts: &request::Parts, path: &str, length: usize) -> Result<Variables, NulInPath> {
        let path = if path.is_empty() { "/" } else { path };
        let path: Vec<u8> = percent_decode_str(path).collect();
        if path.contains(&0) {
            return Err(NulInPath);
        }
        let fact = |name: &str, value: Vec<u8>| (OsString::from(name), value_of(value));
        let length = length.to_string().into_bytes();
        let mut facts = vec![
            fact("Http_Method", parts.method.as_str().into()),
            fact("Http_Path", path),
            fact("Http_ContentLength", length.clone()),
            fact("Http_Content_Length", length),
        ];
        if let Some(query) = parts.uri.query().filter(|query| !query.is_empty()) {
            facts.push(fact("Http_Query", query.into()));
        }
        if let Some(host) = host(parts) {
            facts.push(fact("Http_Host", host.as_bytes().into()));
        }
        if parts.headers.contains_key(TRANSFER_ENCODING) {
            facts.push(fact("Http_Transfer_Encoding", "chunked".into()));
        }
        Ok(Variables { headers: header_variables(&parts.headers), facts })
    }
}

/// Creates a variable for each header, with its first value. Cookies are joined, because HTTP/2 may send them one by one.
fn header_variables(headers: &HeaderMap) -> Vec<Variable> {
    let mut variables = Vec::with_capacity(headers.keys_len());
    for name in headers.keys() {
        let text = name.as_str();
        let plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        if !plain || WITHHELD.contains(&text) {
            continue;
        }
        let value = if name == COOKIE {
            let cookies: Vec<&[u8]> = headers.get_all(name).iter().map(HeaderValue::as_bytes).collect();
            cookies.join(&b"; "[..])
        } else {
            headers.get(name).map(|value| value.as_bytes().to_vec()).unwrap_or_default()
        };
        variables.push((format!("Http_{}", train_case(text)).into(), value_of(value)));
    }
    variables
}

/// Converts bytes to the value of a variable. On Unix, the value has the same bytes.
#[cfg(unix)]
fn value_of(bytes: Vec<u8>) -> OsString {
    std::os::unix::ffi::OsStringExt::from_vec(bytes)
}

/// Converts bytes to the value of a variable. On Windows, it is a text, and bytes that are not UTF-8 become U+FFFD.
#[cfg(not(unix))]
fn value_of(bytes: Vec<u8>) -> OsString {
    String::from_utf8_lossy(&bytes).into_owned().into()
}

/// Converts a name such as `x-call-id` to `X_Call_Id`.
fn train_case(name: &str) -> String {
    let words = name.split('-').map(|word| {
        let mut letters = word.chars();
        letters.next().map(|first| first.to_ascii_uppercase().to_string() + letters.as_str()).unwrap_or_default()
    });
    words.collect::<Vec<_>>().join("_")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    #[cfg(unix)]
    use std::os::unix::ffi::OsStringExt as _;

    use http::{HeaderName, Request};

    use super::*;

    fn variables(target: &str, path: &str, headers: &[(&str, &[u8])]) -> BTreeMap<String, Vec<u8>> {
        let mut parts = Request::get(target).body(()).unwrap().into_parts().0;
        for (name, value) in headers {
            parts.headers.append(HeaderName::try_from(*name).unwrap(), HeaderValue::from_bytes(value).unwrap());
        }
        let Variables { headers, facts } = Variables::new(&parts, path, 5).unwrap();
        let pair = |(name, value): Variable| (name.into_string().unwrap(), value.into_vec());
        headers.into_iter().chain(facts).map(pair).collect()
    }

    #[test]
    fn h1_no_spelling_of_proxy_becomes_a_variable() {
        for spelling in ["Proxy", "PROXY", "proxy", "pRoXy", "prox_y", "_proxy", "proxy_", "http_proxy", "pro.xy"] {
            let variables = variables("/", "", &[(spelling, b"http://127.0.0.1:1/"), ("x-own", b"1")]);
            assert!(!variables.values().any(|value| value.starts_with(b"http://")), "{spelling}: {variables:?}");
            assert_eq!(variables["Http_X_Own"], b"1");
        }
    }

    #[test]
    fn h1_a_header_replaces_no_other_variable() {
        let named = ["method", "path", "query", "contentlength", "content-length", "host", "transfer-encoding"];
        for name in named {
            let variables = variables("/", "/p", &[(name, b"forged")]);
            // `Host` is the only one that the caller may set.
            let forged = variables.iter().filter(|(_, value)| *value == b"forged").map(|(name, _)| name.as_str());
            let expected: &[&str] = if name == "host" { &["Http_Host"] } else { &[] };
            assert_eq!(forged.collect::<Vec<_>>(), expected, "{name}");
        }
        let variables = variables("/", "", &[("x_forwarded_1", b"forged"), ("x-forwarded-1", b"true"), ("a!b", b"1")]);
        assert_eq!(variables["Http_X_Forwarded_1"], b"true");
        assert!(variables.keys().all(|name| !name.contains('!')), "{variables:?}");
    }

    #[test]
    fn h5_paths_are_decoded_and_queries_are_not() {
        for (path, decoded) in [
            ("", &b"/"[..]),
            ("/a%20b/caf%C3%A9", "/a b/café".as_bytes()),
            ("/a%2Fb+c%2B", b"/a/b+c+"),
            ("/%E9", b"/\xe9"),
            ("/100%/%zz/%4", b"/100%/%zz/%4"),
            ("/%2525", b"/%25"),
        ] {
            assert_eq!(variables("/?q=a%20b", path, &[])["Http_Path"], decoded, "{path}");
        }
        assert_eq!(variables("/?q=a%20b&c", "", &[])["Http_Query"], b"q=a%20b&c");
        assert!(!variables("/?", "", &[]).contains_key("Http_Query"));
        let parts = Request::get("/").body(()).unwrap().into_parts().0;
        assert_eq!(Variables::new(&parts, "/a%00b", 0).unwrap_err(), NulInPath);
    }

    #[test]
    fn h5_the_first_value_counts_and_cookies_are_joined() {
        let variables = variables(
            "/",
            "",
            &[("x-a", b"1"), ("cookie", b"a=1"), ("x-a", b"2"), ("cookie", b"b=2; c=3"), ("x-latin", b"\xe9")],
        );
        assert_eq!(variables["Http_X_A"], b"1");
        assert_eq!(variables["Http_Cookie"], b"a=1; b=2; c=3");
        assert_eq!(variables["Http_X_Latin"], b"\xe9", "values are bytes");
        assert_eq!((&*variables["Http_Content_Length"], &*variables["Http_ContentLength"]), (&b"5"[..], &b"5"[..]));
    }
}
