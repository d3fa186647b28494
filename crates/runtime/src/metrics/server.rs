//! Shows the metrics on a port of their own.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use faasflow_core::chain;
use faasflow_http::ServerOptions;
use http::header::CONTENT_TYPE;
use prometheus::TEXT_FORMAT;
use tokio::net::TcpListener;

use super::Metrics;
use crate::config::Config;

/// How long whoever reads the metrics may stall. It is no caller of the flow, so no setting of the flow is about it.
const PATIENCE: Duration = Duration::from_secs(10);

/// The route of `/metrics`.
pub(crate) fn router(metrics: Arc<Metrics>) -> Router {
    Router::new().route("/metrics", get(async move || ([(CONTENT_TYPE, TEXT_FORMAT)], metrics.text())))
}

/// Where metrics are shown.
#[derive(Debug)]
pub(crate) struct MetricsListener {
    listener: TcpListener,
    address: SocketAddr,
}

impl MetricsListener {
    /// Listens where the settings say.
    ///
    /// # Errors
    ///
    /// Why not, and what to do: a text for the log. A flow that nobody can watch is better than none.
    pub(crate) async fn bind(config: &Config) -> Result<MetricsListener, String> {
        let (host, port) = config.metrics_address();
        let bind = async {
            let listener = TcpListener::bind((host, port)).await?;
            let address = listener.local_addr()?;
            Ok(MetricsListener { listener, address })
        };
        let setting = if config.flow_metrics_port.is_some() { "flow_metrics_port" } else { "metrics_port" };
        bind.await.map_err(|error: std::io::Error| {
            format!(
                "The flow serves without metrics: cannot listen on {host}:{port}: {}; choose another with `metrics_host` \
                 and `{setting}`, or stop what listens there",
                chain(&error)
            )
        })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `serving` resolves, which is what is measured, and returns its output.
    pub(crate) async fn beside<T>(self, router: Router, serving: impl Future<Output = T>) -> T {
        let (ended, end) = tokio::sync::oneshot::channel::<()>();
        let serving = async {
            let output = serving.await;
            drop(ended);
            output
        };
        let stop = async {
            let _ = end.await;
        };
        let options = ServerOptions {
            header_timeout: PATIENCE,
            write_stall: PATIENCE,
            // What it stopped for is over, and a process that is told to end is not waited for long.
            grace: Duration::from_millis(500),
            ..ServerOptions::default()
        };
        let showing = async {
            if let Err(error) = faasflow_http::serve(self.listener, router, options, stop).await {
                tracing::warn!("Metrics are no longer served: {}", chain(&error));
            }
        };
        tokio::join!(serving, showing).0
    }
}
