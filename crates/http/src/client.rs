use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use http::header::TRANSFER_ENCODING;
use http::{Extensions, Request, Response};
use hyper::body::Incoming;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Client, ResponseFuture};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

mod connection;
mod credentials;
mod resend;

use crate::{LARGEST_HEAD, MOST_HEADERS};
use connection::{Connector, Usage};
use credentials::authorize;
use resend::Resend;

/// The one HTTP client of the process: keeps connections, speaks HTTP/1.1 over TCP and TLS, follows no
/// redirects (a function's 302 is its answer) and reads no proxy from the environment.
///
/// Cloning is cheap and shares the connections.
#[derive(Clone, Debug)]
pub struct HttpClient(Arc<Clients>);

#[derive(Debug)]
struct Clients {
    kept: Client<Connector<HttpsConnector<HttpConnector>>, Body>,
    /// Makes a connection for each request. What has come to nothing on a kept connection is sent again here, where the
    /// peer cannot have been about to close it.
    fresh: Client<Connector<HttpsConnector<HttpConnector>>, Body>,
}

impl HttpClient {
    /// A client whose connections are given up when they cannot be made within `connect_timeout`. It trusts the
    /// certificate authorities that browsers do.
    #[must_use]
    pub fn new(connect_timeout: Duration) -> HttpClient {
        HttpClient::build(connect_timeout, public_authorities(), false)
    }

    /// The same, which trusts more authorities: their certificates, one after the other in PEM.
    ///
    /// # Errors
    ///
    /// If there is none in the text, or one cannot be read.
    pub fn with_authorities(connect_timeout: Duration, pem: &[u8]) -> Result<HttpClient, BadAuthorities> {
        Ok(HttpClient::build(connect_timeout, public_authorities_and(pem)?, false))
    }

    /// The same, which speaks HTTP/2 and nothing else, also over bare TCP, as gRPC does. It trusts the authorities in
    /// `pem` besides the public ones.
    ///
    /// # Errors
    ///
    /// If there is none in that text, or one cannot be read.
    pub fn http2(connect_timeout: Duration, pem: Option<&[u8]>) -> Result<HttpClient, BadAuthorities> {
        let authorities = pem.map_or_else(|| Ok(public_authorities()), public_authorities_and)?;
        Ok(HttpClient::build(connect_timeout, authorities, true))
    }

    fn build(connect_timeout: Duration, authorities: RootCertStore, http2: bool) -> HttpClient {
        let mut tcp = HttpConnector::new();
        // Small requests must not wait for the acknowledgement of the one before.
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(connect_timeout));
        tcp.enforce_http(false);
        let tls = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("the provider has the versions that are enabled")
            .with_root_certificates(authorities)
            .with_no_client_auth();
        let connector = hyper_rustls::HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http();
        let connector = match http2 {
            false => connector.enable_http1().wrap_connector(tcp),
            true => connector.enable_http2().wrap_connector(tcp),
        };
        let mut builder = Client::builder(TokioExecutor::new());
        builder
            .pool_timer(TokioTimer::new())
            // Below the idle timeouts usual for servers, so that a kept connection is seldom one that the peer is about
            // to close: Node and uvicorn do after 5 seconds, our own server after `read_timeout`, 10 unless set.
            .pool_idle_timeout(Duration::from_secs(4))
            .http1_max_buf_size(LARGEST_HEAD)
            .http1_max_headers(MOST_HEADERS)
            .http2_max_header_list_size(LARGEST_HEAD as u32)
            .http2_only(http2);
        let kept = builder.build(Connector(connector.clone()));
        let fresh = builder.pool_max_idle_per_host(0).build(Connector(connector));
        HttpClient(Arc::new(Clients { kept, fresh }))
    }

    /// Sends a request and returns as soon as the head of the response is there. There is no timeout
    /// here: the caller knows its deadline. Credentials in the URL are sent as `Authorization`.
    ///
    /// A connection that was kept may be closed by the peer just when the request is sent. If nothing has come back then,
    /// the request is sent once more over a new connection, provided that this does no harm. That is so for the methods
    /// that are idempotent (RFC 9110, 9.2.2), and for requests with an `Idempotency-Key`, as long as no more than 64 KiB of
    /// their body were sent.
    ///
    /// # Errors
    ///
    /// If the peer cannot be reached, if the exchange breaks off, or if the answer cannot be understood.
    pub async fn send(&self, mut request: Request<Body>) -> Result<Response<Incoming>, HttpError> {
        authorize(&mut request);
        let resend = Resend::prepare(&mut request);
        let error = match self.begin(request).await {
            Ok(response) => return understood(response),
            Err(error) => HttpError(ErrorKind::Exchange(error)),
        };
        // Once: on a new connection, an end without an answer is the peer's death, and it may have executed the request.
        match resend.filter(|_| error.is_idle_connection_closed()).and_then(|resend| resend.request()) {
            Some(request) => {
                understood(self.begin_anew(request).await.map_err(|error| HttpError(ErrorKind::Exchange(error)))?)
            }
            None => Err(error),
        }
    }

    /// No part of the future of `send`, which is compiled where it is awaited: hyper's client is compiled here, once.
    fn begin(&self, request: Request<Body>) -> ResponseFuture {
        self.0.kept.request(request)
    }

    fn begin_anew(&self, request: Request<Body>) -> ResponseFuture {
        self.0.fresh.request(request)
    }
}

