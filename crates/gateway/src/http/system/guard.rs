//! Access to the admin API.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use faasflow_admin::{PAGE_TOKEN_HEADER, PageToken};
use faasflow_core::code;
use faasflow_http::drain;
use http::header::{AUTHORIZATION, CACHE_CONTROL, HOST, HeaderMap, HeaderName, HeaderValue, ORIGIN, WWW_AUTHENTICATE};
use http::uri::Authority;
use http::{Method, StatusCode};
use subtle::ConstantTimeEq as _;

use crate::answer::refusal;
use crate::forwarding::FORWARDED_HOST;

/// The rules of access.
pub(crate) struct Guard {
    /// The user and the password for the routes under `/system`; `None` if none are required.
    pub(crate) credentials: Option<Credentials>,
    /// Whether the gateway can only be reached from this machine.
    pub(crate) local: bool,
    /// Whether another gateway is in front.
    pub(crate) behind: bool,
    /// What the gateway's own pages send with each change.
    pub(crate) page_token: String,
}

/// What the gateway's own pages may change. They may not deploy functions, because a page that a function serves has the same origin
/// and can get the token too: a function that repeats its input as HTML would let other sites run programs here.
const PAGES_CHANGE: [&str; 2] = ["/system/flows/", "/system/queue/"];
pub(super) const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const PAGE_TOKEN: HeaderName = HeaderName::from_static(PAGE_TOKEN_HEADER);

/// A new token for the gateway's own pages.
pub(crate) fn page_token() -> String {
    hex::encode(rand::random::<[u8; 32]>())
}

impl Guard {
    /// Refuses requests that a web page in a browser may have sent.
    pub(crate) async fn pass_pages(&self, request: Request) -> Result<Request, Box<Response>> {
        // Any web page in a browser on this machine can send requests here, and deploying a function runs a program. Browsers send
        // `Origin` with every request that could change something; faas-cli does not.
        let changes = ![Method::GET, Method::HEAD].contains(request.method());
        let from_page = changes && request.headers().contains_key(ORIGIN);
        if from_page && !(self.behind && is_of_the_gateway(request.headers())) && !self.is_from_own_page(&request) {
            refuse_body(request).await;
            let text = "web pages may not change this, except requests and the queue on the gateway's own pages: use faas-cli, or \
                        leave out the header `Origin`";
            return Err(Box::new(refusal(StatusCode::FORBIDDEN, code::FROM_WEB_PAGE, text)));
        }
        // A web page must not read answers either, through a domain name that resolves to this machine (DNS rebinding).
        if self.local && self.credentials.is_none() && !self.behind && !is_local(&request) {
            refuse_body(request).await;
            let text = "this gateway answers only if the URL names it by an IP address or as `localhost`";
            return Err(Box::new(refusal(StatusCode::FORBIDDEN, code::FOREIGN_HOST, text)));
        }
        Ok(request)
    }

    /// Whether a page of this gateway asks for a change that it may make.
    fn is_from_own_page(&self, request: &Request) -> bool {
        let path = request.uri().path();
        let mut tokens = request.headers().get_all(PAGE_TOKEN).iter();
        let (Some(token), None) = (tokens.next(), tokens.next()) else { return false };
        PAGES_CHANGE.iter().any(|prefix| path.starts_with(prefix))
            && self.is_own_origin(request)
            && token.as_bytes().ct_eq(self.page_token.as_bytes()).into()
    }

    /// Whether the page is at the address of this gateway, as far as the request says where it is.
    ///
    /// Without a password, the address is an IP address or `localhost`, even if the gateway listens elsewhere: a page can make its own
    /// name lead to the gateway (DNS rebinding). A browser has no password for such a name.
    fn is_own_origin(&self, request: &Request) -> bool {
        let headers = request.headers();
        let mut origins = headers.get_all(ORIGIN).iter();
        let is_same = match (origins.next(), origins.next()) {
            (None, _) => true,
            (Some(origin), None) => {
                let origin = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
                matches!((origin, host(request)), (Some(("http" | "https", origin)), Some(host)) if origin.eq_ignore_ascii_case(host))
            }
            _ => false,
        };
        let is_sent_by_it = headers.get(SEC_FETCH_SITE).is_none_or(|site| site == "same-origin");
        is_same && is_sent_by_it && (self.credentials.is_some() || is_local(request))
    }
}

/// Tells the gateway's own pages their token.
pub(super) async fn tell_page_token(State(guard): State<Arc<Guard>>, request: Request) -> Response {
    if !guard.is_own_origin(&request) {
        let text = "only the gateway's own pages get this token, at a URL that names the gateway by an IP address or as `localhost`, \
                    or with `--basic-auth`";
        return refusal(StatusCode::FORBIDDEN, code::FROM_WEB_PAGE, text);
    }
    ([(CACHE_CONTROL, "no-store")], Json(PageToken::new(guard.page_token.clone()))).into_response()
}

/// A user and a password.
pub(crate) struct Credentials {
    user: String,
    password: String,
}

impl Credentials {
    pub(crate) fn new(user: String, password: String) -> Credentials {
        Credentials { user, password }
    }

