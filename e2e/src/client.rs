//! Sends requests and reads their answers.

use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use faasflow_http::{HttpClient, read_body};
use http::{HeaderMap, Method, Request, StatusCode};

/// The time limit for an answer.
const PATIENCE: Duration = Duration::from_secs(90);

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body[..self.body.len().min(400)]).into_owned()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    pub(crate) fn expect(self, status: u16) -> Result<Answer, String> {
        if self.status.as_u16() == status {
            Ok(self)
        } else {
            Err(format!("it was answered with {} instead of {status}: {}", self.status, self.text()))
        }
    }
}

/// Sends requests. Clones share their connections.
#[derive(Clone)]
pub(crate) struct Client(HttpClient);

impl Client {
    pub(crate) fn new() -> Client {
        Client(HttpClient::new(Duration::from_secs(5)))
    }

    pub(crate) async fn send(
        &self,
        method: Method,
        url: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Result<Answer, String> {
        let mut request = Request::builder().method(method).uri(url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(body.into()).map_err(|error| error.to_string())?;
        let exchange = async {
            let response = self.0.send(request).await.map_err(|error| faasflow_core::chain(&error))?;
            let (parts, body) = response.into_parts();
            let body = read_body(body, 1 << 30, Duration::from_secs(60)).await.map_err(|error| error.to_string())?;
            Ok(Answer { status: parts.status, headers: parts.headers, body })
        };
        let late = |_| format!("{url} did not answer within {PATIENCE:?}");
        tokio::time::timeout(PATIENCE, exchange).await.map_err(late)?
    }

    pub(crate) async fn get(&self, url: &str) -> Result<Answer, String> {
        self.send(Method::GET, url, &[], Body::empty()).await
    }

    /// Waits until all functions of a gateway accept requests. The first time, they have to be built.
    pub(crate) async fn until_ready(&self, gateway: &str) -> Result<(), String> {
        let mut waiting = String::new();
        for _ in 0..3000 {
            let answer = self.get(&format!("{gateway}/system/functions")).await;
            match answer {
                Ok(answer) if answer.status.is_success() => {
                    let list: serde_json::Value = serde_json::from_slice(&answer.body).map_err(|e| e.to_string())?;
                    let list = list.as_array().cloned().unwrap_or_default();
                    // OpenFaaS's gateway omits a zero.
                    let missing =
                        list.iter().filter(|function| function["availableReplicas"].as_u64().unwrap_or(0) == 0);
                    let missing: Vec<&str> = missing.filter_map(|function| function["name"].as_str()).collect();
                    if missing.is_empty() && !list.is_empty() {
                        return Ok(());
                    }
                    waiting = missing.join(", ");
                }
                Ok(answer) => waiting = format!("{}: {}", answer.status, answer.text()),
                Err(why) => waiting = why,
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Err(format!("not ready: {waiting}"))
    }
}
