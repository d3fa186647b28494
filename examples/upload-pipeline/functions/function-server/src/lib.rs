//! What the functions of this example share: a server as any HTTP function has one. It knows nothing of flows.

use std::pin::Pin;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::serve::ListenerExt as _;

/// The largest picture taken, in bytes.
const LARGEST: usize = 64 << 20;

/// Serves `routes` on the `port` of the environment (8080) until SIGTERM, then finishes what is in flight.
///
/// # Errors
///
/// If the port cannot be listened on.
pub async fn serve(routes: Router) -> std::io::Result<()> {
    serve_boxed(routes).await
}

/// Boxed, so that the server is compiled in this crate, and not once more in each function.
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

/// An error as these functions answer it: a status and a JSON object with the reason.
#[derive(Debug)]
pub struct Refused(pub StatusCode, pub String);

impl Refused {
    /// The body is not what the function works on.
    pub fn bad(reason: impl ToString) -> Refused {
        Refused(StatusCode::BAD_REQUEST, reason.to_string())
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        (self.0, axum::Json(serde_json::json!({ "error": self.1 }))).into_response()
    }
}
