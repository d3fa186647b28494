//! Serves the metrics on their own port.

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

/// How long a client that reads the metrics may stall. It is not a caller of the flow, so the flow's settings do not apply
/// to it.
const STALL: Duration = Duration::from_secs(10);

/// The route of `/metrics`.
pub(crate) fn router(metrics: Arc<Metrics>) -> Router {
    Router::new().route("/metrics", get(async move || ([(CONTENT_TYPE, TEXT_FORMAT)], metrics.text())))
}

/// A bound socket for the metrics.
#[derive(Debug)]
pub(crate) struct MetricsListener {
    listener: TcpListener,
    address: SocketAddr,
}

/// The address of the metrics cannot be bound.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}")]
pub(crate) struct NoMetrics {
    address: String,
    /// The setting of the port.
    setting: &'static str,
    source: std::io::Error,
}

impl NoMetrics {
    /// What to do about it.
    pub(crate) fn help(&self) -> String {
        format!("choose another with `metrics_host` and `{}`, or stop what listens there", self.setting)
    }
}

impl MetricsListener {
    /// Binds to the address in the settings.
    ///
    /// # Errors
    ///
    /// If the address cannot be bound. The flow should serve anyway: a flow without metrics is better than none.
    pub(crate) async fn bind(config: &Config) -> Result<MetricsListener, NoMetrics> {
        let (host, port) = config.metrics_address();
        let bind = async {
            let listener = TcpListener::bind((host, port)).await?;
            let address = listener.local_addr()?;
            Ok(MetricsListener { listener, address })
        };
        let setting = if config.flow_metrics_port.is_some() { "flow_metrics_port" } else { "metrics_port" };
        bind.await.map_err(|source| NoMetrics { address: format!("{host}:{port}"), setting, source })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves metrics until `serving` resolves, and returns its output.
    pub(crate) async fn serve_while<T>(self, router: Router, serving: impl Future<Output = T>) -> T {
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
            header_timeout: STALL,
            write_stall: STALL,
            // The flow has stopped already, and a process that was asked to stop should not take longer because of its
            // metrics.
            grace: Duration::from_millis(500),
            ..ServerOptions::default()
        };
        let serving_metrics = async {
            if let Err(error) = faasflow_http::serve(self.listener, router, options, stop).await {
                tracing::warn!("Metrics are no longer served: {}", chain(&error));
            }
        };
        tokio::join!(serving, serving_metrics).0
    }
}
