use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use http::header::{CONNECTION, CONTENT_TYPE, HeaderValue};
use http::{Request, Version};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tower_service::Service;

use self::check::{Fault, check, settle_length};
use self::explain::{Explain, Limits};
use super::stall::WriteStall;
use crate::{LARGEST_HEAD, MOST_HEADERS, hear_out};

mod check;
mod explain;

/// How long connections that are cut off may take to be gone.
const CUTTING_OFF: Duration = Duration::from_millis(100);

/// How a server treats its connections.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// How long the head of a request may take to arrive, and the first one from the connection on.
    pub header_timeout: Duration,
    /// How long a client may take nothing of its answer before the connection is cut.
    pub write_stall: Duration,
    /// How long requests in flight may go on after the stop was asked for.
    pub grace: Duration,
    /// The most bytes of a request's head; more is answered with 431.
    pub max_head: usize,
    /// Whether each request is told where it comes from, as its [`Peer`].
    pub tells_peer: bool,
}

impl Default for ServerOptions {
    /// Ten seconds for a head, a minute for a stalled answer, a minute of grace, [`LARGEST_HEAD`]; tells the peer.
    fn default() -> ServerOptions {
        ServerOptions {
            header_timeout: Duration::from_secs(10),
            write_stall: Duration::from_secs(60),
            grace: Duration::from_secs(60),
            max_head: LARGEST_HEAD,
            tells_peer: true,
        }
    }
}

/// The address of the client, which [`serve`] adds to the extensions of each request if it is told to.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub SocketAddr);

/// What is served: an axum `Router`, or something that knows its requests better.
pub trait App:
    Service<Request<Incoming>, Response = Response, Error = Infallible, Future: Send> + Clone + Send + Sync
{
}

impl<S> App for S where
    S: Service<Request<Incoming>, Response = Response, Error = Infallible, Future: Send> + Clone + Send + Sync
{
}

type Answer = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;
/// An [`App`] whose type is forgotten.
type Boxed = Arc<dyn Fn(Request<Incoming>) -> Answer + Send + Sync>;

/// Serves `app` over HTTP/1.1 and h2c on `listener` until `stop` resolves, then stops accepting, lets
/// what is in flight finish within the grace, and returns.
///
/// # Errors
///
/// Only if the listener itself is broken; a single connection's fault ends that connection.
pub async fn serve(
    listener: TcpListener,
    app: impl App + 'static,
    options: ServerOptions,
    stop: impl Future<Output = ()> + Send,
) -> io::Result<()> {
    let app: Boxed = Arc::new(move |request| Box::pin(app.clone().call(request)));
    serve_boxed(listener, app, options, std::pin::pin!(stop)).await
}

/// Not generic, and boxed: hyper's connections are compiled here, once, and not in every crate that serves something.
/// That would take longer than the rest of such a crate.
fn serve_boxed<'a>(
    listener: TcpListener,
    app: Boxed,
    options: ServerOptions,
    stop: Pin<&'a mut (dyn Future<Output = ()> + Send + 'a)>,
) -> Pin<Box<dyn Future<Output = io::Result<()>> + Send + 'a>> {
    Box::pin(accept(listener, app, options, stop))
}

async fn accept(
    listener: TcpListener,
    app: Boxed,
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
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut stop => break,
            Some(_) = connections.join_next() => continue,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) if is_connection_error(&error) => continue,
            Err(error) => {
                // Out of file descriptors, most likely: some connection will end; do not spin meanwhile.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        // A small response must not wait for the acknowledgement of the one before.
        let _ = stream.set_nodelay(true);
        let app = app.clone();
        let begun = Arc::new(AtomicBool::new(false));
        let service = hyper::service::service_fn({
            let begun = begun.clone();
            move |mut request: Request<Incoming>| {
                begun.store(true, Ordering::Relaxed);
                if options.tells_peer {
                    request.extensions_mut().insert(Peer(peer));
                }
                match check(&request) {
                    Ok(()) => {
                        settle_length(&mut request);
                        app(request)
                    }
                    Err(fault) => Box::pin(async move { Ok(refuse(fault, request).await) }),
                }
            }
        });
        let stream = Explain::new(WriteStall::new(stream, options.write_stall), begun.clone(), limits);
        let stream = TokioIo::new(stream);
        let connection = builder.serve_connection_with_upgrades(stream, service).into_owned();
        let connection = graceful.watch(connection);
        connections.spawn(async move {
            let mut connection = std::pin::pin!(connection);
            // The timeout for heads begins only when it is known which version of HTTP they are in. A client that never
            // gets so far is cut off here.
            let first = tokio::time::timeout(options.header_timeout, connection.as_mut()).await;
            let ended = match first {
                Ok(ended) => ended,
                Err(_) if begun.load(Ordering::Relaxed) => connection.await,
                Err(_) => {
                    tracing::debug!(%peer, "a connection brought no request in time");
                    return;
                }
            };
            if let Err(error) = ended {
                tracing::debug!(%error, "a connection ended early");
            }
        });
    }
    drop(listener);
    if tokio::time::timeout(options.grace, graceful.shutdown()).await.is_err() {
        tracing::warn!("requests were still in flight after {:?}; they are cut off", options.grace);
    }
    // Code that blocks its thread cannot be cut off, and is not waited for.
    let _ = tokio::time::timeout(CUTTING_OFF, connections.shutdown()).await;
    Ok(())
}

/// Answers a request that must not reach the application, and closes the connection: the bytes that follow may have been
/// meant differently from how they would be read.
async fn refuse((status, text): Fault, request: Request<Incoming>) -> Response {
    let is_http1 = request.version() <= Version::HTTP_11;
    let (parts, body) = request.into_parts();
    hear_out(&parts.headers, body).await;
    let mut response = Response::new(Body::from(format!("{text}\n")));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    if is_http1 {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

fn is_connection_error(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset
    )
}
