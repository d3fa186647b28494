//! What this gateway is.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use faasflow_core::duration;
use http::header::HeaderMap;
use serde_json::{Value, json};

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
pub(super) async fn info(State(about): State<Arc<About>>, headers: HeaderMap) -> Json<Value> {
    let (name, orchestration) = ("faasflow", "processes");
    let version = json!({ "release": env!("CARGO_PKG_VERSION"), "sha": about.commit, "commit_message": "" });
    let limits = json!({ "asyncBody": about.max_async_body, "upstreamTimeout": seconds(about.upstream_timeout) });
    Json(if headers.contains_key(FORWARDED_HOST) {
        json!({ "provider": name, "orchestration": orchestration, "version": version, "limits": limits })
    } else {
        json!({
            "arch": std::env::consts::ARCH,
            "provider": { "provider": name, "orchestration": orchestration, "version": version },
            "version": version,
            "limits": limits,
        })
    })
}

/// Whole seconds as such, which is how timeouts of OpenFaaS are written.
fn seconds(duration: Duration) -> String {
    if duration.subsec_nanos() == 0 { format!("{}s", duration.as_secs()) } else { duration::format(duration) }
}
