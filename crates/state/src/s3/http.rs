//! The HTTP client for S3, which is the one that flows use to call functions.

use std::time::Duration;

use axum::body::Body;
use faasflow_core::state::StateError;
use faasflow_http::HttpClient;
use http_body_util::BodyExt as _;
use object_store::ClientOptions;
use object_store::client::{
    HttpClient as StoreClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpResponseBody,
    HttpService,
};

/// How long it may take to connect.
const CONNECT: Duration = Duration::from_secs(5);

#[derive(Clone, Debug)]
pub(super) struct Http(HttpClient);

impl Http {
    /// Creates a client that trusts these authorities in addition to the public ones.
    pub(super) fn new(authorities: Option<&[u8]>) -> Result<Http, StateError> {
        let client = match authorities {
            None => HttpClient::new(CONNECT),
            Some(pem) => HttpClient::with_authorities(CONNECT, pem).map_err(|error| {
                StateError::misconfigured("the certificates for the S3 server cannot be used").with_source(error)
            })?,
        };
        Ok(Http(client))
    }
}

#[async_trait::async_trait]
impl HttpService for Http {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let response = self.0.send(request.map(Body::new)).await.map_err(|error| {
            let kind = if error.is_connect() { HttpErrorKind::Connect } else { HttpErrorKind::Request };
            HttpError::new(kind, error)
        })?;
        let (parts, body) = response.into_parts();
        let body = HttpResponseBody::new(body.map_err(|error| HttpError::new(HttpErrorKind::Interrupted, error)));
        Ok(HttpResponse::from_parts(parts, body))
    }
}

impl HttpConnector for Http {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<StoreClient> {
        Ok(StoreClient::new(self.clone()))
    }
}
