//! What this gateway says of itself.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use faasflow_admin::{Info, Limits, ProviderInfo, Version};
use faasflow_core::duration;
use http::header::HeaderMap;

use crate::forwarding::FORWARDED_HOST;

/// The facts about this gateway.
pub(crate) struct About {
    /// The commit that the program was built from.
    pub(crate) commit: String,
    /// The largest body of an asynchronous call, in bytes.
    pub(crate) max_async_body: usize,
    /// How long a function may take to begin its answer.
    pub(crate) upstream_timeout: Duration,
    /// The address of Jaeger's pages.
    pub(crate) traces: Option<String>,
}

/// Describes this gateway and its limits. OpenFaaS's gateway describes its provider in the field `provider`. It asks the
/// provider with `X-Forwarded-Host`, and the provider then describes only itself.
pub(super) async fn info(State(about): State<Arc<About>>, headers: HeaderMap) -> Response {
    let (name, orchestration) = ("faasflow".to_owned(), "processes".to_owned());
    let mut version = Version::default();
    version.release = env!("CARGO_PKG_VERSION").to_owned();
    version.sha.clone_from(&about.commit);
    let mut limits = Limits::default();
    limits.async_body = Some(about.max_async_body as u64);
    limits.upstream_timeout = Some(seconds(about.upstream_timeout));
    if headers.contains_key(FORWARDED_HOST) {
        let mut info = ProviderInfo::default();
        info.limits = Some(limits);
        info.orchestration = orchestration;
        info.provider = name;
        info.version = version;
        return Json(info).into_response();
    }
    let mut info = Info::default();
    info.arch = std::env::consts::ARCH.to_owned();
    info.limits = Some(limits);
    info.provider.orchestration = orchestration;
    info.provider.provider = name;
    info.provider.version = version.clone();
    info.traces.clone_from(&about.traces);
    info.version = version;
    Json(info).into_response()
}

/// Whole seconds are written as `60s`, as in timeouts of OpenFaaS.
fn seconds(duration: Duration) -> String {
    if duration.subsec_nanos() == 0 { format!("{}s", duration.as_secs()) } else { duration::format(duration) }
}
