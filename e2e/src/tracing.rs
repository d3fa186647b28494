//! Reads traces of flows back from a real Jaeger.

use crate::suite::Suite;

mod calls;
mod contexts;
mod deliveries;
mod graph_faults;
mod graphs;
mod jaeger;
mod outage;
mod photos;
mod separate;
mod stand;
mod stop;
mod trace;
mod tree;

use stand::Stand;

pub(crate) async fn install() -> Result<(), String> {
    jaeger::install().await.map(drop)
}

/// Builds Jaeger, and returns its path.
pub(crate) async fn install_jaeger() -> Result<std::path::PathBuf, String> {
    jaeger::install().await
}

pub(crate) async fn run(suite: Suite) -> Result<(), String> {
    let jaeger = jaeger::install().await?;
    let folder = tempfile::Builder::new().prefix("faasflow-e2e-").tempdir().map_err(|error| error.to_string())?;
    let stand = Stand::start(&jaeger, folder.path()).await?;
    suite.heading("the photo pipelines");
    photos::run(&suite, &stand).await;
    suite.heading("calls");
    calls::run(&suite, &stand).await;
    suite.heading("graphs");
    graphs::run(&suite, &stand).await;
    suite.heading("graphs in which something fails");
    graph_faults::run(&suite, &stand).await;
    suite.heading("trace contexts and sampling");
    contexts::run(&suite, &stand).await;
    suite.heading("a trace server that is away");
    outage::run(&suite, &stand).await;
    suite.heading("stopping");
    stop::run(&suite, &stand).await;
    suite.not_done("OTLP with TLS (grpcs://, https://)", "Jaeger is reached over loopback here, in plain text");
    Ok(())
}
