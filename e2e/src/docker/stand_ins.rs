//! Stand-ins for the images that the template's Dockerfile uses. They are made on this machine, because suites pull no
//! images. What is built and run on them is real, but their contents differ from those in the registry.

pub(crate) mod functions;
mod rust;
mod server;
mod watchdog;

use std::path::Path;
use std::process::Stdio;

use tokio::io::AsyncWriteExt as _;

pub(crate) use rust::rust;
pub(crate) use server::server;
pub(crate) use watchdog::{install as install_watchdog, watchdog};

use super::Docker;

/// The label with the sources of a stand-in.
const LABEL: &str = "faasflow.stand-in";

/// The default of an argument of the template's Dockerfile, such as `RUST_IMAGE`.
///
/// # Errors
///
/// If the Dockerfile has no such argument.
pub(crate) fn default_of(argument: &str) -> Result<String, String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../template/faasflow/Dockerfile");
    let text = std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let prefix = format!("ARG {argument}=");
    let found = text.lines().find_map(|line| line.strip_prefix(&prefix));
    found.map(str::to_owned).ok_or_else(|| format!("{} has no `{prefix}`", path.display()))
}

/// Whether the engine has this image, made of this.
async fn is_there(docker: &Docker, image: &str, made_of: &str) -> bool {
    let format = format!("{{{{index .Config.Labels \"{LABEL}\"}}}}");
    docker.run(&["image", "inspect", "--format", &format, image]).await.is_ok_and(|label| label == made_of)
}

/// Builds an image by a Dockerfile of this text, with a folder to copy from.
async fn build(
    docker: &Docker,
    folder: &Path,
    image: &str,
    made_of: &str,
    dockerfile: &str,
    options: &[&str],
) -> Result<(), String> {
    let label = format!("{LABEL}={made_of}");
    let mut child = docker
        .command(&["build", "--quiet", "--tag", image, "--label", &label, "--file", "-"])
        .args(options)
        .arg(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("docker: {error}"))?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(dockerfile.as_bytes()).await.map_err(|error| error.to_string())?;
    }
    let output = child.wait_with_output().await.map_err(|error| error.to_string())?;
    let why = || format!("{image} is not built: {}", String::from_utf8_lossy(&output.stderr).trim());
    if output.status.success() { Ok(()) } else { Err(why()) }
}

/// Makes an image of a folder; each change is an instruction of a Dockerfile.
pub(crate) async fn import(
    docker: &Docker,
    root: &Path,
    image: &str,
    made_of: &str,
    changes: &[&str],
) -> Result<(), String> {
    let label = format!("LABEL {LABEL}=\"{made_of}\"");
    let mut arguments = vec!["import", "--change", &label];
    for change in changes {
        arguments.extend(["--change", change]);
    }
    arguments.extend(["-", image]);
    let mut tar = std::process::Command::new("tar")
        .args(["--create", "--numeric-owner", "--directory"])
        .arg(root)
        .arg(".")
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| format!("tar: {error}"))?;
    let stream = tar.stdout.take().ok_or("tar has no output")?;
    let imported = docker.command(&arguments).stdin(stream).output().await.map_err(|error| error.to_string())?;
    let packed = tar.wait().map_err(|error| error.to_string())?;
    if imported.status.success() && packed.success() {
        return Ok(());
    }
    let errors = String::from_utf8_lossy(&imported.stderr).trim().to_owned();
    Err(format!("{image} cannot be made of {}: {errors}", root.display()))
}
