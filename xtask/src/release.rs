//! Makes the files of a release: static programs for Linux in archives, checksums, an SBOM for each, and the release notes.

mod archive;
mod build;
mod notes;
mod sbom;
mod trial;

use std::path::Path;
use std::process::Command;

use crate::command;

/// The text of `release --help`.
pub(crate) const HELP: &str = "\
cargo xtask release [--draft]

Makes the files of a release in target/release-VERSION, where VERSION is that of Cargo.toml: for each of Linux amd64 and arm64 a
static program, tried here, in an archive with its completions and man pages; an SBOM for each; SHA256SUMS; and the release
notes, which are the section of CHANGELOG.md. It publishes nothing. RELEASE.md is the checklist around it.

  --draft   also from changes that are not committed, and if the section is still called `Unreleased: VERSION`

Exit codes: 0 all files are there, 1 something failed, 2 the command line is wrong.";

/// The targets of a release. `[package.metadata.binstall]` of the command line promises the same names.
const TARGETS: [&str; 2] = ["x86_64-unknown-linux-musl", "aarch64-unknown-linux-musl"];

/// The source of all files of a release.
struct Release<'a> {
    root: &'a Path,
    version: &'a str,
    /// The commit, which the programs report.
    commit: &'a str,
    /// The time of the commit, in seconds since 1970. It is the time of every file in an archive.
    time: &'a str,
}

/// Makes the files of a release, and prints their names, sizes and checksums.
///
/// # Errors
///
/// If CHANGELOG.md has no section for the version, if there are changes that are not committed, or if a program cannot be
/// built, contains the path of the checkout, does not work, or cannot be packed.
pub(crate) fn run(root: &Path, draft: bool) -> Result<(), String> {
    let root = &root.canonicalize().map_err(|error| format!("{}: {error}", root.display()))?;
    let target = command::target_folder(root)?;
    let cli = command_line(root)?;
    let version = cli["version"].as_str().ok_or("the command line has no version")?.to_owned();
    check_binstall(&cli, &version)?;
    let changelog = root.join("CHANGELOG.md");
    let changelog = std::fs::read_to_string(&changelog).map_err(|error| format!("{}: {error}", changelog.display()))?;
    let notes = notes::section(&changelog, &version, draft)?;
    let git = |arguments: &[&str]| {
        command::output(Command::new("git").current_dir(root).args(arguments)).map(|text| text.trim().to_owned())
    };
    if !draft && !git(&["status", "--porcelain"])?.is_empty() {
        return Err("there are changes that are not committed: commit them, or make a draft with --draft".to_owned());
    }
    let (commit, time) = (git(&["rev-parse", "HEAD"])?, git(&["log", "-1", "--format=%ct"])?);
    let release = Release { root, version: &version, commit: &commit, time: &time };

    let folder = target.join(format!("release-{version}"));
    let fault = |error: std::io::Error| format!("{}: {error}", folder.display());
    if folder.exists() {
        std::fs::remove_dir_all(&folder).map_err(fault)?;
    }
    std::fs::create_dir_all(&folder).map_err(fault)?;

    let mut programs = Vec::new();
    for target in TARGETS {
        println!("Building for {target}");
        let program = build::program(&release, target)?;
        if build::contains(&program, root)? {
            let what = format!("{} contains the path {}, which no user has", program.display(), root.display());
            if !draft {
                return Err(what);
            }
            println!("{what}. Without --draft, this is an error");
        }
        trial::run(&release, &program, target)?;
        programs.push((target, program));
    }
    let (_, own) = programs
        .iter()
        .find(|(target, _)| target.starts_with(std::env::consts::ARCH))
        .ok_or_else(|| format!("no program of a release runs on {}", std::env::consts::ARCH))?;
    for (target, program) in &programs {
        archive::pack(&release, &folder, target, program, own)?;
        sbom::write(&release, &folder, target)?;
    }
    std::fs::write(folder.join("RELEASE-NOTES.md"), notes).map_err(fault)?;
    archive::checksums(&folder)?;
    list(&folder)
}

/// The command line as cargo knows it. Its version is that of all crates.
fn command_line(root: &Path) -> Result<serde_json::Value, String> {
    let mut metadata = command::metadata(root)?;
    let packages = metadata["packages"].as_array_mut().ok_or("cargo names no packages")?;
    let cli = packages.iter_mut().find(|package| package["name"] == "faasflow-cli");
    cli.map(serde_json::Value::take).ok_or_else(|| "there is no faasflow-cli".to_owned())
}

/// Compares the names of archives with those that `cargo binstall` will ask for.
fn check_binstall(cli: &serde_json::Value, version: &str) -> Result<(), String> {
    let promised = &cli["metadata"]["binstall"];
    for target in TARGETS {
        let name = archive::name(version, target);
        for (key, expected) in [("pkg-url", format!("/v{version}/{name}.tar.gz")), ("bin-dir", format!("{name}/"))] {
            let value = promised[key].as_str().unwrap_or_default();
            let value = value.replace("{ version }", version).replace("{ target }", target);
            if !value.contains(&expected) {
                return Err(format!("`{key}` in crates/cli/Cargo.toml leads to {value}, which has no `{expected}`"));
            }
        }
    }
    Ok(())
}

/// Prints the files of a release.
fn list(folder: &Path) -> Result<(), String> {
    println!("{}:", folder.display());
    for name in archive::names(folder)? {
        let size = std::fs::metadata(folder.join(&name)).map_err(|error| format!("{name}: {error}"))?.len();
        println!("  {size:>10}  {name}");
    }
    Ok(())
}
