//! Our HTTP client, as the exporter's library wants one.

use std::time::Duration;

use async_trait::async_trait;
use axum::body::Body;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};

use crate::http::{BadAuthorities, read_body};

/// The most bytes of a trace server's answer that are read.
const ANSWER: u64 = 64 * 1024;

#[derive(Debug)]
pub(super) struct Client {
    client: crate::http::HttpClient,
    timeout: Duration,
}

impl Client {
    pub(super) fn new(authorities: Option<&[u8]>, timeout: Duration) -> Result<Client, BadAuthorities> {
        let client = match authorities {
            None => crate::http::HttpClient::new(timeout),
            Some(pem) => crate::http::HttpClient::with_authorities(timeout, pem)?,
        };
        Ok(Client { client, timeout })
    }
}

#[async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let exchange = async {
            let response = self.client.send(request.map(Body::from)).await?;
            let (parts, body) = response.into_parts();
            let body = read_body(body, ANSWER, self.timeout).await?;
            Ok(Response::from_parts(parts, body))
        };
        match tokio::time::timeout(self.timeout, exchange).await {
            Ok(answer) => answer,
            Err(_) => Err("no answer in time".into()),
        }
    }
}
