use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::response::Response;
use faasflow_core::{code, headers};
use http::header::{CONNECTION, EXPECT, HeaderValue, RETRY_AFTER};
use http::{Request, StatusCode, Version};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tower_service::Service;

use self::answer::{Answer, Answers};
use self::check::{Refusal, check, settle_length};
use self::explain::{Explain, Limits};
use self::heads::{Heads, InFlight, PendingHead};
use self::refuse::{CountedStream, TurnAway};
use super::stall::WriteStall;
use crate::{LARGEST_HEAD, MOST_HEADERS, drain, file_limit, memory_limit, refusal};

mod answer;
mod check;
mod explain;
mod frames;
mod heads;
mod refuse;

/// How long to wait for cut-off connections to end.
const CUT_OFF_TIMEOUT: Duration = Duration::from_millis(100);

/// The cost of an idle connection in bytes.
const CONNECTION_COST: u64 = 64 * 1024;
/// How many connections beyond the limit get an answer at the same time.
const MAX_REFUSING: usize = 32;

/// How a server treats its connections.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// How long the head of a request may take to arrive. For the first request, this includes the time since the
    /// connection was made.
    pub header_timeout: Duration,
    /// How long a client may read nothing of its answer before the connection is cut off.
    pub write_stall: Duration,
    /// How long requests in flight may continue after the server was asked to stop.
    pub grace: Duration,
    /// The most bytes of a request's head. Larger heads are answered with 431.
    pub max_head: usize,
    /// The most connections. Further ones are answered with 503 and closed.
    pub max_connections: usize,
    /// The most bytes of all heads that are being read or belong to requests in flight. Heads up to 16 KiB do not
    /// count. If there is no room for a head, it is answered with 503.
    pub max_heads: u64,
    /// Whether to add the client's address to each request, as a [`Peer`].
    pub insert_peer: bool,
}

impl ServerOptions {
    /// The defaults, with limits that fit this much memory, in bytes, and the limit of open files: a quarter of the
    /// memory is for connections, an eighth for heads, and half of the files are for connections.
    #[must_use]
    pub fn for_memory(memory: u64) -> ServerOptions {
        let connections = usize::try_from((memory / 4 / CONNECTION_COST).min(file_limit() / 2)).unwrap_or(usize::MAX);
        ServerOptions {
            header_timeout: Duration::from_secs(10),
            write_stall: Duration::from_secs(60),
            grace: Duration::from_secs(60),
            max_head: LARGEST_HEAD,
            max_connections: connections.clamp(16, 100_000),
            // There is always room for one head of the largest size, and for what follows it in the same read.
            max_heads: (memory / 8).max(2 * LARGEST_HEAD as u64),
            insert_peer: true,
        }
    }
}

impl Default for ServerOptions {
    /// Ten seconds for a head, a minute for a stalled answer, a minute of grace, [`LARGEST_HEAD`], and limits [for the
    /// memory](ServerOptions::for_memory) that this process may use. Adds the peer.
    fn default() -> ServerOptions {
        ServerOptions::for_memory(memory_limit())
    }
}

/// The address of the client. If [`ServerOptions::insert_peer`] is set, [`serve`] adds it to the extensions of each
/// request.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub SocketAddr);

/// The service of a server: an axum `Router`, or a service that knows its requests better.
pub trait App:
    Service<Request<Incoming>, Response = Response, Error = Infallible, Future: Send> + Clone + Send + Sync
{
}

impl<S> App for S where
    S: Service<Request<Incoming>, Response = Response, Error = Infallible, Future: Send> + Clone + Send + Sync
{
}

type Answering = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;
/// A type-erased [`App`].
type BoxedApp = Arc<dyn Fn(Request<Incoming>) -> Answering + Send + Sync>;

