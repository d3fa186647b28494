//! Shows the metrics on a port of their own.

use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use http::header::CONTENT_TYPE;
use prometheus::TEXT_FORMAT;

use super::Metrics;

/// The route of `/metrics`.
pub(crate) fn router(metrics: Arc<Metrics>) -> Router {
    Router::new().route("/metrics", get(async move || ([(CONTENT_TYPE, TEXT_FORMAT)], metrics.text())))
}
