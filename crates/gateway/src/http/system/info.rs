//! What this gateway is.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use faasflow_admin::{Info, Limits, Provider, ProviderInfo, Version};
use faasflow_core::duration;
use http::header::HeaderMap;

use crate::forwarding::FORWARDED_HOST;

/// What there is to tell.
pub(crate) struct About {
    /// The commit that the program was built from.
    pub(crate) commit: String,
    /// The largest body of an asynchronous call, in bytes.
    pub(crate) max_async_body: usize,
    /// How long a function may take until it begins to answer.
    pub(crate) upstream_timeout: Duration,
}

/// What this is, and what it takes. OpenFaaS's gateway tells of its provider under `provider`; a provider is asked by
/// that gateway, which says so by `X-Forwarded-Host`, and tells of itself.
pub(super) async fn info(State(about): State<Arc<About>>, headers: HeaderMap) -> Response {
    let (provider, orchestration) = ("faasflow".to_owned(), "processes".to_owned());
    let release = env!("CARGO_PKG_VERSION").to_owned();
    let version = Version { commit_message: String::new(), release, sha: about.commit.clone() };
    let limits = Some(Limits {
        async_body: Some(about.max_async_body as u64),
        upstream_timeout: Some(seconds(about.upstream_timeout)),
    });
    if headers.contains_key(FORWARDED_HOST) {
        Json(ProviderInfo { limits, orchestration, provider, version }).into_response()
    } else {
        let provider = Provider { orchestration, provider, version: version.clone() };
        Json(Info { arch: std::env::consts::ARCH.to_owned(), limits, provider, version }).into_response()
    }
}

/// Whole seconds as such, which is how timeouts of OpenFaaS are written.
fn seconds(duration: Duration) -> String {
    if duration.subsec_nanos() == 0 { format!("{}s", duration.as_secs()) } else { duration::format(duration) }
}
