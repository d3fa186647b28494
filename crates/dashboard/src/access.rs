//! Which web pages may use a server of the dashboard, and what they may change.
//!
//! Any web page in a browser on this machine can send requests to such a server. Browsers name the page in `Origin` with
//! every request that could change something; programs do not send this header.

use std::net::IpAddr;

use faasflow_admin::{PAGE_TOKEN_HEADER, PageToken};
use http::header::{HOST, HeaderName, ORIGIN};
use http::uri::Authority;
use http::{Method, Request};
use subtle::ConstantTimeEq as _;

/// What the pages of the dashboard may change. They may not deploy functions, because a page that a function serves can
/// have the same origin and get the token too: a function that repeats its input as HTML would let other sites run programs
/// here.
const PAGES_CHANGE: [&str; 2] = ["/system/flows/", "/system/queue/"];
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const PAGE_TOKEN: HeaderName = HeaderName::from_static(PAGE_TOKEN_HEADER);

/// Knows a server's own pages.
#[derive(Debug)]
pub struct OwnPages {
    token: PageToken,
    has_password: bool,
}

impl OwnPages {
    /// Makes a new random token. `has_password` is whether the server asks for a password.
    #[must_use]
    pub fn new(has_password: bool) -> OwnPages {
        OwnPages { token: PageToken::new(hex::encode(rand::random::<[u8; 32]>())), has_password }
    }

    /// The token, if a page of this server asks for it.
    #[must_use]
    pub fn token_for<B>(&self, request: &Request<B>) -> Option<PageToken> {
        self.is_own_origin(request).then(|| self.token.clone())
    }

    /// Whether a page of this server asks for a change that it may make.
    #[must_use]
    pub fn may_change<B>(&self, request: &Request<B>) -> bool {
        let path = request.uri().path();
        let mut tokens = request.headers().get_all(PAGE_TOKEN).iter();
        let (Some(token), None) = (tokens.next(), tokens.next()) else { return false };
        PAGES_CHANGE.iter().any(|prefix| path.starts_with(prefix))
            && self.is_own_origin(request)
            && token.as_bytes().ct_eq(self.token.token.as_bytes()).into()
    }

    /// Whether the page is at the address of this server, as far as the request says where it is.
    ///
    /// Without a password, the address is an IP address or `localhost`, even if the server listens elsewhere: a page can
    /// make its own name lead to the server (DNS rebinding). A browser has no password for such a name.
    #[must_use]
    pub fn is_own_origin<B>(&self, request: &Request<B>) -> bool {
        let mut sites = request.headers().get_all(SEC_FETCH_SITE).iter();
        is_same_origin(request) && sites.all(|site| site == "same-origin") && (self.has_password || is_local(request))
    }
}

/// Whether a web page asks for a change. Browsers say so in `Origin`, and in `Sec-Fetch-Site` where they send it.
#[must_use]
pub fn is_change_by_page<B>(request: &Request<B>) -> bool {
    let headers = request.headers();
    let is_by_page = headers.contains_key(ORIGIN) || headers.get_all(SEC_FETCH_SITE).iter().any(|site| site != "none");
    ![Method::GET, Method::HEAD].contains(request.method()) && is_by_page
}

/// Whether a request names this machine by an IP address or as `localhost`. Case does not matter, and a name may end with a
/// dot.
#[must_use]
pub fn is_local<B>(request: &Request<B>) -> bool {
    let Some(host) = host(request) else { return true };
    let Ok(authority) = host.parse::<Authority>() else { return false };
    let host = authority.host().trim_matches(['[', ']']).to_ascii_lowercase();
    let host = host.strip_suffix('.').unwrap_or(&host);
    host == "localhost" || host.ends_with(".localhost") || host.parse::<IpAddr>().is_ok()
}

/// Whether a browser says that a page of another site sends the request. Such a page cannot read the answer, but the request still
/// has its effect. Browsers leave out `Sec-Fetch-Site` at most addresses without TLS, but not the `Origin` of other sites.
#[must_use]
pub fn is_of_another_site<B>(request: &Request<B>) -> bool {
    let mut sites = request.headers().get_all(SEC_FETCH_SITE).iter();
    sites.any(|site| site != "same-origin" && site != "none") || !is_same_origin(request)
}

