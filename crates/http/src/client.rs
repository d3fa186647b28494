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

use crate::{LARGEST_HEAD, MOST_ANSWER_HEADERS};
use connection::{Connector, Usage};
use credentials::authorize;
use resend::{Resend, is_repeatable};

/// The HTTP client of the process. It keeps connections, uses HTTP/1.1 over TCP and TLS, does not follow redirects (if
/// a function answers 302, that is its answer), and reads no proxy from the environment.
///
/// Cloning is cheap and shares the connections.
#[derive(Clone, Debug)]
pub struct HttpClient(Arc<Clients>);

#[derive(Debug)]
struct Clients {
    /// The most headers of an answer.
    most_headers: usize,
    pooled: Client<Connector<HttpsConnector<HttpConnector>>, Body>,
    /// Makes a new connection for each request. Requests that failed on a kept connection are sent again through this
    /// client, because the peer cannot be about to close a new connection.
    fresh: Client<Connector<HttpsConnector<HttpConnector>>, Body>,
}

impl HttpClient {
    /// A client that gives up a connection if it takes longer than `connect_timeout`. It trusts the same certificate
    /// authorities as browsers.
    #[must_use]
    pub fn new(connect_timeout: Duration) -> HttpClient {
        HttpClient::build(connect_timeout, public_authorities(), false, MOST_ANSWER_HEADERS)
    }

    /// The same, but answers may have this many headers instead of [`MOST_ANSWER_HEADERS`]. This is for programs that pass
    /// on the answers of others. It makes every answer slower: reading one takes about 3 ns for each header that it may have.
    #[must_use]
    pub fn with_most_headers(connect_timeout: Duration, most_headers: usize) -> HttpClient {
        HttpClient::build(connect_timeout, public_authorities(), false, most_headers)
    }

    /// The same, but it also trusts the CA certificates in `pem`.
    ///
    /// # Errors
    ///
    /// If there is no certificate in the text, or one cannot be read.
    pub fn with_authorities(connect_timeout: Duration, pem: &[u8]) -> Result<HttpClient, BadAuthorities> {
        Ok(HttpClient::build(connect_timeout, public_authorities_and(pem)?, false, MOST_ANSWER_HEADERS))
    }

    /// The same, but it uses only HTTP/2, over TLS or without, as gRPC does. It trusts the CA certificates in `pem` in
    /// addition to the public ones.
    ///
    /// # Errors
    ///
    /// If there is no certificate in the text, or one cannot be read.
    pub fn http2(connect_timeout: Duration, pem: Option<&[u8]>) -> Result<HttpClient, BadAuthorities> {
        let authorities = pem.map_or_else(|| Ok(public_authorities()), public_authorities_and)?;
        Ok(HttpClient::build(connect_timeout, authorities, true, MOST_ANSWER_HEADERS))
    }

    fn build(connect_timeout: Duration, authorities: RootCertStore, http2: bool, most_headers: usize) -> HttpClient {
        let mut tcp = HttpConnector::new();
        // A small request must not wait until the previous one is acknowledged.
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(connect_timeout));
        tcp.enforce_http(false);
        let tls = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("the provider supports the default TLS versions")
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
            // Shorter than the usual idle timeouts of servers, so that a kept connection is rarely about to be closed.
            // Node and uvicorn close connections after 5 seconds. Faasflow's server does after `read_timeout`, which is
            // 10 seconds by default.
            .pool_idle_timeout(Duration::from_secs(4))
            .http1_max_buf_size(LARGEST_HEAD)
            .http2_max_header_list_size(LARGEST_HEAD as u32)
            .http2_only(http2);
        // Without this limit, hyper's own applies, which has its room on the stack. The room for another limit is allocated
        // and filled for each answer.
        if most_headers != MOST_ANSWER_HEADERS {
            builder.http1_max_headers(most_headers);
        }
        let pooled = builder.build(Connector(connector.clone()));
        let fresh = builder.pool_max_idle_per_host(0).build(Connector(connector));
        HttpClient(Arc::new(Clients { most_headers, pooled, fresh }))
    }

    /// Sends a request and returns as soon as the head of the response has arrived. There is no timeout, because the
    /// caller knows its deadline. Credentials in the URL are sent as `Authorization`.
    ///
    /// The peer may close a kept connection at the very moment when a request is sent. If no byte of the answer has
    /// arrived, the request is sent once more over a new connection, provided that this is safe. It is safe for
    /// idempotent methods (RFC 9110, 9.2.2) and for requests with an `Idempotency-Key`, as long as no more than 64 KiB
    /// of their body were sent.
    ///
    /// # Errors
    ///
    /// If the peer cannot be reached, if the connection is lost, or if the answer is malformed.
    pub async fn send(&self, mut request: Request<Body>) -> Result<Response<Incoming>, HttpError> {
        authorize(&mut request);
        let resend = Resend::prepare(&mut request);
        let error = match self.begin(request).await {
            Ok(response) => return understood(response),
            Err(error) => self.failed(error),
        };
        // Only once: if a new connection ends without an answer, the peer probably died, and it may have executed the
        // request.
        match resend.filter(|_| error.is_idle_connection_closed()).and_then(|resend| resend.request()) {
            Some(request) => understood(self.begin_anew(request).await.map_err(|error| self.failed(error))?),
            None => Err(error),
        }
    }

    /// The same for a request that can be built as often as necessary, so that nothing of it has to be kept. `build` is called
    /// once more if the request is sent again. This makes no difference to what is sent, except that there is no limit on the
    /// body.
    ///
    /// # Errors
    ///
    /// The same as those of [`send`](HttpClient::send).
    pub async fn send_built(&self, build: impl Fn() -> Request<Body>) -> Result<Response<Incoming>, HttpError> {
        let build = || {
            let mut request = build();
            authorize(&mut request);
            request
        };
        let request = build();
        let is_repeatable = is_repeatable(&request);
        match self.begin(request).await.map_err(|error| self.failed(error)) {
            Err(error) if is_repeatable && error.is_idle_connection_closed() => {
                understood(self.begin_anew(build()).await.map_err(|error| self.failed(error))?)
            }
            answer => understood(answer?),
        }
    }

    /// This is not part of the future of `send`, which is compiled where it is awaited. Here, hyper's client is
    /// compiled only once.
    fn begin(&self, request: Request<Body>) -> ResponseFuture {
        self.0.pooled.request(request)
    }

    fn begin_anew(&self, request: Request<Body>) -> ResponseFuture {
        self.0.fresh.request(request)
    }

    fn failed(&self, source: hyper_util::client::legacy::Error) -> HttpError {
        HttpError(ErrorKind::Exchange { source, most_headers: self.0.most_headers })
    }
}