/// Serves `app` over HTTP/1.1 and h2c on `listener` until `stop` resolves. Then it accepts no more connections, lets
/// requests in flight finish within the grace period, and returns.
///
/// # Errors
///
/// Only if the listener itself fails. An error on a connection ends only that connection.
pub async fn serve(
    listener: TcpListener,
    app: impl App + 'static,
    options: ServerOptions,
    stop: impl Future<Output = ()> + Send,
) -> io::Result<()> {
    let app: BoxedApp = Arc::new(move |request| Box::pin(app.clone().call(request)));
    serve_boxed(listener, app, options, std::pin::pin!(stop)).await
}

/// Boxed and not generic, so that hyper's connections are compiled once, here, and not in every crate that serves
/// something. That would take longer than compiling the rest of such a crate.
fn serve_boxed<'a>(
    listener: TcpListener,
    app: BoxedApp,
    options: ServerOptions,
    stop: Pin<&'a mut (dyn Future<Output = ()> + Send + 'a)>,
) -> Pin<Box<dyn Future<Output = io::Result<()>> + Send + 'a>> {
    Box::pin(accept(listener, app, options, stop))
}

async fn accept(
    listener: TcpListener,
    app: BoxedApp,
    options: ServerOptions,
    mut stop: Pin<&mut (dyn Future<Output = ()> + Send)>,
) -> io::Result<()> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(options.header_timeout)
        .max_headers(MOST_HEADERS)
        .max_buf_size(options.max_head.max(8192));
    builder.http2().timer(TokioTimer::new()).max_header_list_size(u32::try_from(options.max_head).unwrap_or(u32::MAX));

    let limits = Limits { bytes: options.max_head, headers: MOST_HEADERS };
    let graceful = GracefulShutdown::new();
    let heads = Heads::new(options.max_heads);
    let mut connections = JoinSet::new();
    // Its strong count is the number of connections plus one.
    let counted = Arc::new(());
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept(), if connections.len() < options.max_connections + MAX_REFUSING => accepted,
            () = &mut stop => break,
            Some(_) = connections.join_next() => continue,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) if is_connection_error(&error) => continue,
            Err(error) => {
                // Most likely there are no file descriptors left. Wait until a connection ends, and do not spin.
                tracing::warn!(%error, "Cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        // A small response must not wait until the previous one is acknowledged.
        let _ = stream.set_nodelay(true);
        if Arc::strong_count(&counted) > options.max_connections {
            tracing::debug!(%peer, "too many connections: refused one");
            let limit = faasflow_core::counted(options.max_connections as u64, "connection");
            let text = format!("the limit of {limit} is reached; try again later");
            connections.spawn(TurnAway::new(stream, &text));
            continue;
        }
        let (begun, answering) = (Arc::<AtomicBool>::default(), Arc::<AtomicBool>::default());
        let unread = PendingHead::new(heads.clone());
        let answers = Answers::default();
        let connection = Connection {
            app: app.clone(),
            peer: options.insert_peer.then_some(Peer(peer)),
            begun: begun.clone(),
            answering: answering.clone(),
            unread: unread.clone(),
            answers: answers.clone(),
            crowd: ConnectionCount { counted: counted.clone(), most: options.max_connections },
        };
        let stream = CountedStream::new(WriteStall::new(stream, options.write_stall), unread.clone());
        let stream = TokioIo::new(Explain::new(stream, answering, unread.clone(), limits));
        let service = hyper::service::service_fn(move |request| connection.answer(request));
        let connection = builder.serve_connection_with_upgrades(stream, service).into_owned();
        let connection = graceful.watch(connection);
        let (header_timeout, write_stall) = (options.header_timeout, options.write_stall);
        connections.spawn(async move {
            let mut connection = std::pin::pin!(connection);
            // The timeout for heads begins only when the version of HTTP is known. A client that never gets that far is
            // cut off here.
            let mut ended = tokio::time::timeout(header_timeout, connection.as_mut()).await;
            if ended.is_err() && !begun.load(Ordering::Relaxed) {
                tracing::debug!(%peer, "no request arrived on a connection in time");
                return;
            }
            let often = (write_stall / 4).clamp(Duration::from_millis(20), Duration::from_secs(15));
            let ended = loop {
                match ended {
                    Ok(ended) => break ended,
                    Err(_) if answers.give_up(write_stall, unread.in_flight()) => {
                        tracing::debug!(%peer, "a client read nothing of its answers");
                        return;
                    }
                    Err(_) => ended = tokio::time::timeout(often, connection.as_mut()).await,
                }
            };
            if let Err(error) = ended {
                tracing::debug!(%error, "a connection ended early");
            }
        });
    }
    drop(listener);
    if tokio::time::timeout(options.grace, graceful.shutdown()).await.is_err() {
        tracing::warn!("Requests were still in flight after {:?} and were cut off", options.grace);
    }
    // Code that blocks its thread cannot be cut off. Do not wait for it.
    let _ = tokio::time::timeout(CUT_OFF_TIMEOUT, connections.shutdown()).await;
    Ok(())
}

