//! The client of a gateway: functions, and the admin API below `/system`.

use std::time::Duration;

use axum::body::Body;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use faasflow_core::code::{self, Code};
use faasflow_core::headers;
use faasflow_http::{HttpClient, MOST_HEADERS, read_body};
use http::header::{AUTHORIZATION, HeaderName, HeaderValue};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::args::Gateway;
use crate::error::Failure;

/// Marks the answers that a gateway gives in place of a function.
const INTERNAL: HeaderName = HeaderName::from_static("x-openfaas-internal");

/// The largest answer that is read, in bytes.
const LARGEST: u64 = 1 << 30;

/// A gateway to send requests to.
pub(crate) struct Client {
    /// The URL without credentials, so that it can be printed.
    base: String,
    /// Sent only to `/system`; on other routes, functions would receive it.
    authorization: Option<HeaderValue>,
    http: HttpClient,
}

/// An answer, read to its end.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Client {
    pub(crate) fn new(gateway: &Gateway) -> Result<Client, Failure> {
        let (url, credentials) = split(gateway.gateway.trim());
        let unusable =
            || Failure::unusable(code::BAD_GATEWAY_OPTION, format!("`{url}` cannot be the address of a gateway"));
        let parsed = faasflow_core::parse_url(&url).map_err(|error| unusable().because(&error).help(error.help()))?;
        let authorization = credentials
            .map(|credentials| {
                basic(credentials).map_err(|fault| {
                    unusable()
                        .because_text(fault)
                        .help("write special characters as `%` and two hexadecimal digits, such as `%40`")
                })
            })
            .transpose()?;
        let base = parsed.to_string().trim_end_matches('/').to_owned();
        // A function may answer with as many headers as the local gateway passes on.
        let http = HttpClient::with_most_headers(Duration::from_secs(5), MOST_HEADERS);
        Ok(Client { base, authorization, http })
    }

    /// The URL without user and password.
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

    /// Sends a request without reading the body of the answer.
    pub(crate) async fn open(
        &self,
        method: Method,
        path: &str,
        headers: HeaderMap,
        body: impl Into<Body>,
    ) -> Result<Response<Incoming>, Failure> {
        let mut request = Request::new(body.into());
        *request.method_mut() = method;
        *request.uri_mut() = format!("{}{path}", self.base).parse().map_err(|error| {
            Failure::unusable(code::BAD_PATH, format!("`{path}` is not a path"))
                .because(&error)
                .help("check the name of the function, and put a query into `--query`")
        })?;
        *request.headers_mut() = headers;
        if let Some(authorization) = self.authorization.as_ref().filter(|_| path.starts_with("/system/")) {
            request.headers_mut().entry(AUTHORIZATION).or_insert_with(|| authorization.clone());
        }
        self.http.send(request).await.map_err(|error| {
            // The last cause is the most specific one.
            let mut last: &dyn std::error::Error = &error;
            while let Some(cause) = last.source() {
                last = cause;
            }
            let io = last.downcast_ref::<std::io::Error>();
            if io.is_some_and(|error| error.kind() == std::io::ErrorKind::ConnectionRefused) {
                return self.unreachable("nothing listens at this address (connection refused)");
            }
            self.unreachable(&last.to_string())
        })
    }

    pub(crate) fn unreachable(&self, why: &str) -> Failure {
        Failure::unreachable(code::NO_GATEWAY, format!("the gateway at {} cannot be reached", self.base))
            .because_text(why)
            .help("start a gateway with `faasflow up`, or name another one with `--gateway` or OPENFAAS_URL")
    }

    pub(crate) fn not_json(&self, error: &serde_json::Error) -> Failure {
        let what = if error.is_data() {
            format!("the answer of the gateway at {} has unexpected content", self.base)
        } else {
            format!("the answer of the gateway at {} is not JSON", self.base)
        };
        Failure::failed(code::UNEXPECTED_ANSWER, what)
            .because(error)
            .help("check that this is the address of a gateway, and not of another server")
    }

    /// The error of a function that the gateway does not know; `answer` is its text.
    pub(crate) fn not_deployed(&self, function: &str, answer: &str) -> Failure {
        let what = format!("the function `{function}` is not deployed at {}", self.base);
        let failure = Failure::failed(code::UNKNOWN_FUNCTION, what);
        // Leave out the part that the message repeats. Any other text is shown in full.
        let answer = answer.trim();
        let repeated = format!("the function `{function}` is not deployed");
        let cause = answer.strip_prefix(&repeated).unwrap_or(answer).trim_start_matches([';', ':', ' ']);
        let failure = if cause.is_empty() { failure } else { failure.because_text(cause) };
        failure.help("check the name, or add the function to stack.yml and restart `faasflow up`")
    }

    /// Sends a request to the admin API and parses the JSON of the answer.
    pub(crate) async fn json<T: DeserializeOwned>(&self, method: Method, path: &str) -> Result<T, Failure> {
        self.answer(method, path, HeaderMap::new(), Bytes::new()).await
    }

    /// The same, with a JSON body.
    pub(crate) async fn json_for<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        asked: &impl Serialize,
    ) -> Result<T, Failure> {
        let json = HeaderValue::from_static("application/json");
        let headers = HeaderMap::from_iter([(http::header::CONTENT_TYPE, json)]);
        let body = serde_json::to_vec(asked).expect("a request is plain data");
        self.answer(method, path, headers, body.into()).await
    }

    async fn answer<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<T, Failure> {
        self.read(&self.send(method, path, headers, body).await?)
    }

    /// Parses the JSON of an answer of the admin API.
    pub(crate) fn read<T: DeserializeOwned>(&self, answer: &Answer) -> Result<T, Failure> {
        let text = String::from_utf8_lossy(&answer.body);
        self.check(answer.status, &answer.headers, &text)?;
        serde_json::from_str(&text).map_err(|error| self.not_json(&error))
    }

    /// Fails if the status is an error; `text` is the body of the answer.
    pub(crate) fn check(&self, status: StatusCode, headers: &HeaderMap, text: &str) -> Result<(), Failure> {
        if status == StatusCode::UNAUTHORIZED {
            let what = if self.authorization.is_some() {
                "does not accept this user and password"
            } else {
                "requires a user and a password"
            };
            return Err(Failure::failed(code::ACCESS_DENIED, format!("the gateway at {} {what}", self.base))
                .because_text("its admin API answered 401 Unauthorized")
                .help(
                    "put them into its address, as in `--gateway http://USER:PASSWORD@HOST:PORT`, or into OPENFAAS_URL",
                ));
        }
        if !status.is_success() {
            return Err(refused(status, headers, text));
        }
        Ok(())
    }
}

