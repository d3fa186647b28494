//! `faasflow ui` in front of a gateway that has only OpenFaaS's part of the admin API.

use std::net::SocketAddr;
use std::path::Path;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use faasflow_http::{HttpClient, ServerOptions, serve};
use http::{StatusCode, Uri};
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

use crate::server::{Recipe, Server, free_port};

/// What OpenFaaS's gateway has of the paths that the pages need.
const HAS: [&str; 3] = ["/function/", "/system/functions", "/system/logs?name="];

/// A gateway that passes on what OpenFaaS has to another, and knows nothing else.
pub(super) struct Narrow {
    pub(super) address: SocketAddr,
    gateway: String,
    serving: Option<AbortOnDropHandle<()>>,
}

impl Narrow {
    pub(super) async fn start(gateway: &str) -> Result<Narrow, String> {
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()?));
        let mut narrow = Narrow { address, gateway: gateway.to_owned(), serving: None };
        narrow.again().await?;
        Ok(narrow)
    }

    /// Ends it, with its connections.
    pub(super) fn end(&mut self) {
        self.serving = None;
    }

    /// Starts it at the same address.
    pub(super) async fn again(&mut self) -> Result<(), String> {
        let listener = TcpListener::bind(self.address).await.map_err(|error| error.to_string())?;
        let (client, gateway) = (HttpClient::new(std::time::Duration::from_secs(5)), self.gateway.clone());
        let app = Router::new().fallback(async move |request: Request| passed_on(&client, &gateway, request).await);
        self.serving = Some(AbortOnDropHandle::new(tokio::spawn(async move {
            let _ = serve(listener, app, ServerOptions::default(), std::future::pending()).await;
        })));
        Ok(())
    }
}

async fn passed_on(client: &HttpClient, gateway: &str, mut request: Request) -> Response {
    let target = request.uri().path_and_query().map(ToString::to_string).unwrap_or_default();
    let nothing = |status, text: &'static str| {
        let mut answer = Response::new(Body::from(text));
        *answer.status_mut() = status;
        answer
    };
    if !HAS.iter().any(|path| target.starts_with(path)) {
        return nothing(StatusCode::NOT_FOUND, "404 page not found\n");
    }
    let Ok(uri) = format!("{gateway}{target}").parse::<Uri>() else {
        return nothing(StatusCode::BAD_REQUEST, "the path cannot be used\n");
    };
    *request.uri_mut() = uri;
    request.headers_mut().remove(http::header::HOST);
    match client.send(request).await {
        Ok(answer) => answer.map(Body::new),
        Err(_) => nothing(StatusCode::BAD_GATEWAY, "the gateway behind does not answer\n"),
    }
}

/// Starts `faasflow ui` for a gateway, with a key in a file. Returns it, and the URL of its pages without `/ui/`.
pub(super) async fn start(gateway: &str, key: &Path, log: &Path) -> Result<(Server, String), String> {
    let own = std::env::current_exe().map_err(|error| error.to_string())?;
    let port = free_port()?;
    let arguments = ["ui", "--gateway", gateway, "--key", &format!("@{}", key.display()), "--port", &port.to_string()];
    let ui = Server::start(Recipe {
        program: own.with_file_name("faasflow"),
        arguments: arguments.map(str::to_owned).to_vec(),
        environment: Vec::new(),
        port,
        ready: Some("The dashboard is at"),
        log: log.to_owned(),
    })
    .await?;
    Ok((ui, format!("http://127.0.0.1:{port}")))
}
