//! The software bill of materials of a program, as CycloneDX.

use std::path::Path;
use std::process::Command;

use super::{Release, archive};
use crate::command;

const CYCLONEDX: &str = "0.5.9";

/// Writes the bill of a target's program: every crate in it, with version, licence and checksum.
pub(super) fn write(release: &Release, folder: &Path, target: &str) -> Result<(), String> {
    let build = command::target_folder(release.root)?;
    let place = build.join(format!("tools/cargo-cyclonedx-{CYCLONEDX}"));
    let program = place.join("bin/cargo-cyclonedx");
    if !program.is_file() {
        println!("Installing cargo-cyclonedx {CYCLONEDX}.");
        let mut install = crate::command::cargo();
        install.args([
            "install",
            "--locked",
            "--quiet",
            "--debug",
            "cargo-cyclonedx",
            "--version",
            CYCLONEDX,
            "--root",
        ]);
        command::output(install.arg(&place))?;
    }
    // The tool writes a file beside each Cargo.toml of the workspace, so it works on a copy.
    let copy = build.join("release-sources");
    let fault = |error: std::io::Error| format!("{}: {error}", copy.display());
    if copy.exists() {
        std::fs::remove_dir_all(&copy).map_err(fault)?;
    }
    std::fs::create_dir_all(&copy).map_err(fault)?;
    let packed = copy.with_extension("tar");
    command::run(Command::new("git").current_dir(release.root).args(["archive", "HEAD", "--output"]).arg(&packed))?;
    command::run(Command::new("tar").arg("-xf").arg(&packed).arg("-C").arg(&copy))?;
    let mut cyclonedx = Command::new(&program);
    cyclonedx.current_dir(&copy).args(["cyclonedx", "--format", "json", "--spec-version", "1.5", "--target", target]);
    cyclonedx.args(["--no-build-deps", "--override-filename", "bill"]).env("SOURCE_DATE_EPOCH", release.time);
    command::output(&mut cyclonedx)?;
    let bill = copy.join("crates/cli/bill.json");
    let text = std::fs::read_to_string(&bill).map_err(|error| format!("{}: {error}", bill.display()))?;
    // The copy exists only on this machine.
    let text = text.replace(&copy.display().to_string(), "/faasflow");
    let name = folder.join(format!("{}.cdx.json", archive::name(release.version, target)));
    std::fs::write(&name, text).map_err(|error| format!("{}: {error}", name.display()))?;
    std::fs::remove_dir_all(&copy).and_then(|()| std::fs::remove_file(&packed)).map_err(fault)
}