/// The code in the header of an answer. Gateways of OpenFaaS send none.
pub(crate) fn error_code(headers: &HeaderMap) -> Option<Code> {
    Code::find(headers.get(headers::ERROR_CODE)?.to_str().ok()?)
}

/// Whether the gateway answered in place of the function. Gateways drop this header from the answers of functions.
pub(crate) fn is_own_answer(headers: &HeaderMap) -> bool {
    headers.contains_key(INTERNAL)
}

/// Whether this is the gateway's answer to a call of a function that it does not know. A function may answer 404, and may
/// send any code.
pub(crate) fn is_unknown_function(status: StatusCode, headers: &HeaderMap) -> bool {
    status == StatusCode::NOT_FOUND && is_own_answer(headers) && error_code(headers) == Some(code::UNKNOWN_FUNCTION)
}

/// The error of a request that the gateway refused; `text` is the body of its answer. It has the code that the answer
/// names, which gateways of OpenFaaS do not.
pub(crate) fn refused(status: StatusCode, headers: &HeaderMap, text: &str) -> Failure {
    let code = error_code(headers).unwrap_or(code::GATEWAY_REFUSES);
    let failure = Failure::failed(code, format!("the gateway answered {status}"));
    if text.trim_start().starts_with('<') {
        return failure
            .because_text("the answer is a web page, so this may not be a gateway")
            .help("check the address after `--gateway`, or in OPENFAAS_URL");
    }
    let failure = if text.trim().is_empty() { failure } else { failure.because_text(text.trim()) };
    failure.help("find out more in the log of the gateway")
}

/// Splits `USER:PASSWORD@` off an address, so that the rest can be printed.
fn split(url: &str) -> (String, Option<&str>) {
    let (scheme, rest) = url.split_once("://").map_or(("", url), |(scheme, rest)| (scheme, rest));
    // The last `@`, because a password that is not escaped may contain `/` and `@`, and the rest of the address has none.
    let Some((credentials, rest)) = rest.rsplit_once('@') else { return (url.to_owned(), None) };
    let colon = if scheme.is_empty() { "" } else { "://" };
    (format!("{scheme}{colon}{rest}"), Some(credentials))
}

/// The `Authorization` header for credentials that are percent-encoded, as in an address.
fn basic(credentials: &str) -> Result<HeaderValue, String> {
    let fault = || "its user and password are not valid percent-encoded text".to_owned();
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
    fn credentials_go_only_into_the_header() {
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
    fn a_function_that_is_not_deployed_is_reported_with_what_else_the_gateway_says() {
        let client = client("http://h:1").ok().unwrap();
        for (answer, cause) in [
            ("the function `f` is not deployed; deployed functions: a, b\n", Some("deployed functions: a, b")),
            ("the function `f` is not deployed: it was removed\n", Some("it was removed")),
            ("the function `f` is not deployed\n", None),
            ("another wording; with a semicolon\n", Some("another wording; with a semicolon")),
            ("", None),
        ] {
            let Failure::Problems { problems, .. } = client.not_deployed("f", answer) else { panic!("no problem") };
            let text = problems[0].to_string();
            assert_eq!(text.lines().find_map(|line| line.strip_prefix("  cause: ")), cause, "{text}");
        }
    }

    #[test]
    fn errors_do_not_show_credentials() {
        for gateway in ["ftp://u:hidden@h", "http://u:hidden%@h", "http://u:hidden@", "http://u:hidden%zz@h"] {
            let fault = client(gateway).err().expect(gateway).to_string();
            assert!(!fault.contains("hidden"), "{fault}");
        }
    }
}
