//! The load: each client keeps a connection, sends a request, waits for the answer, and sends the next one.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST};
use http::{HeaderName, HeaderValue, Method, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::{AbortHandle, JoinSet};

use crate::Failure;

/// What to request, and where.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    pub(crate) path: String,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    pub(crate) body: Bytes,
    /// The length of the answer in bytes.
    pub(crate) answer: usize,
}

impl Target {
    /// A POST with a body of this size.
    pub(crate) fn new(address: SocketAddr, path: &str, body: usize) -> Target {
        Target::with_body(address, path, vec![b'x'; body].into())
    }

    /// A POST with this body, which is also the answer.
    pub(crate) fn with_body(address: SocketAddr, path: &str, body: Bytes) -> Target {
        Target { address, path: path.to_owned(), headers: Vec::new(), answer: body.len(), body }
    }

    /// Expects an answer of this length in bytes.
    pub(crate) fn answered_with(mut self, answer: usize) -> Target {
        self.answer = answer;
        self
    }

    pub(crate) fn header(mut self, name: HeaderName, value: HeaderValue) -> Target {
        self.headers.push((name, value));
        self
    }
}

/// The results of a load.
#[derive(Debug, Default)]
pub(crate) struct Sample {
    pub(crate) latencies_us: Vec<f64>,
    pub(crate) seconds: f64,
}

/// A kept connection.
#[derive(Debug)]
pub(crate) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    host: HeaderValue,
    driving: AbortHandle,
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> Result<Connection, Failure> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (sender, driving) = http1::handshake(TokioIo::new(stream)).await?;
        let driving = tokio::spawn(driving).abort_handle();
        Ok(Connection { sender, host: HeaderValue::from_str(&address.to_string())?, driving })
    }

    /// Returns as soon as the head of the answer has arrived.
    pub(crate) async fn begin(&mut self, target: &Target) -> Result<Response<Incoming>, Failure> {
        let mut request = Request::new(Full::new(target.body.clone()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = target.path.parse()?;
        let headers = request.headers_mut();
        headers.insert(HOST, self.host.clone());
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        for (name, value) in &target.headers {
            headers.insert(name.clone(), value.clone());
        }
        self.sender.ready().await?;
        Ok(self.sender.send_request(request).await?)
    }

    /// The body of the answer. The status must be a success.
    pub(crate) async fn ask(&mut self, target: &Target) -> Result<Bytes, Failure> {
        let (parts, body) = self.begin(target).await?.into_parts();
        let body = body.collect().await?.to_bytes();
        if parts.status.is_success() {
            return Ok(body);
        }
        Err(format!("{} answered {}: {}", target.path, parts.status, String::from_utf8_lossy(&body)).into())
    }

    /// The same, but checks only the length of the answer. It is not copied, so that the load itself stays cheap.
    pub(crate) async fn echoed(&mut self, target: &Target) -> Result<(), Failure> {
        let (parts, mut body) = self.begin(target).await?.into_parts();
        let mut length = 0;
        while let Some(frame) = body.frame().await {
            length += frame?.data_ref().map_or(0, Bytes::len);
        }
        if parts.status.is_success() && length == target.answer {
            return Ok(());
        }
        Err(format!("{} answered {} and {length} bytes", target.path, parts.status).into())
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driving.abort();
    }
}

/// Runs a number of clients for a while. The first answer of each does not count, because connections are made and
/// caches fill.
pub(crate) async fn closed_loop(target: &Target, clients: usize, length: Duration) -> Result<Sample, Failure> {
    let mut opened = JoinSet::new();
    for _ in 0..clients {
        let target = target.clone();
        opened.spawn(async move {
            let mut connection = Connection::open(target.address).await?;
            connection.echoed(&target).await?;
            Ok::<_, Failure>((connection, target))
        });
    }
    let mut ready = Vec::with_capacity(clients);
    while let Some(connection) = opened.join_next().await {
        ready.push(connection??);
    }
    let begun = Instant::now();
    let end = begun + length;
    let mut running = JoinSet::new();
    for (mut connection, target) in ready {
        running.spawn(async move {
            let mut latencies_us = Vec::new();
            let mut sent = Instant::now();
            while sent < end {
                connection.echoed(&target).await?;
                let now = Instant::now();
                latencies_us.push((now - sent).as_secs_f64() * 1e6);
                sent = now;
            }
            Ok::<_, Failure>(latencies_us)
        });
    }
    let mut latencies_us = Vec::new();
    while let Some(client) = running.join_next().await {
        latencies_us.extend(client??);
    }
    Ok(Sample { latencies_us, seconds: begun.elapsed().as_secs_f64() })
}