/// The number of connections.
#[derive(Clone)]
struct ConnectionCount {
    counted: Arc<()>,
    most: usize,
}

impl ConnectionCount {
    /// Whether there are so many connections that idle ones should be closed.
    fn is_dense(&self) -> bool {
        Arc::strong_count(&self.counted) > self.most - self.most / 4
    }
}

/// Answers the requests of one connection.
struct Connection {
    app: BoxedApp,
    peer: Option<Peer>,
    /// Whether a request has arrived.
    begun: Arc<AtomicBool>,
    /// Whether what is written is an answer of the application. The stream clears it.
    answering: Arc<AtomicBool>,
    unread: PendingHead,
    answers: Answers,
    crowd: ConnectionCount,
}

impl Connection {
    fn answer(
        &self,
        mut request: Request<Incoming>,
    ) -> impl Future<Output = Result<http::Response<Answer>, Infallible>> + Send + use<> {
        self.begun.store(true, Ordering::Relaxed);
        self.answering.store(true, Ordering::Relaxed);
        if let Some(peer) = self.peer {
            request.extensions_mut().insert(peer);
        }
        let is_http1 = request.version() <= Version::HTTP_11;
        let room = self.unread.read(request.headers());
        let answering: Answering = match check(&request) {
            Err(fault) => Box::pin(async move { Ok(refuse(fault, request).await) }),
            Ok(()) if room.is_none() => Box::pin(async move { Ok(turn_away(request).await) }),
            Ok(()) => {
                settle_length(&mut request);
                (self.app)(request)
            }
        };
        let in_flight = room.unwrap_or_else(|| InFlight::uncounted(&self.unread));
        let closes = is_http1 && self.crowd.is_dense();
        let answers = self.answers.clone();
        async move {
            let mut response = answering.await?;
            if closes {
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            Ok(response.map(|body| match is_http1 {
                true => Answer::Http1(body, Some(in_flight)),
                false => answers.add(body, in_flight),
            }))
        }
    }
}

/// Answers a request that must not reach the application, and closes the connection, because the following bytes might
/// be interpreted in another way than the client meant them.
async fn refuse((status, code, text): Refusal, request: Request<Incoming>) -> Response {
    let is_http1 = request.version() <= Version::HTTP_11;
    let (mut parts, body) = request.into_parts();
    // The other headers may be many, and are dropped now.
    let expected = parts.headers.remove(EXPECT).map(|value| (EXPECT, value));
    drop(parts);
    drain(&expected.into_iter().collect(), body).await;
    let mut response = refusal(status, code, text);
    if is_http1 {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// Answers a request whose head has no room.
async fn turn_away(request: Request<Incoming>) -> Response {
    let mut response = refuse((StatusCode::SERVICE_UNAVAILABLE, code::NO_ROOM, refuse::NO_ROOM), request).await;
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(refuse::seconds()));
    response.headers_mut().insert(headers::BUSY, HeaderValue::from_static("true"));
    response
}

fn is_connection_error(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset
    )
}