    /// Whether the request has this user and password (RFC 7617). The comparison takes the same time for every guess.
    fn are_in(&self, headers: &HeaderMap) -> bool {
        let Some((user, password)) = named(headers) else { return false };
        let user = user.as_bytes().ct_eq(self.user.as_bytes());
        let password = password.as_bytes().ct_eq(self.password.as_bytes());
        (user & password).into()
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Credentials")
    }
}

fn named(headers: &HeaderMap) -> Option<(String, String)> {
    let (scheme, coded) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let text = String::from_utf8(STANDARD.decode(coded.trim()).ok()?).ok()?;
    let (user, password) = text.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

/// Refuses requests that may not use the API.
pub(crate) async fn check(State(guard): State<Arc<Guard>>, request: Request, next: Next) -> Response {
    let request = match guard.pass_pages(request).await {
        Ok(request) => request,
        Err(refusal) => return *refusal,
    };
    if guard.credentials.as_ref().is_some_and(|credentials| !credentials.are_in(request.headers())) {
        refuse_body(request).await;
        let text = "this gateway requires a user and a password: give them to `faas-cli login`, or write them into the URL, \
                    as in http://USER:PASSWORD@HOST:PORT";
        let mut response = refusal(StatusCode::UNAUTHORIZED, code::ACCESS_DENIED, text);
        response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"faasflow\""));
        return response;
    }
    next.run(request).await
}

/// Whether the request comes from a page of the gateway in front, which forwards the requests of its own page. Other pages cannot set
/// these two headers.
fn is_of_the_gateway(headers: &HeaderMap) -> bool {
    let text = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let origin = text(&ORIGIN).and_then(|origin| origin.split_once("://"));
    matches!((origin, text(&FORWARDED_HOST)), (Some((_, origin)), Some(host)) if origin == host)
}

/// The name and the port by which a request names this gateway. A name in the target takes precedence over `Host` (RFC 9112, 3.2.2).
fn host(request: &Request) -> Option<&str> {
    let named = || request.headers().get(HOST).map(|value| value.to_str().unwrap_or_default());
    request.uri().authority().map(Authority::as_str).or_else(named)
}

/// Whether a request names this machine by an IP address or as `localhost`. Case does not matter, and a name may end with a dot.
fn is_local(request: &Request) -> bool {
    let Some(host) = host(request) else { return true };
    let Ok(authority) = host.parse::<Authority>() else { return false };
    let host = authority.host().trim_matches(['[', ']']).to_ascii_lowercase();
    let host = host.strip_suffix('.').unwrap_or(&host);
    host == "localhost" || host.ends_with(".localhost") || host.parse::<IpAddr>().is_ok()
}

async fn refuse_body(request: Request) {
    let (parts, body) = request.into_parts();
    drain(&parts.headers, body).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h11_a_name_that_leads_here_is_not_this_machine() {
        let asked = |host: &str| Request::builder().header(HOST, host).body(axum::body::Body::empty()).unwrap();
        let local = ["127.0.0.1", "127.0.0.1:8080", "[::1]:8080", "localhost:8080", "flows.localhost"];
        for host in local.into_iter().chain(["LOCALHOST", "LocalHost.:8080", "Flows.LOCALHOST", "127.0.0.1."]) {
            assert!(is_local(&asked(host)), "{host}");
        }
        for host in
            ["evil.example", "evil.example:8080", "localhost.evil.example", "127.0.0.1.evil.example", "", ".", "\u{e9}"]
        {
            assert!(!is_local(&asked(host)), "{host}");
        }
        let absolute = |uri: &str, host: &str| {
            Request::builder().uri(uri).header(HOST, host).body(axum::body::Body::empty()).unwrap()
        };
        assert!(is_local(&absolute("http://LOCALHOST:1/system/info", "evil.example")));
        assert!(!is_local(&absolute("http://evil.example/system/info", "localhost")));
    }

    #[test]
    fn a_page_of_the_gateway_in_front_is_recognised_by_its_host() {
        let headers = |origin: &'static str, host: &'static str| {
            HeaderMap::from_iter([
                (ORIGIN, HeaderValue::from_static(origin)),
                (FORWARDED_HOST, HeaderValue::from_static(host)),
            ])
        };
        assert!(is_of_the_gateway(&headers("http://gw:8080", "gw:8080")));
        assert!(!is_of_the_gateway(&headers("http://evil", "gw:8080")));
        assert!(!is_of_the_gateway(&headers("null", "gw:8080")));
    }

    #[test]
    fn only_the_right_user_and_password_are_accepted() {
        let credentials = Credentials::new("admin".to_owned(), "a:b c".to_owned());
        let header = |value: &str| HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_str(value).unwrap())]);
        let coded = |text: &str| STANDARD.encode(text);
        assert!(credentials.are_in(&header(&format!("Basic {}", coded("admin:a:b c")))));
        assert!(credentials.are_in(&header(&format!("basic {}", coded("admin:a:b c")))));
        for wrong in ["admin:a:b", "admin:a:b cd", "admi:a:b c", "admin", "", ":"] {
            assert!(!credentials.are_in(&header(&format!("Basic {}", coded(wrong)))), "{wrong}");
        }
        for wrong in ["Basic", "Basic ?", "", "Bearer YWRtaW46YTpiIGM="] {
            assert!(!credentials.are_in(&header(wrong)), "{wrong}");
        }
        assert!(!credentials.are_in(&HeaderMap::new()));
    }
}