/// Whether the page that `Origin` names, if any, is at the address to which the request is sent.
fn is_same_origin<B>(request: &Request<B>) -> bool {
    let mut origins = request.headers().get_all(ORIGIN).iter();
    let origin = match (origins.next(), origins.next()) {
        (None, _) => return true,
        (Some(origin), None) => origin.to_str().ok().and_then(|origin| origin.split_once("://")),
        _ => return false,
    };
    match (origin, host(request)) {
        (Some(("http" | "https", origin)), Some(host)) => origin.eq_ignore_ascii_case(host),
        _ => false,
    }
}

/// The name and the port by which a request names this server. A name in the target takes precedence over `Host` (RFC 9112,
/// 3.2.2).
fn host<B>(request: &Request<B>) -> Option<&str> {
    let named = || request.headers().get(HOST).map(|value| value.to_str().unwrap_or_default());
    request.uri().authority().map(Authority::as_str).or_else(named)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h11_a_name_that_leads_here_is_not_this_machine() {
        let asked = |host: &str| Request::builder().header(HOST, host).body(()).unwrap();
        let local = ["127.0.0.1", "127.0.0.1:8080", "[::1]:8080", "localhost:8080", "flows.localhost"];
        for host in local.into_iter().chain(["LOCALHOST", "LocalHost.:8080", "Flows.LOCALHOST", "127.0.0.1."]) {
            assert!(is_local(&asked(host)), "{host}");
        }
        for host in
            ["evil.example", "evil.example:8080", "localhost.evil.example", "127.0.0.1.evil.example", "", ".", "\u{e9}"]
        {
            assert!(!is_local(&asked(host)), "{host}");
        }
        let absolute = |uri: &str, host: &str| Request::builder().uri(uri).header(HOST, host).body(()).unwrap();
        assert!(is_local(&absolute("http://LOCALHOST:1/system/info", "evil.example")));
        assert!(!is_local(&absolute("http://evil.example/system/info", "localhost")));
    }

    #[test]
    fn a_page_that_changes_something_is_known_by_each_of_two_headers() {
        let by_page = |method: &str, headers: &[(&str, &str)]| {
            let request = headers
                .iter()
                .fold(Request::builder().method(method), |request, (name, value)| request.header(*name, *value));
            is_change_by_page(&request.body(()).unwrap())
        };
        assert!(!by_page("POST", &[]), "a program");
        assert!(!by_page("POST", &[("sec-fetch-site", "none")]));
        for site in ["cross-site", "same-site", "same-origin"] {
            assert!(by_page("POST", &[("sec-fetch-site", site)]), "{site}");
            assert!(by_page("DELETE", &[("sec-fetch-site", "none"), ("sec-fetch-site", site)]), "{site}");
            assert!(!by_page("GET", &[("sec-fetch-site", site)]), "{site}");
        }
        assert!(by_page("POST", &[("origin", "null")]));
        assert!(!by_page("HEAD", &[("origin", "null")]));
    }

    #[test]
    fn a_page_of_another_site_is_known_by_its_origin_too() {
        let is_other = |headers: &[(&str, &str)]| {
            let request =
                headers.iter().fold(Request::builder(), |request, (name, value)| request.header(*name, *value));
            is_of_another_site(&request.body(()).unwrap())
        };
        let host = ("host", "127.0.0.1:8080");
        assert!(!is_other(&[host]), "a program");
        assert!(!is_other(&[host, ("origin", "http://127.0.0.1:8080"), ("sec-fetch-site", "same-origin")]));
        assert!(is_other(&[host, ("origin", "http://evil.example")]));
        assert!(is_other(&[host, ("origin", "null")]));
        assert!(is_other(&[host, ("sec-fetch-site", "same-origin"), ("sec-fetch-site", "cross-site")]));
    }
}
