//! The archives of a release. They are reproducible: the same files give the same bytes.

use std::path::Path;
use std::process::Command;

use super::Release;
use crate::command;

/// The shells that `faasflow completions` supports, and the name of the file for each.
const COMPLETIONS: [(&str, &str); 5] = [
    ("bash", "faasflow.bash"),
    ("zsh", "_faasflow"),
    ("fish", "faasflow.fish"),
    ("powershell", "_faasflow.ps1"),
    ("elvish", "faasflow.elv"),
];

/// The name of an archive, without its ending, and of the folder in it.
pub(super) fn name(version: &str, target: &str) -> String {
    format!("faasflow-{version}-{target}")
}

/// Packs a program. `own` is a program that runs on this machine and writes the completions and man pages.
///
/// # Errors
///
/// If a file cannot be made.
pub(super) fn pack(release: &Release, folder: &Path, target: &str, program: &Path, own: &Path) -> Result<(), String> {
    let name = name(release.version, target);
    let unpacked = folder.join(&name);
    let fault = |error: std::io::Error| format!("{}: {error}", unpacked.display());
    std::fs::create_dir_all(unpacked.join("completions")).map_err(fault)?;
    std::fs::copy(program, unpacked.join("faasflow")).map_err(fault)?;
    for page in ["CHANGELOG.md", "LICENSE", "README.md"] {
        std::fs::copy(release.root.join(page), unpacked.join(page)).map_err(fault)?;
    }
    for (shell, file) in COMPLETIONS {
        let script = command::output(Command::new(own).args(["completions", shell]))?;
        std::fs::write(unpacked.join("completions").join(file), script).map_err(fault)?;
    }
    command::output(Command::new(own).args(["man", "--out"]).arg(unpacked.join("man")))?;

    let archive = format!("{name}.tar");
    let mut tar = Command::new("tar");
    tar.current_dir(folder).args(["--create", "--sort=name", "--format=ustar", "--owner=0", "--group=0"]);
    tar.args(["--numeric-owner", "--mode=u=rwX,go=rX", &format!("--mtime=@{}", release.time)]);
    command::run(tar.args(["--file", &archive, &name]))?;
    // Without the name and time of the file.
    command::run(Command::new("gzip").current_dir(folder).args(["--best", "--no-name", &archive]))?;
    std::fs::remove_dir_all(&unpacked).map_err(fault)
}

/// Writes the checksums of all files, in the form that `sha256sum --check` reads.
///
/// # Errors
///
/// If a file cannot be read, or the list cannot be written.
pub(super) fn checksums(folder: &Path) -> Result<(), String> {
    let sums = command::output(Command::new("sha256sum").current_dir(folder).args(names(folder)?))?;
    std::fs::write(folder.join("SHA256SUMS"), sums).map_err(|error| format!("{}: {error}", folder.display()))
}

/// The names of the files in a folder, sorted.
pub(super) fn names(folder: &Path) -> Result<Vec<String>, String> {
    let entries = std::fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut names: Vec<String> =
        entries.filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned())).collect();
    names.sort();
    Ok(names)
}
