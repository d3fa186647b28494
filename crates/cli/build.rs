//! Finds the commit that is built, without git, for `/system/info`.
//!
//! Only the command line depends on it, so that a new commit does not build anything else anew.

use std::fs;
use std::path::Path;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    // Those who package a source tree without its history can say it.
    let given = option_env!("FAASFLOW_COMMIT").map(str::to_owned);
    let commit = given.or_else(|| of_repository(&package.join("../../.git"))).or_else(|| of_package(package));
    println!("cargo::rustc-env=FAASFLOW_COMMIT={}", commit.as_deref().unwrap_or("unknown"));
}

/// The commit that is checked out in a repository.
fn of_repository(git: &Path) -> Option<String> {
    // A file in a worktree, which names the folder.
    let git = match read(git).and_then(|text| Some(text.strip_prefix("gitdir:")?.trim().to_owned())) {
        Some(folder) => git.parent()?.join(folder),
        None => git.to_owned(),
    };
    let head = watched(&git.join("HEAD"))?;
    let Some(name) = head.trim().strip_prefix("ref: ") else { return commit(&head) };
    let common = match read(&git.join("commondir")) {
        Some(folder) => git.join(folder.trim()),
        None => git,
    };
    let packed = || {
        let refs = watched(&common.join("packed-refs"))?;
        refs.lines().find_map(|line| commit(line.strip_suffix(name)?.strip_suffix(' ')?))
    };
    watched(&common.join(name)).and_then(|text| commit(&text)).or_else(packed)
}

/// The commit that cargo noted when it made the package.
fn of_package(package: &Path) -> Option<String> {
    let text = watched(&package.join(".cargo_vcs_info.json"))?;
    let (_, after) = text.split_once("\"sha1\"")?;
    commit(after.split('"').nth(1)?)
}

/// Reads a file, and has this run again when it changes.
fn watched(path: &Path) -> Option<String> {
    let text = read(path)?;
    println!("cargo::rerun-if-changed={}", path.display());
    Some(text)
}

fn read(path: &Path) -> Option<String> {
    fs::read_to_string(path).ok()
}

fn commit(text: &str) -> Option<String> {
    let text = text.trim();
    (text.len() >= 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit())).then(|| text.to_owned())
}
