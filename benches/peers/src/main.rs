//! The chain and the fan-out of the benchmarks as Restate services. Every call of the function is a durable step.
//!
//! `faasflow-benches-peers PORT FUNCTION_URL shipped|prompt`, until standard input is closed.

use std::io::Read as _;
use std::net::{Ipv4Addr, SocketAddr};

use bytes::Bytes;
use http::{Method, Request, Uri};
use http_body_util::{BodyExt as _, Full};
use hyper::server::conn::http2;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use restate_sdk::hyper::HyperEndpoint;
use restate_sdk::prelude::*;
use tokio::net::TcpListener;

mod fan;

use crate::fan::{PromptFan, ShippedFan};

/// The header with the number of calls of a request.
const CALLS: &str = "x-calls";

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// The function that each step calls, over kept connections.
#[derive(Clone)]
struct Function {
    client: Client<HttpConnector, Full<Bytes>>,
    url: Uri,
}

impl Function {
    fn new(url: Uri) -> Function {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        Function { client: Client::builder(TokioExecutor::new()).build(connector), url }
    }

    /// If a function fails, the request ends and its caller is told. A retry would only make it look slow.
    async fn call(self, payload: Bytes) -> HandlerResult<Bytes> {
        let mut request = Request::new(Full::new(payload));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.url.clone();
        let terminal = |error: Failure| TerminalError::new(format!("{}: {error}", self.url));
        let response = self.client.request(request).await.map_err(|error| terminal(error.into()))?;
        if !response.status().is_success() {
            return Err(terminal(response.status().to_string().into()).into());
        }
        let body = response.into_body().collect().await.map_err(|error| terminal(error.into()))?;
        Ok(body.to_bytes())
    }

    /// Makes as many calls as the request asks for, one after the other. Restate keeps each result before the next
    /// call.
    async fn chain(&self, context: &Context<'_>, mut payload: Bytes) -> HandlerResult<Bytes> {
        let calls: usize = match context.headers().get(CALLS).map(|text| text.parse()) {
            Some(Ok(calls)) => calls,
            _ => return Err(TerminalError::new(format!("{CALLS} must be a number")).into()),
        };
        for _ in 0..calls {
            let function = self.clone();
            payload = context.run(move || function.call(payload)).name("call").await?;
        }
        Ok(payload)
    }
}

/// The chain on the SDK's own server.
struct Shipped(Function);

#[service(name = "Shipped")]
impl Shipped {
    #[handler]
    async fn chain(&self, context: Context<'_>, payload: Bytes) -> HandlerResult<Bytes> {
        self.0.chain(&context, payload).await
    }
}

/// The same on connections without Nagle's algorithm. Restate distinguishes services by their names.
struct Prompt(Function);

#[service(name = "Prompt")]
impl Prompt {
    #[handler]
    async fn chain(&self, context: Context<'_>, payload: Bytes) -> HandlerResult<Bytes> {
        self.0.chain(&context, payload).await
    }
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    // The pipe closes when the parent ends, for whatever reason.
    std::thread::spawn(|| {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [port, url, how] = arguments.as_slice() else { return Err("usage: PORT FUNCTION_URL shipped|prompt".into()) };
    let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port.parse()?))).await?;
    let function = Function::new(url.parse()?);
    match how.as_str() {
        "shipped" => {
            let endpoint = Endpoint::builder().bind(Shipped(function.clone())).bind(ShippedFan(function));
            HttpServer::new(endpoint.build()).serve(listener).await;
        }
        "prompt" => {
            let endpoint = Endpoint::builder().bind(Prompt(function.clone())).bind(PromptFan(function));
            serve_promptly(endpoint.build(), listener).await?;
        }
        other => return Err(format!("`{other}` is neither shipped nor prompt").into()),
    }
    Ok(())
}

/// Does what the SDK's server does, and sets `TCP_NODELAY`.
async fn serve_promptly(endpoint: Endpoint, listener: TcpListener) -> std::io::Result<()> {
    let endpoint = HyperEndpoint::new(endpoint);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let endpoint = endpoint.clone();
        tokio::spawn(async move {
            let _ = http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), endpoint).await;
        });
    }
}
