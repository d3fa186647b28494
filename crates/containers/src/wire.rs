//! The connections to an engine.
//!
//! bollard reads most answers whole, with no limit, and rejects an answer with a word that Docker does not use. So the
//! connections here end an answer that is too large, and the answers in which Podman uses words of its own are read here.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bollard::errors::Error;
use bollard::{API_DEFAULT_VERSION, BollardRequest, Docker};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{Method, Request, Response, Uri};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tower_service::Service;

use crate::address::Address;
use crate::error::{ANSWER_TIMEOUT, LARGEST_ANSWER, TooLarge};

/// How much is read of the reason for a refusal, in bytes.
const LARGEST_REASON: usize = 64 << 10;

type Body = <BollardRequest as Parts>::Body;

/// Gives a name to the type of bollard's bodies, which bollard does not export.
trait Parts {
    type Body;
}

impl<B> Parts for Request<B> {
    type Body = B;
}

/// A client of an engine. Clones share its connections.
#[derive(Clone)]
pub(crate) struct Wire {
    /// For answers that are read whole.
    whole: Client<Connector, Body>,
    /// For answers that are read while they arrive.
    streams: Client<Connector, Body>,
    /// The host in the URLs of requests.
    host: String,
}

impl Wire {
    pub(crate) fn new(address: &Address) -> Wire {
        let client = |most| {
            let connector = Connector { address: address.clone(), most };
            Client::builder(TokioExecutor::new()).build(connector)
        };
        let host = match address {
            Address::Socket(_) => "localhost".to_owned(),
            Address::Port(host) => host.clone(),
        };
        Wire { whole: client(LARGEST_ANSWER), streams: client(usize::MAX), host }
    }

    /// A client of bollard that uses these connections.
    pub(crate) fn docker(&self) -> Result<Docker, Error> {
        let client = self.whole.clone();
        let transport = move |request: BollardRequest| {
            let answer = client.request(request);
            async move { answer.await.map_err(Error::from) }
        };
        let address = format!("http://{}", self.host);
        Docker::connect_with_custom_transport(transport, Some(address), ANSWER_TIMEOUT, API_DEFAULT_VERSION)
    }

    /// Sends a GET request and reads the whole answer. `docker` knows the version of the API.
    pub(crate) async fn get<T: DeserializeOwned>(
        &self,
        docker: &Docker,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<T, Error> {
        let answer = self.send(&self.whole, docker, Method::GET, path, query).await?;
        let read = in_time(answer.into_body().collect()).await??.to_bytes();
        Ok(serde_json::from_slice(&read)?)
    }

    /// Sends a request whose answer is read while it arrives. It may never end.
    pub(crate) async fn stream(
        &self,
        docker: &Docker,
        method: Method,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<Incoming, Error> {
        Ok(self.send(&self.streams, docker, method, path, query).await?.into_body())
    }

    async fn send(
        &self,
        client: &Client<Connector, Body>,
        docker: &Docker,
        method: Method,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<Response<Incoming>, Error> {
        let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish();
        let version = docker.client_version();
        let request = Request::builder()
            .method(method)
            .uri(format!("http://{}/v{version}{path}?{query}", self.host))
            .body(bollard::body_full(Bytes::new()))?;
        let answer = in_time(client.request(request)).await??;
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        let read = in_time(Limited::new(answer.into_body(), LARGEST_REASON).collect()).await;
        let read = read.ok().and_then(Result::ok).map(http_body_util::Collected::to_bytes).unwrap_or_default();
        let message = reason(&read).unwrap_or_else(|| String::from_utf8_lossy(&read).trim().to_owned());
        Err(Error::DockerResponseServerError { status_code: status.as_u16(), message })
    }
}

/// Limits the time that an engine takes to begin an answer, or to finish one that is read whole.
async fn in_time<T>(work: impl Future<Output = T>) -> Result<T, Error> {
    tokio::time::timeout(Duration::from_secs(ANSWER_TIMEOUT), work).await.map_err(|_| Error::RequestTimeoutError)
}

/// The body of a refusal.
#[derive(Deserialize)]
struct Reason {
    message: String,
}

/// The reason in the body of a refusal, if it is one.
pub(crate) fn reason(text: &[u8]) -> Option<String> {
    serde_json::from_slice(text).ok().map(|Reason { message }| message)
}

/// Connects to an engine.
#[derive(Clone)]
struct Connector {
    address: Address,
    most: usize,
}

impl Service<Uri> for Connector {
    type Response = TokioIo<BoundedStream>;
    type Error = io::Error;
    type Future = BoxFuture<'static, io::Result<TokioIo<BoundedStream>>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let Connector { address, most } = self.clone();
        Box::pin(async move {
            let stream: Box<dyn Duplex> = match address {
                #[cfg(unix)]
                Address::Socket(path) => Box::new(tokio::net::UnixStream::connect(path).await?),
                #[cfg(not(unix))]
                Address::Socket(_) => return Err(io::ErrorKind::Unsupported.into()),
                Address::Port(address) => Box::new(TcpStream::connect(address).await?),
            };
            Ok(TokioIo::new(BoundedStream { stream, most, read: 0 }))
        })
    }
}

trait Duplex: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Duplex for T {}

/// A connection that fails once an answer is larger than allowed. The count begins anew with each request, because a
/// connection has one request at a time.
struct BoundedStream {
    stream: Box<dyn Duplex>,
    most: usize,
    read: usize,
}

impl Connection for BoundedStream {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl AsyncRead for BoundedStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buffer);
        self.read = self.read.saturating_add(buffer.filled().len() - before);
        if self.read > self.most {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, TooLarge)));
        }
        polled
    }
}

impl AsyncWrite for BoundedStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.read = 0;
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
