//! The template's image, built by faas-cli and run by a Docker engine of the suite's own.

use crate::apart::Apart;
use crate::docker::{self, Engine, stand_ins};
use crate::suite::{Suite, expect};

/// How much of the suite is run.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Extent {
    /// What CI has time for.
    Short,
    Long,
}

pub(crate) async fn install(_extent: Extent) -> Result<(), String> {
    docker::install().await
}

pub(crate) async fn run_short(suite: Suite, apart: Apart) -> Result<(), String> {
    run(suite, apart, Extent::Short).await
}

pub(crate) async fn run_long(suite: Suite, apart: Apart) -> Result<(), String> {
    run(suite, apart, Extent::Long).await
}

async fn run(suite: Suite, apart: Apart, _extent: Extent) -> Result<(), String> {
    let engine = Engine::start(&apart).await?;
    let docker = engine.docker().clone();
    let target = format!("{}-unknown-linux-musl", std::env::consts::ARCH);
    let image = stand_ins::rust(&docker, &apart, &[&target]).await?;
    suite
        .check("the stand-in for the image that builds has cargo, and a compiler for musl", async move {
            let said =
                docker.run(&["run", "--rm", &image, "sh", "-c", "apk add gcc && cargo --version && id -u"]).await?;
            expect(said.starts_with("cargo "), || said.clone())
        })
        .await;
    engine.stop()
}
