//! Asks a gateway.

use std::time::Duration;

use axum::body::Body;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use faasflow_core::code::{self, Code};
use faasflow_core::headers;
use faasflow_runtime::http::{HttpClient, read_body};
use http::header::{AUTHORIZATION, HeaderValue};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::args::Gateway;
use crate::error::Failure;

/// The largest answer, in bytes.
const LARGEST: u64 = 1 << 30;

/// A gateway to ask.
pub(crate) struct Client {
    /// Without credentials: it is shown.
    base: String,
    /// For the gateway's own routes alone. On others it would reach the functions.
    authorization: Option<HeaderValue>,
    http: HttpClient,
}

/// What it answered.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Client {
    pub(crate) fn new(gateway: &Gateway) -> Result<Client, Failure> {
        let (url, credentials) = split(gateway.gateway.trim());
        let unusable =
            || Failure::unusable(code::BAD_GATEWAY_OPTION, format!("`{url}` is not the address of a gateway"));
        let parsed = faasflow_core::parse_url(&url).map_err(|error| unusable().because(&error).help(error.help()))?;
        let authorization = credentials
            .map(|credentials| basic(credentials).map_err(|fault| unusable().because_text(fault)))
            .transpose()?;
        let base = parsed.to_string().trim_end_matches('/').to_owned();
        Ok(Client { base, authorization, http: HttpClient::new(Duration::from_secs(5)) })
    }

    /// Its address, without user and password.
    pub(crate) fn base(&self) -> &str {
        &self.base
    }

    /// Whether user and password were given.
    pub(crate) fn has_credentials(&self) -> bool {
        self.authorization.is_some()
    }

    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Answer, Failure> {
        let (parts, body) = self.open(method, path, headers, body).await?.into_parts();
        let read = read_body(body, LARGEST, Duration::MAX).await;
        let body = read.map_err(|error| self.unreachable(&error.to_string()))?;
        Ok(Answer { status: parts.status, headers: parts.headers, body })
    }

    /// The same, the body of the answer being yet to be read.
    pub(crate) async fn open(
        &self,
        method: Method,
        path: &str,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Response<Incoming>, Failure> {
        let mut request = Request::new(Body::from(body));
        *request.method_mut() = method;
        *request.uri_mut() = format!("{}{path}", self.base)
            .parse()
            .map_err(|error| Failure::unusable(code::BAD_PATH, format!("`{path}` is not a path")).because(&error))?;
        *request.headers_mut() = headers;
        if let Some(authorization) = self.authorization.as_ref().filter(|_| path.starts_with("/system/")) {
            request.headers_mut().entry(AUTHORIZATION).or_insert_with(|| authorization.clone());
        }
        self.http.send(request).await.map_err(|error| {
            // The last cause says it best: "Connection refused".
            let mut last: &dyn std::error::Error = &error;
            while let Some(cause) = last.source() {
                last = cause;
            }
            self.unreachable(&last.to_string())
        })
    }

    pub(crate) fn unreachable(&self, why: &str) -> Failure {
        Failure::unreachable(code::NO_GATEWAY, format!("the gateway at {} cannot be reached", self.base))
            .because_text(why)
            .help("start one with `faasflow up`, or name another with `--gateway` or OPENFAAS_URL")
    }

    pub(crate) fn not_json(&self, error: &serde_json::Error) -> Failure {
        let instead = if error.is_data() { "not what was asked for" } else { "not JSON" };
        let what = format!("the answer of the gateway at {} is {instead}", self.base);
        Failure::failed(code::UNEXPECTED_ANSWER, what).because(error)
    }

    /// Asks for JSON of the gateway's own.
    pub(crate) async fn json<T: DeserializeOwned>(&self, method: Method, path: &str) -> Result<T, Failure> {
        self.answer(method, path, HeaderMap::new(), Bytes::new()).await
    }

    /// The same, with what is asked for as the body.
    pub(crate) async fn json_for<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        asked: &impl Serialize,
    ) -> Result<T, Failure> {
        let json = HeaderValue::from_static("application/json");
        let headers = HeaderMap::from_iter([(http::header::CONTENT_TYPE, json)]);
        let body = serde_json::to_vec(asked).expect("what is asked is plain data");
        self.answer(method, path, headers, body.into()).await
    }

    async fn answer<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<T, Failure> {
        let answer = self.send(method, path, headers, body).await?;
        let text = String::from_utf8_lossy(&answer.body);
        self.check(answer.status, &answer.headers, &text)?;
        serde_json::from_str(&text).map_err(|error| self.not_json(&error))
    }

    /// Whether the gateway did what it was asked for; `text` is the body of its answer.
    pub(crate) fn check(&self, status: StatusCode, headers: &HeaderMap, text: &str) -> Result<(), Failure> {
        if status == StatusCode::UNAUTHORIZED {
            let what = if self.authorization.is_some() {
                "does not accept this user and password"
            } else {
                "asks for user and password"
            };
            return Err(Failure::failed(code::ACCESS_DENIED, format!("the gateway at {} {what}", self.base))
                .help("give them in its address, http://USER:PASSWORD@HOST:PORT, with `--gateway` or OPENFAAS_URL"));
        }
        if !status.is_success() {
            return Err(refused(status, headers, text));
        }
        Ok(())
    }
}

