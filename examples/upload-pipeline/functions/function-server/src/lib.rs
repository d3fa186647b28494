//! The server that the functions of this example share. It is an ordinary HTTP server and knows nothing about flows.

use std::pin::Pin;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::serve::ListenerExt as _;

/// The largest accepted picture, in bytes.
const LARGEST: usize = 64 << 20;

/// Serves `routes` on the port in the variable `port` (default: 8080). On SIGTERM, it finishes the requests in flight
/// and returns.
///
/// # Errors
///
/// If the server cannot listen on the port.
pub async fn serve(routes: Router) -> std::io::Result<()> {
    serve_boxed(routes).await
}

/// Boxed, so that the server is compiled once in this crate and not again in each function.
fn serve_boxed(routes: Router) -> Pin<Box<dyn Future<Output = std::io::Result<()>> + Send>> {
    Box::pin(listen(routes))
}

async fn listen(routes: Router) -> std::io::Result<()> {
    let variable = |name| std::env::var(name).ok();
    let host = variable("host").unwrap_or_else(|| "0.0.0.0".to_owned());
    let port = variable("port").or_else(|| variable("PORT")).unwrap_or_else(|| "8080".to_owned());
    #[cfg(unix)]
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    #[cfg(windows)]
    let mut terminate = tokio::signal::windows::ctrl_break()?;
    let listener = tokio::net::TcpListener::bind(format!("{host}:{port}")).await?.tap_io(|stream| {
        let _ = stream.set_nodelay(true);
    });
    let stop = async move {
        terminate.recv().await;
    };
    axum::serve(listener, routes.layer(DefaultBodyLimit::max(LARGEST))).with_graceful_shutdown(stop).await
}

/// An error answer of these functions: a status and a JSON object with the reason.
#[derive(Debug)]
pub struct Refusal(pub StatusCode, pub String);

impl Refusal {
    /// The body is not valid input for the function.
    pub fn bad(reason: impl ToString) -> Refusal {
        Refusal(StatusCode::BAD_REQUEST, reason.to_string())
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.0, axum::Json(serde_json::json!({ "error": self.1 }))).into_response()
    }
}
