//! A stand-in for `of-watchdog`, which is in no registry of modules. The image contains only a program that behaves
//! like it as far as flows are concerned. `e2e/stand-ins/watchdog.go` says what it does and does not do.

use std::path::{Path, PathBuf};

use tokio::process::Command;

use super::{build, default_of, is_there};
use crate::docker::Docker;
use crate::docker::engine::stable_hash;
use crate::tools;

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("stand-ins/watchdog.go")
}

/// Builds the stand-in for a processor, `amd64` or `arm64`. Returns its path.
///
/// # Errors
///
/// If Go is not installed, or if the build fails.
pub(crate) async fn install(processor: &str) -> Result<PathBuf, String> {
    let text = std::fs::read(source()).map_err(|error| format!("{}: {error}", source().display()))?;
    let name = format!("2-watchdog-{processor}-{:x}", stable_hash(&text));
    let program = tools::folder()?.join("watchdog").join(&name).join("fwatchdog");
    if program.is_file() {
        return Ok(program);
    }
    let output = Command::new("go")
        .args(["build", "-trimpath", "-ldflags=-s -w", "-o"])
        .arg(&program)
        .arg(source())
        .envs([("CGO_ENABLED", "0"), ("GOOS", "linux"), ("GOARCH", processor)])
        .output()
        .await
        .map_err(|error| format!("Go cannot be run ({error}): install it, and have `go` in PATH"))?;
    if output.status.success() {
        Ok(program)
    } else {
        Err(format!("Go could not build the watchdog: {}", String::from_utf8_lossy(&output.stderr).trim()))
    }
}

/// Makes the image of the watchdog, unless the engine has it, and returns its name. For this machine's processor, it is
/// the name in the template; for others, it has a suffix.
///
/// # Errors
///
/// If the build fails.
pub(crate) async fn watchdog(docker: &Docker, processor: &str) -> Result<String, String> {
    let program = install(processor).await?;
    let own = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    let image = default_of("WATCHDOG_IMAGE")?;
    let image = if processor == own { image } else { format!("{image}-{processor}") };
    let folder = program.parent().ok_or("the watchdog lies nowhere")?;
    let made_of = folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    if !is_there(docker, &image, &made_of).await {
        let platform = format!("--platform=linux/{processor}");
        let text = "FROM scratch\nCOPY fwatchdog /fwatchdog\nCMD [\"/fwatchdog\"]\n";
        build(docker, folder, &image, &made_of, text, &[&platform]).await?;
    }
    Ok(image)
}