/// hyper undoes `chunked`, and passes over any other coding: what is left would be taken for the payload.
fn understood(response: Response<Incoming>) -> Result<Response<Incoming>, HttpError> {
    let mut codings = response.headers().get_all(TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => Ok(response),
        (Some(only), None) if only.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked") => Ok(response),
        _ => Err(HttpError(ErrorKind::TransferEncoding)),
    }
}

/// An error and what caused it, one after the other.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error: &&'a (dyn Error + 'static)| error.source())
}

/// Whether an error of an exchange says that what the peer sent cannot be understood, and not that it broke off.
pub(crate) fn is_malformed(error: &(dyn Error + 'static)) -> bool {
    causes(error).any(|error| {
        match (error.downcast_ref::<hyper::Error>(), error.downcast_ref::<std::io::Error>()) {
            (Some(error), _) => error.is_parse(),
            // The framing of a chunked body.
            (_, Some(error)) => {
                matches!(error.kind(), std::io::ErrorKind::InvalidInput | std::io::ErrorKind::InvalidData)
            }
            _ => false,
        }
    })
}

fn public_authorities_and(pem: &[u8]) -> Result<RootCertStore, BadAuthorities> {
    let mut authorities = public_authorities();
    let mut count = 0;
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(BadAuthorities::Unreadable)?;
        authorities.add(certificate).map_err(BadAuthorities::Refused)?;
        count += 1;
    }
    if count == 0 {
        return Err(BadAuthorities::None);
    }
    Ok(authorities)
}

fn public_authorities() -> RootCertStore {
    RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() }
}

/// Certificates of authorities that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BadAuthorities {
    /// A block that is no certificate in PEM.
    #[error("a certificate cannot be read")]
    Unreadable(#[source] rustls::pki_types::pem::Error),
    /// A certificate that no authority can have.
    #[error("a certificate is not that of an authority")]
    Refused(#[source] rustls::Error),
    /// No certificate at all.
    #[error("there is no certificate in it")]
    None,
}

/// A request that got no response. Its text names no URL, so no secret in one.
#[derive(Debug)]
pub struct HttpError(ErrorKind);

#[derive(Debug)]
enum ErrorKind {
    Exchange(hyper_util::client::legacy::Error),
    /// The answer is in a transfer coding that is not `chunked`.
    TransferEncoding,
}

impl HttpError {
    fn exchange(&self) -> Option<&hyper_util::client::legacy::Error> {
        match &self.0 {
            ErrorKind::Exchange(error) => Some(error),
            ErrorKind::TransferEncoding => None,
        }
    }

    /// Whether no connection could be made: the peer has seen nothing of the request.
    #[must_use]
    pub fn is_connect(&self) -> bool {
        self.exchange().is_some_and(hyper_util::client::legacy::Error::is_connect)
    }

    /// Whether no connection could be made because this process, or its system, has no more files. The peer has no part in
    /// that.
    #[must_use]
    pub fn is_out_of_files(&self) -> bool {
        let out = |error: &(dyn Error + 'static)| error.downcast_ref().is_some_and(crate::is_out_of_files);
        self.is_connect() && self.exchange().is_some_and(|error| causes(error).any(out))
    }

    /// Whether a connection that was kept was closed before anything of the answer came.
    fn is_idle_connection_closed(&self) -> bool {
        let Some(connected) = self.exchange().and_then(|error| error.connect_info()) else { return false };
        let mut extensions = Extensions::new();
        connected.get_extras(&mut extensions);
        !self.is_request_body() && extensions.get::<Usage>().is_some_and(Usage::is_asked_again)
    }

    /// Whether the body of the request could not be read to its end, so that the peer got a part of it.
    #[must_use]
    pub fn is_request_body(&self) -> bool {
        self.exchange().is_some_and(|error| causes(error).any(<dyn Error>::is::<axum::Error>))
    }

    /// Whether the peer answered with something that is not HTTP, or with a head that is too large: it would again.
    #[must_use]
    pub fn is_unusable_answer(&self) -> bool {
        // A request's body may come from a peer of its own, which can be at fault the same way.
        self.exchange().is_none_or(|error| !self.is_request_body() && is_malformed(error))
    }
}

impl std::fmt::Display for HttpError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.exchange().is_none() {
            "the answer is in a `Transfer-Encoding` other than `chunked`"
        } else if self.is_connect() {
            "could not connect"
        } else if self.is_request_body() {
            "the body of the request broke off"
        } else if self.is_unusable_answer() {
            "the head of the answer cannot be read"
        } else {
            "the connection broke off"
        })
    }
}

impl Error for HttpError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.exchange()?.source()
    }
}
