//! Tests the template's image: faas-cli builds it as for a user, and the suite's Docker engine runs it.

use std::sync::Arc;

use crate::apart::Apart;
use crate::docker::{self, Docker, Engine, stand_ins};
use crate::openfaas;
use crate::suite::Suite;
use crate::tools;

mod builds;
mod compose;
mod platforms;
mod podman;
mod project;
mod provider;
mod runs;
mod source;
mod stand;
mod stops;

use project::Project;
use source::Source;
use stand::Stand;

/// The parts of the suite to run.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Extent {
    /// Only the functions that are images.
    Provider,
    /// Only the part of them that uses Podman.
    Podman,
    /// The part that CI has time for: the bare image, one request of each kind, and a stop under load.
    Short,
    Long,
}

pub(crate) async fn install(extent: Extent) -> Result<(), String> {
    docker::install().await?;
    if extent != Extent::Podman {
        openfaas::install_faas_cli().await?;
    }
    if matches!(extent, Extent::Short | Extent::Long) {
        tools::rust_target(&own_target()).await?;
    }
    if extent != Extent::Short {
        stand_ins::functions::install().await?;
        podman::install().await?;
    }
    if extent == Extent::Long {
        stand_ins::install_watchdog(processor()).await?;
        platforms::install().await?;
        compose::install().await?;
    }
    Ok(())
}

pub(crate) async fn run_short(suite: Suite, apart: Apart) -> Result<(), String> {
    run(suite, apart, Extent::Short).await
}

pub(crate) async fn run_long(suite: Suite, apart: Apart) -> Result<(), String> {
    run(suite, apart, Extent::Long).await
}

/// This machine's processor, as Docker and Go call it.
fn processor() -> &'static str {
    if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" }
}

/// The target of a static program for this machine's processor.
fn own_target() -> String {
    format!("{}-unknown-linux-musl", std::env::consts::ARCH)
}

/// The state that the checks share.
struct Shop {
    docker: Docker,
    project: Project,
    /// A text that differs in each run.
    run: String,
    _source: Source,
}

pub(crate) async fn run_provider(suite: Suite, apart: Apart) -> Result<(), String> {
    run(suite, apart, Extent::Provider).await
}

/// This part does not run in the suite's Docker engine, but uses its client.
pub(crate) async fn run_podman(suite: Suite, _apart: Apart) -> Result<(), String> {
    provider::podman::run(&suite).await
}

async fn run(suite: Suite, apart: Apart, extent: Extent) -> Result<(), String> {
    let engine = Engine::start(&apart).await?;
    let ran = in_engine(&suite, &apart, &engine, extent).await;
    engine.stop()?;
    ran
}

async fn in_engine(suite: &Suite, apart: &Apart, engine: &Engine, extent: Extent) -> Result<(), String> {
    let docker = engine.docker().clone();
    if extent == Extent::Provider {
        provider::run(suite, &docker).await?;
        return provider::podman::run(suite).await;
    }
    stand_ins::rust(&docker, apart, &[&own_target()]).await?;
    suite.not_done(
        "the images that the template builds on",
        "none can be pulled; stand-ins of the same names are made of Debian and of this machine's toolchain",
    );
    stand_ins::watchdog(&docker, processor()).await?;
    let source = Source::serve().await?;
    let project = Project::new(openfaas::install_faas_cli().await?, &docker).await?;
    project.write(".cargo/config.toml", &source.cargo_config())?;
    let shop = Arc::new(Shop { docker, project, run: format!("run {}", std::process::id()), _source: source });

    suite.heading("Builds");
    builds::run(suite, &shop).await;
    let stand = Arc::new(Stand::start(&shop.docker).await?);
    suite.heading("The image as it was made");
    runs::run(suite, &stand).await;
    stops::run(suite, &stand).await;
    if extent == Extent::Short {
        return Ok(());
    }
    suite.heading("Builds after a change, with the watchdog, with a fault, with tests");
    builds::run_more(suite, &shop).await;
    suite.heading("What careful operators do with it");
    runs::run_more(suite, &stand).await;
    stops::run_more(suite, &stand).await;
    suite.heading("Another platform");
    platforms::run(suite, apart, &shop, &stand).await;
    // Its gateway has the port that the next one needs.
    drop(stand);
    provider::run(suite, &shop.docker).await?;
    provider::podman::run(suite).await?;
    suite.heading("deploy/compose.yaml, by the commands of the guide");
    compose::run(suite, &shop.docker).await
}
