//! Asks a gateway.

use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use faasflow_runtime::http::{HttpClient, read_body};
use http::{HeaderMap, Method, Request, StatusCode};

use crate::args::Gateway;
use crate::error::Failure;

/// The largest answer, in bytes.
const LARGEST: u64 = 1 << 30;

/// A gateway to ask.
pub(crate) struct Client {
    base: String,
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
        let url = faasflow_core::parse_url(&gateway.gateway)
            .map_err(|fault| Failure::Unusable(format!("the gateway is said to be `{}`: {fault}", gateway.gateway)))?;
        let base = url.to_string().trim_end_matches('/').to_owned();
        Ok(Client { base, http: HttpClient::new(Duration::from_secs(5)) })
    }

    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Answer, Failure> {
        let mut request = Request::new(Body::from(body));
        *request.method_mut() = method;
        *request.uri_mut() = format!("{}{path}", self.base)
            .parse()
            .map_err(|error| Failure::Unusable(format!("`{path}` is no path: {error}")))?;
        *request.headers_mut() = headers;
        let unreachable = |why: String| {
            Failure::Unreachable(format!(
                "the gateway at {} cannot be reached: {why}; start one with `faasflow up`, or name another with `--gateway` or OPENFAAS_URL",
                self.base
            ))
        };
        let response = self.http.send(request).await.map_err(|error| {
            // The last cause says it best: "Connection refused".
            let mut last: &dyn std::error::Error = &error;
            while let Some(cause) = last.source() {
                last = cause;
            }
            unreachable(last.to_string())
        })?;
        let (parts, body) = response.into_parts();
        let body = read_body(body, LARGEST, Duration::MAX).await.map_err(|error| unreachable(error.to_string()))?;
        Ok(Answer { status: parts.status, headers: parts.headers, body })
    }

    /// Asks for JSON of the gateway's own.
    pub(crate) async fn json(
        &self,
        method: Method,
        path: &str,
        body: Option<&serde_json::Value>,
    ) -> Result<serde_json::Value, Failure> {
        let mut headers = HeaderMap::new();
        let body = match body {
            None => Bytes::new(),
            Some(value) => {
                headers.insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
                Bytes::from(value.to_string())
            }
        };
        let answer = self.send(method, path, headers, body).await?;
        let text = String::from_utf8_lossy(&answer.body);
        if !answer.status.is_success() {
            return Err(Failure::Failed(format!("the gateway answered {}: {}", answer.status, text.trim())));
        }
        serde_json::from_str(&text).map_err(|error| Failure::Failed(format!("the gateway answered no JSON: {error}")))
    }
}