/// The failure that an answer of the gateway stands for. It has the code in the answer, if there is one: gateways of OpenFaaS
/// have none.
pub(crate) fn refused(status: StatusCode, headers: &HeaderMap, text: &str) -> Failure {
    let code = headers.get(headers::ERROR_CODE).and_then(|value| Code::find(value.to_str().ok()?));
    let failure = Failure::failed(code.unwrap_or(code::GATEWAY_REFUSES), format!("the gateway answered {status}"));
    if text.trim().is_empty() { failure } else { failure.because_text(text.trim()) }
}

/// Takes `USER:PASSWORD@` out of an address, so that what is left can be shown.
fn split(url: &str) -> (String, Option<&str>) {
    let (scheme, rest) = url.split_once("://").map_or(("", url), |(scheme, rest)| (scheme, rest));
    // A password that was not escaped may hold any of these; an address of a gateway has no use for an `@` elsewhere.
    let Some((credentials, rest)) = rest.rsplit_once('@') else { return (url.to_owned(), None) };
    let colon = if scheme.is_empty() { "" } else { "://" };
    (format!("{scheme}{colon}{rest}"), Some(credentials))
}

/// The header for credentials that are escaped as in an address.
fn basic(credentials: &str) -> Result<HeaderValue, String> {
    let fault = || "its user and password are no text, as escaped by `%`".to_owned();
    let decoded = unescape(credentials).ok_or_else(fault)?;
    let decoded = if decoded.contains(&b':') { decoded } else { [decoded.as_slice(), b":"].concat() };
    let mut header = HeaderValue::from_str(&format!("Basic {}", STANDARD.encode(decoded))).map_err(|_| fault())?;
    header.set_sensitive(true);
    Ok(header)
}

fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut bytes = text.bytes();
    let mut unescaped = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        unescaped.push(match byte {
            b'%' => {
                let mut digit = || char::from(bytes.next()?).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
                digit()? * 16 + digit()?
            }
            byte => byte,
        });
    }
    Some(unescaped)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(gateway: &str) -> Result<Client, Failure> {
        Client::new(&Gateway { gateway: gateway.to_owned() })
    }

    #[test]
    fn credentials_go_into_the_header_and_nowhere_else() {
        for (gateway, base, expected) in [
            ("http://h:1", "http://h:1", None),
            ("http://u:p@h:1/", "http://h:1", Some("u:p")),
            ("u:p@h:1", "http://h:1", Some("u:p")),
            ("https://u:a%3Ab%40c%2f@h/base", "https://h/base", Some("u:a:b@c/")),
            ("http://u:p/@q@h", "http://h", Some("u:p/@q")),
            ("http://u@h", "http://h", Some("u:")),
        ] {
            let client = client(gateway).ok().unwrap();
            assert_eq!(client.base, base);
            let header = expected.map(|expected| format!("Basic {}", STANDARD.encode(expected)));
            assert_eq!(client.authorization.map(|value| value.to_str().unwrap().to_owned()), header, "{gateway}");
        }
    }

    #[test]
    fn what_is_wrong_is_told_without_them() {
        for gateway in ["ftp://u:hidden@h", "http://u:hidden%@h", "http://u:hidden@", "http://u:hidden%zz@h"] {
            let fault = client(gateway).err().expect(gateway).to_string();
            assert!(!fault.contains("hidden"), "{fault}");
        }
    }
}
