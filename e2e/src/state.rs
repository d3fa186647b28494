//! State managers against real servers: MinIO and Redis.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use faasflow_testkit::conformance;

use crate::suite::{Suite, expect};
use crate::tools;

mod backend;
mod faults;
mod flows;
mod graphs;
mod large;
mod photos;
mod records;
mod tls;

pub(crate) use backend::Backend;
use backend::Manager;

/// MinIO publishes no versions of its module; this is the commit of 12 February 2026.
const MINIO: &str = "v0.0.0-20260212201848-7aac2a2c5b7c";

/// Builds MinIO, and returns its path.
pub(crate) async fn install_minio() -> Result<PathBuf, String> {
    tools::go("github.com/minio/minio", MINIO).await
}

/// Installs Redis, and returns its path.
pub(crate) async fn install_redis() -> Result<PathBuf, String> {
    tools::debian("redis-server", "redis-server").await
}

/// The programs of MinIO and Redis.
async fn programs() -> Result<(PathBuf, PathBuf), String> {
    let minio = install_minio().await;
    let redis = install_redis().await;
    Ok((minio?, redis?))
}

pub(crate) async fn install() -> Result<(), String> {
    programs().await.map(drop)
}

pub(crate) async fn run(suite: Suite) -> Result<(), String> {
    let (minio, redis) = programs().await?;
    let folder = tempfile::Builder::new().prefix("faasflow-e2e-").tempdir().map_err(|error| error.to_string())?;
    let backends = [
        Arc::new(Backend::minio(&minio, &folder.path().join("minio"), None).await?),
        Arc::new(Backend::redis(&redis, &folder.path().join("redis")).await?),
    ];
    for backend in &backends {
        suite.heading(backend.title());
        conformance_of(&suite, backend).await;
        flows::run(&suite, backend).await;
        graphs::run(&suite, backend).await;
        records::run(&suite, backend).await;
        faults::run(&suite, backend).await;
        large::run(&suite, backend).await;
        photos::run(&suite, backend).await;
    }
    tls::run(&suite, &minio, &redis, folder.path()).await;
    faults::full_disk(&suite, &minio, folder.path()).await;
    for backend in backends {
        backend.stop().await?;
    }
    Ok(())
}

async fn conformance_of(suite: &Suite, backend: &Arc<Backend>) {
    let begun = Instant::now();
    let report = conformance::check(backend.manager()).await;
    let took = begun.elapsed() / u32::try_from(report.checks().count()).unwrap_or(1);
    for (name, result) in report.checks() {
        suite.note(&format!("conformance: {name}"), result.map_err(str::to_owned), took);
    }
    let conditions = if report.supports_conditions() { Ok(()) } else { Err("it does not".to_owned()) };
    suite.note("conformance: it supports conditional writes", conditions, took);
    let ending = if report.supports_end_request() { Ok(()) } else { Err("it does not".to_owned()) };
    suite.note("conformance: it can end requests with branches", ending, took);
    let records = if report.supports_records() { Ok(()) } else { Err("it does not".to_owned()) };
    suite.note("conformance: it can remember requests", records, took);
    // S3 cannot notify anybody.
    let (found, expected) = (report.supports_watches(), matches!(backend.manager(), Manager::Redis(_)));
    let watches = expect(found == expected, || format!("it has watches: {found}, expected: {expected}"));
    suite.note("conformance: it tells which requests have ended, if it can", watches, took);
}
