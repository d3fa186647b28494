//! Runs other programs.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Variables that `cargo run` sets about the package it runs, here this one. Build scripts such as ring's run again when
/// they change, so a cargo that inherits them builds half of the dependencies anew.
const OF_THIS_PACKAGE: [&str; 8] = [
    "CARGO_MANIFEST_DIR",
    "CARGO_MANIFEST_LINKS",
    "CARGO_MANIFEST_PATH",
    "CARGO_PKG_NAME",
    "CARGO_PKG_VERSION_MAJOR",
    "CARGO_PKG_VERSION_MINOR",
    "CARGO_PKG_VERSION_PATCH",
    "CARGO_PKG_VERSION_PRE",
];

/// Cargo, as if it were started from a shell.
pub(crate) fn cargo() -> Command {
    let mut cargo = Command::new("cargo");
    OF_THIS_PACKAGE.iter().for_each(|name| {
        cargo.env_remove(name);
    });
    cargo
}

/// A build profile of Cargo.
#[derive(Clone, Copy)]
pub(crate) enum Profile {
    /// The default of `cargo build`.
    Debug,
    /// `cargo build --release`.
    Release,
}

/// Builds the test suites and the command line that they use, and returns the program of the suites.
///
/// # Errors
///
/// If the build fails.
pub(crate) fn build_e2e(root: &Path, profile: Profile) -> Result<PathBuf, String> {
    let mut build = cargo();
    build.current_dir(root).args(["build", "--quiet", "--package", "faasflow-e2e", "--package", "faasflow-cli"]);
    let folder = match profile {
        Profile::Debug => "debug",
        Profile::Release => {
            build.arg("--release");
            "release"
        }
    };
    run(&mut build)?;
    Ok(target_folder(root)?.join(folder).join("faasflow-e2e"))
}

/// Runs a program to its end.
///
/// # Errors
///
/// If it cannot be run or fails.
pub(crate) fn run(command: &mut Command) -> Result<(), String> {
    let shown = format!("{command:?}").replace('"', "");
    let status = command.status().map_err(|error| format!("`{shown}` cannot be run: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("`{shown}` ended with {status}")) }
}

/// Returns the standard output of a program.
///
/// # Errors
///
/// If it cannot be run or fails. The text is its standard error.
pub(crate) fn output(command: &mut Command) -> Result<String, String> {
    let shown = format!("{command:?}").replace('"', "");
    let output = command.output().map_err(|error| format!("`{shown}` cannot be run: {error}"))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(format!("`{shown}` ended with {}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim()))
    }
}

/// The output of `cargo metadata`.
///
/// # Errors
///
/// If `cargo metadata` fails.
pub(crate) fn metadata(root: &Path) -> Result<serde_json::Value, String> {
    let text = output(cargo().current_dir(root).args(["metadata", "--no-deps", "--format-version", "1"]))?;
    serde_json::from_str(&text).map_err(|error| format!("the output of `cargo metadata` cannot be parsed: {error}"))
}

/// Cargo's target folder.
///
/// # Errors
///
/// If `cargo metadata` fails.
pub(crate) fn target_folder(root: &Path) -> Result<PathBuf, String> {
    let metadata = metadata(root)?;
    metadata["target_directory"]
        .as_str()
        .map(PathBuf::from)
        .ok_or_else(|| "`cargo metadata` names no target folder".to_owned())
}

/// Whether a program can be run.
pub(crate) fn is_installed(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok()
}

/// Makes sure that a program is installed, from its Debian package if necessary.
///
/// # Errors
///
/// If it is missing and cannot be installed.
pub(crate) fn debian(package: &str, program: &str) -> Result<(), String> {
    if is_installed(program) {
        return Ok(());
    }
    install(package)?;
    if is_installed(program) { Ok(()) } else { Err(format!("the package {package} has no {program}")) }
}

/// Installs a Debian package.
///
/// # Errors
///
/// If apt-get is missing or fails.
pub(crate) fn install(package: &str) -> Result<(), String> {
    println!("Installing the Debian package {package}.");
    for arguments in [["-qq", "update"].as_slice(), &["-qq", "install", "-y", "--no-install-recommends", package]] {
        let mut apt = Command::new("apt-get");
        // Something else may be installing a package at this moment.
        apt.args(arguments).args(["-o", "DPkg::Lock::Timeout=300"]).env("DEBIAN_FRONTEND", "noninteractive");
        output(&mut apt)?;
    }
    Ok(())
}

/// Installs the standard library for a target with rustup, unless it is there.
///
/// # Errors
///
/// If rustup is missing or cannot download it.
pub(crate) fn rust_target(root: &Path, target: &str) -> Result<(), String> {
    let installed = output(Command::new("rustup").current_dir(root).args(["target", "list", "--installed"]))?;
    if installed.lines().any(|line| line == target) {
        return Ok(());
    }
    println!("Installing Rust's standard library for {target}.");
    output(Command::new("rustup").current_dir(root).args(["target", "add", target])).map(drop)
}
