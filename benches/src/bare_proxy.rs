//! A reverse proxy on bare hyper in front of one function. This is what any gateway costs on this machine: no router,
//! no counts, no ids, no time limits. Bodies are streamed in both directions.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use http::header::{CONNECTION, HOST};
use http::{HeaderValue, Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};

use crate::Failure;

type Connection = SendRequest<Incoming>;

struct Proxy {
    function: SocketAddr,
    host: HeaderValue,
    /// Idle connections. A connection can be reused when its answer has been read.
    idle: Mutex<Vec<Connection>>,
}

/// Serves until the process ends.
pub(crate) async fn serve(address: SocketAddr, function: SocketAddr) -> Result<(), Failure> {
    let host = HeaderValue::from_str(&function.to_string())?;
    let proxy = Arc::new(Proxy { function, host, idle: Mutex::default() });
    let listener = TcpListener::bind(address).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        let _ = stream.set_nodelay(true);
        let proxy = proxy.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let proxy = proxy.clone();
                async move { proxy.pass(request).await }
            });
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

impl Proxy {
    async fn pass(&self, mut request: Request<Incoming>) -> io::Result<Response<Incoming>> {
        let mut connection = self.connection().await?;
        request.headers_mut().remove(CONNECTION);
        request.headers_mut().insert(HOST, self.host.clone());
        let mut response = connection.send_request(request).await.map_err(io::Error::other)?;
        response.headers_mut().remove(CONNECTION);
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        Ok(response)
    }

    async fn connection(&self) -> io::Result<Connection> {
        let idle = {
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            idle.retain(|connection| !connection.is_closed());
            let ready = idle.iter().rposition(Connection::is_ready);
            ready.map(|at| idle.swap_remove(at))
        };
        if let Some(connection) = idle {
            return Ok(connection);
        }
        let stream = TcpStream::connect(self.function).await?;
        stream.set_nodelay(true)?;
        let (mut connection, driving) = handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
        tokio::spawn(driving);
        connection.ready().await.map_err(io::Error::other)?;
        Ok(connection)
    }
}
