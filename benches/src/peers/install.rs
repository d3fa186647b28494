//! Installs the alternatives with their package managers, at pinned versions, into `target/tools` of the checkout.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::ending::{Folder, die_with_us, sweep};

/// The version of the npm package `@restatedev/restate-server`.
pub(super) const RESTATE: &str = "1.7.12";
/// The version of the Go module `github.com/s8sg/goflow`, which `peers/goflow/go.mod` requires.
pub(super) const GOFLOW: &str = "v0.1.4";
/// The version of the crate `restate-sdk`, which `peers/Cargo.toml` requires.
pub(super) const RESTATE_SDK: &str = "0.13.0";

fn tools() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/tools")
}

/// The server of Restate. Its package has one optional package for each platform.
pub(super) fn restate() -> Result<PathBuf, String> {
    let place = tools().join(format!("restate-server-v{RESTATE}"));
    let program = place.join("restate-server");
    if program.is_file() {
        return Ok(program);
    }
    println!("Installing @restatedev/restate-server@{RESTATE} with npm.");
    beside(&place, &program, |building| {
        let mut npm = Command::new("npm");
        // The package's install script would only report the installation to its maker.
        npm.args(["install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix"]).arg(building);
        run(npm.arg(format!("@restatedev/restate-server@{RESTATE}")), "install Node.js with npm")?;
        let system = if std::env::consts::OS == "macos" { "darwin" } else { std::env::consts::OS };
        let machine = match std::env::consts::ARCH {
            "x86_64" => "x64",
            "aarch64" => "arm64",
            other => other,
        };
        let package = format!("node_modules/@restatedev/restate-server-{system}-{machine}");
        let built = building.join(&package).join("bin/restate-server");
        if built.is_file() { Ok(built) } else { Err(format!("npm did not install {package}")) }
    })?;
    Ok(program)
}

/// The flows of goflow. They are built every time, because they are our code, and Go caches builds.
pub(super) fn goflow() -> Result<PathBuf, String> {
    let place = tools().join(format!("goflow-{GOFLOW}"));
    let program = place.join("goflow");
    if !program.is_file() {
        println!("Building goflow {GOFLOW} with Go; the first time this takes some minutes.");
    }
    beside(&place, &program, |building| {
        let built = building.join("goflow");
        let mut go = Command::new("go");
        go.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/goflow"));
        run(go.args(["build", "-trimpath", "-o"]).arg(&built).arg("."), "install Go")?;
        Ok(built)
    })?;
    Ok(program)
}

/// The Redis server in PATH, and its version.
pub(super) fn redis() -> Result<String, String> {
    let printed =
        run(Command::new("redis-server").arg("--version"), "install Redis, such as the Debian package redis-server")?;
    let version = printed.split_whitespace().find_map(|word| word.strip_prefix("v="));
    version.map(str::to_owned).ok_or_else(|| format!("`redis-server --version` said: {printed}"))
}

/// Builds a program in a separate folder and then renames the folder, so that an interrupted build leaves nothing that
/// looks complete.
fn beside(place: &Path, program: &Path, make: impl FnOnce(&Path) -> Result<PathBuf, String>) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("{}: {error}", place.display());
    std::fs::create_dir_all(place).map_err(failed)?;
    sweep(place).map_err(failed)?;
    let building = Folder::within(place).map_err(failed)?;
    std::fs::rename(make(building.path())?, program).map_err(failed)
}

/// The output of a command.
fn run(command: &mut Command, without: &str) -> Result<String, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    die_with_us(command);
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("`{name}` cannot be run ({error}): {without}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(format!("`{name}` ended with {}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_versions_are_those_that_are_built() {
        let module = include_str!("../../peers/goflow/go.mod");
        assert!(module.contains(&format!("require github.com/s8sg/goflow {GOFLOW}\n")));
        let package = include_str!("../../peers/Cargo.toml");
        assert!(package.contains(&format!("restate-sdk = {{ version = \"={RESTATE_SDK}\"")));
    }
}
