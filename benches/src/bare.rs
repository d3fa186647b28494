//! The chain by hand on bare hyper, with hand-made connections and no router or connector. Only HTTP is left.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use faasflow_benches_deployed::by_hand::{CALL_TIMEOUT, MAX_BODY, OCTETS, READ_TIMEOUT, REQUEST_ID, new_id};
use faasflow_http::read_body;
use http::header::{CONTENT_TYPE, HOST};
use http::{HeaderValue, Request, Response, StatusCode, Uri};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};

use crate::Failure;

type Connection = SendRequest<Full<Bytes>>;

struct Chain {
    function: SocketAddr,
    host: HeaderValue,
    calls: Vec<Uri>,
    /// Idle connections. The one used last is the first to be reused.
    idle: Mutex<Vec<Connection>>,
}

/// Serves a chain of calls of these URLs, which all have the same address.
pub(crate) async fn serve(address: SocketAddr, function: SocketAddr, calls: Vec<Uri>) -> Result<(), Failure> {
    // On a connection of our own, the scheme and the authority are not needed.
    let calls = calls.into_iter().map(|url| url.path().parse()).collect::<Result<_, _>>()?;
    let host = HeaderValue::from_str(&function.to_string())?;
    let chain = Arc::new(Chain { function, host, calls, idle: Mutex::default() });
    let listener = TcpListener::bind(address).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        let _ = stream.set_nodelay(true);
        let chain = chain.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| run(chain.clone(), request));
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn run(chain: Arc<Chain>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (parts, body) = request.into_parts();
    let id = parts.headers.get(REQUEST_ID).cloned().unwrap_or_else(new_id);
    let Ok(mut payload) = read_body(body, MAX_BODY, READ_TIMEOUT).await else {
        return Ok(refusal(StatusCode::BAD_REQUEST, "the body was cut off or is too large".to_owned()));
    };
    let mut content_type = parts.headers.get(CONTENT_TYPE).cloned().unwrap_or(OCTETS);
    for path in &chain.calls {
        let calling = chain.call(path, &id, content_type, payload);
        (content_type, payload) = match tokio::time::timeout(CALL_TIMEOUT, calling).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(why)) => return Ok(refusal(StatusCode::BAD_GATEWAY, why.to_string())),
            Err(_) => return Ok(refusal(StatusCode::GATEWAY_TIMEOUT, "the function took too long".to_owned())),
        };
    }
    let mut response = Response::new(Full::new(payload));
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response.headers_mut().insert(REQUEST_ID, id);
    Ok(response)
}

impl Chain {
    async fn call(
        &self,
        path: &Uri,
        id: &HeaderValue,
        content_type: HeaderValue,
        payload: Bytes,
    ) -> Result<(HeaderValue, Bytes), Failure> {
        let mut connection = self.connection().await?;
        let mut request = Request::new(Full::new(payload));
        *request.method_mut() = http::Method::POST;
        *request.uri_mut() = path.clone();
        request.headers_mut().insert(HOST, self.host.clone());
        request.headers_mut().insert(CONTENT_TYPE, content_type);
        request.headers_mut().insert(REQUEST_ID, id.clone());
        let (mut parts, body) = connection.send_request(request).await?.into_parts();
        let body = read_body(body, MAX_BODY, CALL_TIMEOUT).await?;
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        if !parts.status.is_success() {
            return Err(format!("the function answered {}", parts.status).into());
        }
        Ok((parts.headers.remove(CONTENT_TYPE).unwrap_or(OCTETS), body))
    }

    async fn connection(&self) -> Result<Connection, Failure> {
        loop {
            let idle_connection = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let Some(mut connection) = idle_connection else { break };
            if connection.ready().await.is_ok() {
                return Ok(connection);
            }
        }
        let stream = TcpStream::connect(self.function).await?;
        stream.set_nodelay(true)?;
        let (mut connection, driving) = handshake(TokioIo::new(stream)).await?;
        tokio::spawn(driving);
        connection.ready().await?;
        Ok(connection)
    }
}

fn refusal(status: StatusCode, why: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(why));
    *response.status_mut() = status;
    response
}
