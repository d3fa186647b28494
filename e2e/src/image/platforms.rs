//! Builds an image for arm64 on amd64 with a cross-compiler, and runs its program in an emulator.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::process::Command;

use super::Shop;
use super::builds::{self, BUILD};
use super::project::{BuildOutput, NAME, tail};
use super::stand::{PROCESS_PORT, Stand};
use crate::apart::Apart;
use crate::docker::stand_ins;
use crate::server::{Recipe, Server};
use crate::suite::{Suite, expect};
use crate::tools;

const TARGET: &str = "aarch64-unknown-linux-musl";
const QEMU: &str = "qemu-aarch64-static";
/// The number of the processor in the head of an ELF file.
const EM_AARCH64: u8 = 183;

pub(super) async fn install() -> Result<(), String> {
    if cfg!(target_arch = "aarch64") {
        return Ok(());
    }
    tools::debian("qemu-user-static", QEMU).await?;
    stand_ins::install_watchdog("arm64").await?;
    tools::rust_target(TARGET).await
}

pub(super) async fn run(suite: &Suite, apart: &Apart, shop: &Arc<Shop>, stand: &Arc<Stand>) {
    if cfg!(target_arch = "aarch64") {
        suite.not_done("an image for another processor", "this machine is arm64 itself, and its images are");
        return;
    }
    let images = async {
        let own = format!("{}-unknown-linux-musl", std::env::consts::ARCH);
        let rust = stand_ins::rust(&shop.docker, apart, &[&own, TARGET]).await?;
        Ok::<_, String>((rust, stand_ins::watchdog(&shop.docker, "arm64").await?))
    };
    let (rust, watchdog) = match images.await {
        Ok(images) => images,
        Err(why) => return suite.note("the stand-ins for arm64", Err(why), Duration::ZERO),
    };
    for (runtime, name) in [
        ("bare", "linux/arm64 by BuildKit: cross-compiled, and of that platform"),
        ("watchdog", "linux/arm64 behind the watchdog"),
    ] {
        suite.check_within(BUILD, name, build(shop.clone(), rust.clone(), runtime, watchdog.clone())).await;
    }
    suite
        .check(
            "the arm64 program under qemu-user: healthy, and one request of each kind",
            emulated(shop.clone(), stand.clone()),
        )
        .await;
}

/// The image with this runtime.
fn name(runtime: &str) -> String {
    format!("my-flow:{runtime}-arm64")
}

/// Builds with the engine's BuildKit, which passes both platforms to the Dockerfile. The classic builder cannot use
/// images of two platforms in one build.
async fn build(shop: Arc<Shop>, rust: String, runtime: &'static str, watchdog: String) -> Result<(), String> {
    let image = name(runtime);
    let arguments = [
        "--platform=linux/arm64",
        "--progress=plain",
        &format!("--build-arg=RUNTIME={runtime}"),
        &format!("--build-arg=RUST_IMAGE={rust}"),
        &format!("--build-arg=WATCHDOG_IMAGE={watchdog}"),
    ];
    let built = shop.project.buildkit(&image, &arguments).await.map_err(|printed| tail(&printed))?;
    is_arm64(&shop, &image, &built).await
}

async fn has_platform(shop: &Shop, image: &str) -> Result<(), String> {
    let platform = shop.docker.run(&["image", "inspect", "--format", "{{.Os}}/{{.Architecture}}", image]).await?;
    expect(platform == "linux/arm64", || format!("the image is for {platform}"))
}

async fn is_arm64(shop: &Shop, image: &str, built: &BuildOutput) -> Result<(), String> {
    let size = builds::size(&shop.docker, image).await?;
    println!("          ({image}: {:.1} MB, built in {:.0} s)", size as f64 / 1e6, built.took.as_secs_f64());
    has_platform(shop, image).await?;
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let program = program(shop, image, folder.path()).await?;
    let head = std::fs::read(&program).map_err(|error| error.to_string())?;
    let processor = head.get(18).copied().unwrap_or_default();
    expect(processor == EM_AARCH64, || format!("its program is for the processor {processor}"))
}

/// Copies the flow's program out of an image.
async fn program(shop: &Shop, image: &str, folder: &Path) -> Result<PathBuf, String> {
    let container = shop.docker.run(&["create", "--platform=linux/arm64", image]).await?;
    let program = folder.join("flow");
    let copied = shop.docker.run(&["cp", &format!("{container}:/app/flow"), &program.to_string_lossy()]).await;
    shop.docker.run(&["rm", &container]).await?;
    copied.map(|_| program)
}

async fn emulated(shop: Arc<Shop>, stand: Arc<Stand>) -> Result<(), String> {
    let program = program(&shop, &name("bare"), stand.folder()).await?;
    let program = program.to_string_lossy().into_owned();
    let qemu = tools::debian("qemu-user-static", QEMU).await?;
    let environment = [
        ("workflow_name", "my-process".to_owned()),
        ("host", "127.0.0.1".to_owned()),
        ("port", PROCESS_PORT.to_string()),
        ("metrics_port", "0".to_owned()),
        ("gateway", Stand::gateway()),
    ];
    let flow = Server::start(Recipe {
        program: qemu.clone(),
        arguments: vec![program.clone()],
        environment: environment.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect(),
        port: PROCESS_PORT,
        ready: None,
        log: stand.folder().join("arm64.log"),
    })
    .await?;
    stand.each_kind("my-process", "arm64").await.map_err(|why| format!("{why}; its log: {}", flow.tail()))?;
    let health = Command::new(qemu).arg(program).arg("health").envs(environment).status().await;
    let health = health.map_err(|error| error.to_string())?;
    flow.stop().await?;
    expect(health.success(), || format!("`{NAME} health` ended with {health}"))
}