/// hyper decodes `chunked` and ignores any other coding, so that the encoded bytes would be taken for the payload.
fn understood(response: Response<Incoming>) -> Result<Response<Incoming>, HttpError> {
    let mut codings = response.headers().get_all(TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => Ok(response),
        (Some(only), None) if only.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked") => Ok(response),
        _ => Err(HttpError(ErrorKind::TransferEncoding)),
    }
}

/// An error, followed by its sources.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error: &&'a (dyn Error + 'static)| error.source())
}

/// Whether an error says that the peer sent something malformed, rather than that the connection was lost.
pub(crate) fn is_malformed(error: &(dyn Error + 'static)) -> bool {
    causes(error).any(|error| {
        match (error.downcast_ref::<hyper::Error>(), error.downcast_ref::<std::io::Error>()) {
            (Some(error), _) => error.is_parse(),
            // The framing of a chunked body is malformed.
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

/// The CA certificates cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BadAuthorities {
    /// A PEM block is not a certificate.
    #[error("it contains a certificate that cannot be read")]
    Unreadable(#[source] rustls::pki_types::pem::Error),
    /// A certificate cannot be that of an authority.
    #[error("it contains a certificate that is not a CA certificate")]
    Refused(#[source] rustls::Error),
    /// There is no certificate.
    #[error("it contains no certificate")]
    None,
}

/// A request got no response. The text of this error contains no URL, and so no secrets.
#[derive(Debug)]
pub struct HttpError(ErrorKind);

#[derive(Debug)]
enum ErrorKind {
    Exchange {
        source: hyper_util::client::legacy::Error,
        /// The most headers that the answer may have.
        most_headers: usize,
    },
    /// The answer has a `Transfer-Encoding` other than `chunked`.
    TransferEncoding,
}

impl HttpError {
    fn exchange(&self) -> Option<&hyper_util::client::legacy::Error> {
        match &self.0 {
            ErrorKind::Exchange { source, .. } => Some(source),
            ErrorKind::TransferEncoding => None,
        }
    }

    /// Whether no connection could be made. The peer has then seen nothing of the request.
    #[must_use]
    pub fn is_connect(&self) -> bool {
        self.exchange().is_some_and(hyper_util::client::legacy::Error::is_connect)
    }

    /// Whether no connection could be made because this process or its system has no file descriptors left. This is not
    /// the peer's fault.
    #[must_use]
    pub fn is_out_of_files(&self) -> bool {
        let out = |error: &(dyn Error + 'static)| error.downcast_ref().is_some_and(crate::is_out_of_files);
        self.is_connect() && self.exchange().is_some_and(|error| causes(error).any(out))
    }

    /// Whether a kept connection was closed before any byte of the answer arrived.
    fn is_idle_connection_closed(&self) -> bool {
        let Some(connected) = self.exchange().and_then(|error| error.connect_info()) else { return false };
        let mut extensions = Extensions::new();
        connected.get_extras(&mut extensions);
        !self.is_request_body() && extensions.get::<Usage>().is_some_and(Usage::is_asked_again)
    }

    /// Whether the body of the request could not be read completely, so that the peer got only a part of it.
    #[must_use]
    pub fn is_request_body(&self) -> bool {
        self.exchange().is_some_and(|error| causes(error).any(<dyn Error>::is::<axum::Error>))
    }

    fn is_head_too_large(&self) -> bool {
        let too_large = |error: &(dyn Error + 'static)| {
            error.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_parse_too_large)
        };
        self.is_unusable_answer() && self.exchange().is_some_and(|error| causes(error).any(too_large))
    }

    /// Whether the peer's answer is not HTTP, or its head is too large. The peer would answer the same again.
    #[must_use]
    pub fn is_unusable_answer(&self) -> bool {
        // The body of a request may come from another peer, whose fault can look the same.
        self.exchange().is_none_or(|error| !self.is_request_body() && is_malformed(error))
    }
}

impl std::fmt::Display for HttpError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let (ErrorKind::Exchange { most_headers, .. }, true) = (&self.0, self.is_head_too_large()) {
            return write!(f, "the head of the answer has more than 1 MiB, or more than {most_headers} headers");
        }
        f.write_str(if self.exchange().is_none() {
            "the answer has a `Transfer-Encoding` other than `chunked`"
        } else if self.is_connect() {
            "could not connect"
        } else if self.is_request_body() {
            "the body of the request was cut off"
        } else if self.is_unusable_answer() {
            "the head of the answer cannot be read"
        } else {
            "the connection was lost"
        })
    }
}

impl Error for HttpError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.exchange()?.source()
    }
}
