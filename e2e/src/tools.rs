//! Installs what suites need, at pinned versions, into a folder of the checkout.

use std::path::{Path, PathBuf};

use tokio::process::Command;

/// `target/tools` of this checkout, which is created if it is not there.
pub(crate) fn folder() -> Result<PathBuf, String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/tools");
    std::fs::create_dir_all(&folder)
        .and_then(|()| folder.canonicalize())
        .map_err(|error| format!("{}: {error}", folder.display()))
}

/// Builds a Go program with Go's ordinary client, unless it exists. Returns its path.
pub(crate) async fn go(package: &str, version: &str) -> Result<PathBuf, String> {
    built(package, version, |building| {
        let mut go = Command::new("go");
        go.args(["install", &format!("{package}@{version}")]).env("GOBIN", building);
        Ok(go)
    })
    .await
}

/// Builds a module that is a Go program and that `go install` refuses because the module proxy does not list its
/// versions. See [`go_package`].
pub(crate) async fn go_module(module: &str, version: &str) -> Result<PathBuf, String> {
    go_package(module, module, version).await
}

/// Builds a Go program from a module that `go install` refuses, because its versions are not listed or its `go.mod`
/// replaces others. A module of our own requires the exact version, and Go checks the download against its checksum
/// database, as always.
pub(crate) async fn go_package(module: &str, package: &str, version: &str) -> Result<PathBuf, String> {
    built(package, version, |building| {
        std::fs::write(building.join("go.mod"), format!("module tool\n\ngo 1.21\n\nrequire {module} {version}\n"))?;
        let mut go = Command::new("go");
        go.args(["build", "-mod=mod", "-trimpath", "-o", name_of(package), package]).current_dir(building);
        Ok(go)
    })
    .await
}

fn name_of(package: &str) -> &str {
    package.rsplit('/').next().unwrap_or(package)
}

/// The program of a Go package. Unless it exists, a command builds it in the folder that it gets.
async fn built(
    package: &str,
    version: &str,
    command: impl FnOnce(&Path) -> std::io::Result<Command>,
) -> Result<PathBuf, String> {
    let name = name_of(package);
    let place = folder()?.join(format!("{name}-{version}"));
    let program = place.join(name);
    if program.is_file() {
        return Ok(program);
    }
    println!("Building {package}@{version} with Go. The first time, this takes a few minutes.");
    std::fs::create_dir_all(&place).map_err(|error| format!("{}: {error}", place.display()))?;
    // Built in a temporary folder and then renamed, so that an interrupted build leaves no incomplete program.
    let building = tempfile::tempdir_in(&place).map_err(|error| error.to_string())?;
    let status = command(building.path())
        .map_err(|error| error.to_string())?
        .status()
        .await
        .map_err(|error| format!("Go cannot be run ({error}): install it, and have `go` in PATH"))?;
    if !status.success() {
        return Err(format!("Go could not build {package} at {version}: it ended with {status}"));
    }
    std::fs::rename(building.path().join(name), &program).map_err(|error| error.to_string())?;
    Ok(program)
}

/// A program of a Debian package, which is installed if it is missing.
pub(crate) async fn debian(package: &str, program: &str) -> Result<PathBuf, String> {
    if let Some(found) = in_path(program) {
        return Ok(found);
    }
    println!("Installing the Debian package {package}");
    for arguments in [["-qq", "update", "-y"].as_slice(), &["-qq", "install", "-y", "--no-install-recommends", package]]
    {
        let output = Command::new("apt-get")
            .args(arguments)
            // Another suite may be installing something.
            .args(["-o", "DPkg::Lock::Timeout=300"])
            // The package's service is disabled, because suites start their own.
            .env("DEBIAN_FRONTEND", "noninteractive")
            .env("RUNLEVEL", "1")
            .output()
            .await
            .map_err(|error| format!("apt-get cannot be run ({error}): install {program} by hand"))?;
        if !output.status.success() {
            let errors = String::from_utf8_lossy(&output.stderr).into_owned();
            return Err(format!("apt-get {} ended with {}: {errors}", arguments.join(" "), output.status));
        }
    }
    in_path(program).ok_or_else(|| format!("the package {package} was installed, and there is no {program}"))
}

/// Adds a target to the toolchain, unless it has it.
pub(crate) async fn rust_target(target: &str) -> Result<(), String> {
    let added = Command::new("rustup").args(["target", "add", target]).output().await;
    let added = added.map_err(|error| format!("rustup cannot be run ({error}): install it, or have it in PATH"))?;
    if added.status.success() {
        Ok(())
    } else {
        Err(format!("`rustup target add {target}`: {}", String::from_utf8_lossy(&added.stderr).trim()))
    }
}

fn in_path(program: &str) -> Option<PathBuf> {
    // The last folder has the plugins for container networks.
    ["/usr/local/bin", "/usr/bin", "/bin", "/usr/local/sbin", "/usr/sbin", "/usr/lib/cni"]
        .into_iter()
        .map(|folder| Path::new(folder).join(program))
        .find(|path| path.is_file())
}
