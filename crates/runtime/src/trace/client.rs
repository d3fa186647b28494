//! Sends OTLP, either as a POST or as a gRPC call.

use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, TE, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Limited};

use super::answer::RejectedSpans;
use super::options::unescaped;
use super::server::TraceServer;
use super::text::cut;
use crate::log::escaped;
use faasflow_http::{BadAuthorities, HttpClient, HttpError, body_of_parts};

/// The most bytes of a trace server's answer that are read.
const ANSWER: usize = 64 * 1024;
const EXPORT: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

const PROTOBUF: HeaderValue = HeaderValue::from_static("application/x-protobuf");
const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// Why spans were not accepted.
#[derive(Debug, thiserror::Error)]
pub(super) enum SendError {
    #[error("{}", faasflow_core::chain(.0))]
    Unreachable(#[from] HttpError),
    #[error("no answer within {}", crate::config::show(*.0))]
    Late(Duration),
    #[error("the connection was lost before the answer was complete")]
    Broken,
    #[error("it answered {0}")]
    Status(StatusCode),
    #[error("it does not speak gRPC")]
    NotGrpc,
    #[error("it answered with gRPC status {0}: {1}")]
    Grpc(String, String),
}

#[derive(Debug)]
pub(super) struct Client {
    client: HttpClient,
    grpc: bool,
    url: Uri,
    headers: HeaderMap,
    timeout: Duration,
}

impl Client {
    /// A client for `server`. It sends `headers` with every request and trusts `authorities` in addition to the public ones.
    pub(super) fn new(
        server: &TraceServer,
        headers: &HeaderMap,
        authorities: Option<&[u8]>,
        timeout: Duration,
    ) -> Result<Client, BadAuthorities> {
        let mut all = HeaderMap::new();
        all.insert(USER_AGENT, HeaderValue::from_static(concat!("faasflow/", env!("CARGO_PKG_VERSION"))));
        all.extend(headers.clone());
        let (client, url) = if server.grpc {
            all.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
            all.insert(TE, HeaderValue::from_static("trailers"));
            let mut parts = server.url.clone().into_parts();
            parts.path_and_query = Some(http::uri::PathAndQuery::from_static(EXPORT));
            let url = Uri::from_parts(parts).expect("only the path of a valid URL was replaced");
            (HttpClient::http2(timeout, authorities)?, url)
        } else {
            all.insert(CONTENT_TYPE, PROTOBUF);
            let client = match authorities {
                None => HttpClient::new(timeout),
                Some(pem) => HttpClient::with_authorities(timeout, pem)?,
            };
            (client, server.url.clone())
        };
        Ok(Client { client, grpc: server.grpc, url, headers: all, timeout })
    }

    /// Sends an `ExportTraceServiceRequest`. The server may reject some of its spans and accept the others.
    pub(super) async fn export(&self, message: Vec<u8>) -> Result<RejectedSpans, SendError> {
        match tokio::time::timeout(self.timeout, self.exchange(message)).await {
            Ok(sent) => sent,
            Err(_) => Err(SendError::Late(self.timeout)),
        }
    }

    async fn exchange(&self, message: Vec<u8>) -> Result<RejectedSpans, SendError> {
        let body = if self.grpc { framed(message) } else { Body::from(message) };
        let mut request = Request::new(body);
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.url.clone();
        *request.headers_mut() = self.headers.clone();
        let (parts, body) = self.client.send(request).await?.into_parts();
        // Read the body even if it is not used. Only then can the connection be reused.
        let read = Limited::new(body, ANSWER).collect().await.map_err(|_| SendError::Broken);
        match (parts.status.is_success(), self.grpc) {
            (false, _) => Err(SendError::Status(parts.status)),
            // The status says that the spans were accepted. The body is optional.
            (true, false) => match read {
                Ok(read) if parts.headers.get(CONTENT_TYPE) == Some(&PROTOBUF) => Ok(refused(&read.to_bytes())),
                _ => Ok(RejectedSpans::default()),
            },
            // An answer without a message has its status in the headers.
            (true, true) if parts.headers.contains_key(GRPC_STATUS) => {
                verdict(&parts.headers).map(|()| RejectedSpans::default())
            }
            (true, true) => {
                let read = read?;
                verdict(read.trailers().ok_or(SendError::NotGrpc)?)?;
                // The message follows the five bytes described in `framed`.
                Ok(refused(read.to_bytes().get(5..).unwrap_or_default()))
            }
        }
    }
}

fn refused(answer: &[u8]) -> RejectedSpans {
    let refused = RejectedSpans::read(answer);
    RejectedSpans { why: shown(&refused.why), ..refused }
}

/// A text of the server, made safe for a log line.
fn shown(text: &str) -> String {
    cut(escaped(text).into_owned())
}

/// A gRPC message: whether it is compressed, its length, and its bytes.
fn framed(message: Vec<u8>) -> Body {
    let mut head = vec![0];
    head.extend_from_slice(&u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes());
    body_of_parts(vec![Bytes::from(head), Bytes::from(message)])
}

fn verdict(headers: &HeaderMap) -> Result<(), SendError> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    match text(GRPC_STATUS) {
        "0" => Ok(()),
        "" => Err(SendError::NotGrpc),
        status => {
            let message = text(GRPC_MESSAGE);
            // The message has percent escapes.
            let message = unescaped(message).unwrap_or_else(|| message.to_owned());
            Err(SendError::Grpc(shown(status), shown(&message)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::text::LONGEST_TEXT;

    #[test]
    fn a_server_s_message_becomes_one_line_of_bounded_length() {
        let mut headers = HeaderMap::new();
        headers.insert(GRPC_STATUS, HeaderValue::from_static("8"));
        headers.insert(GRPC_MESSAGE, HeaderValue::from_static("too%20many:%0A%1b[2J"));
        let message = verdict(&headers).unwrap_err().to_string();
        assert_eq!(message, r"it answered with gRPC status 8: too many:\n\u{1b}[2J");
        headers.insert(
            GRPC_MESSAGE,
            "é".repeat(5000).bytes().map(|byte| format!("%{byte:02X}")).collect::<String>().parse().unwrap(),
        );
        let message = verdict(&headers).unwrap_err().to_string();
        assert!(message.ends_with(&format!(": {}…", "é".repeat(LONGEST_TEXT / 2))), "{message}");
    }
}
