//! Stand-ins for the functions that OpenFaaS's certifier and other tests deploy, whose images cannot be pulled. They
//! are one program with several names, which `e2e/stand-ins/functions.go` describes.

use std::path::{Path, PathBuf};

use tokio::process::Command;

use super::import;
use crate::docker::Docker;
use crate::docker::engine::stable_hash;
use crate::tools;

/// A function with the classic watchdog, `cat`, `env` and `sha512sum`.
pub(crate) const WATCHDOG: &str = "functions/alpine:latest";
/// A function that answers with a redirect to its variable `destination`.
pub(crate) const REDIRECTOR: &str = "theaxer/redirector:latest";
/// A server without a watchdog, and the same server with a health check in its image.
pub(crate) const PLAIN: &str = "faasflow-e2e/plain:1";
pub(crate) const CHECKED: &str = "faasflow-e2e/checked:1";
/// A function whose program is missing.
pub(crate) const BROKEN: &str = "faasflow-e2e/broken:1";

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("stand-ins/functions.go")
}

/// Builds the program for this machine. Returns the root of a file system with the program.
///
/// # Errors
///
/// If Go is not installed, or if the build fails.
pub(crate) async fn install() -> Result<PathBuf, String> {
    let text = std::fs::read(source()).map_err(|error| format!("{}: {error}", source().display()))?;
    let root = tools::folder()?.join(format!("functions-{:x}", stable_hash(&text)));
    let program = root.join("usr/bin/fwatchdog");
    if root.join("bin/plain").is_file() {
        return Ok(root);
    }
    let output = Command::new("go")
        .args(["build", "-trimpath", "-ldflags=-s -w", "-o"])
        .arg(&program)
        .arg(source())
        .env("CGO_ENABLED", "0")
        .output()
        .await
        .map_err(|error| format!("Go cannot be run ({error}): install it, and have `go` in PATH"))?;
    if !output.status.success() {
        return Err(format!("Go could not build the functions: {}", String::from_utf8_lossy(&output.stderr).trim()));
    }
    let link = |name: &str| {
        let path = root.join("bin").join(name);
        let _ = std::fs::remove_file(&path);
        std::fs::hard_link(&program, &path).map_err(|error| format!("{}: {error}", path.display()))
    };
    std::fs::create_dir_all(root.join("bin")).map_err(|error| error.to_string())?;
    ["cat", "env", "redirector", "sha512sum", "check", "plain"].into_iter().try_for_each(link)?;
    Ok(root)
}

/// Makes the images.
///
/// # Errors
///
/// If the engine does not make one of them.
pub(crate) async fn functions(docker: &Docker) -> Result<(), String> {
    let root = install().await?;
    let made_of = root.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let check = r#"HEALTHCHECK --interval=1s --retries=2 CMD ["/bin/check"]"#;
    for (image, changes) in [
        (WATCHDOG, &["ENV PATH=/usr/bin:/bin", r#"CMD ["/usr/bin/fwatchdog"]"#][..]),
        (REDIRECTOR, &[r#"CMD ["/bin/redirector"]"#]),
        (PLAIN, &[r#"CMD ["/bin/plain"]"#, "USER 1000"]),
        (CHECKED, &[r#"CMD ["/bin/plain"]"#, check]),
        (BROKEN, &[r#"CMD ["/bin/absent"]"#]),
    ] {
        import(docker, &root, image, &made_of, changes).await?;
    }
    Ok(())
}
