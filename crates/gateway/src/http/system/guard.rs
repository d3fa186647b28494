//! Access to the admin API.

use std::fmt;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use faasflow_core::code;
use faasflow_dashboard::{OwnPages, is_change_by_page, is_local};
use faasflow_http::drain;
use http::StatusCode;
use http::header::{AUTHORIZATION, CACHE_CONTROL, HeaderMap, HeaderName, HeaderValue, ORIGIN, WWW_AUTHENTICATE};
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
    /// The gateway's own pages.
    pub(crate) pages: OwnPages,
}

impl Guard {
    /// Refuses requests that a web page in a browser may have sent.
    pub(crate) async fn pass_pages(&self, request: Request) -> Result<Request, Box<Response>> {
        // Any web page in a browser on this machine can send requests here, and deploying a function runs a program. Browsers send
        // `Origin` with every request that could change something; faas-cli does not.
        let is_of_the_gateway = self.behind && is_of_the_gateway(request.headers());
        if is_change_by_page(&request) && !is_of_the_gateway && !self.pages.may_change(&request) {
            refuse_body(request).await;
            let text = "web pages may not change this, except requests and the queue on the gateway's own pages: use faas-cli, or \
                        leave out the headers `Origin` and `Sec-Fetch-Site`";
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
}

/// Tells the gateway's own pages their token.
pub(super) async fn tell_page_token(State(guard): State<Arc<Guard>>, request: Request) -> Response {
    let Some(token) = guard.pages.token_for(&request) else {
        let text = "only the gateway's own pages get this token, at a URL that names the gateway by an IP address or as `localhost`, \
                    or with `--basic-auth`";
        return refusal(StatusCode::FORBIDDEN, code::FROM_WEB_PAGE, text);
    };
    ([(CACHE_CONTROL, "no-store")], Json(token)).into_response()
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

async fn refuse_body(request: Request) {
    let (parts, body) = request.into_parts();
    drain(&parts.headers, body).await;
}

#[cfg(test)]
mod tests {
    use super::*;

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
