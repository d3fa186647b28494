//! Finds the commit that is built, for `/system/info`, without running git.
//!
//! This is in the command line's crate, so that a new commit rebuilds nothing else.

use std::fs;
use std::path::Path;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    // Packagers of a source tree without its history can set it.
    let given = option_env!("FAASFLOW_COMMIT").map(str::to_owned);
    let commit = given.or_else(|| repository_commit(&package.join("../../.git"))).or_else(|| package_commit(package));
    println!("cargo::rustc-env=FAASFLOW_COMMIT={}", commit.as_deref().unwrap_or("unknown"));
}

/// The commit that is checked out in a repository.
fn repository_commit(git: &Path) -> Option<String> {
    // In a worktree, `.git` is a file that names the folder.
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

/// The commit that cargo recorded in the package.
fn package_commit(package: &Path) -> Option<String> {
    let text = watched(&package.join(".cargo_vcs_info.json"))?;
    let (_, after) = text.split_once("\"sha1\"")?;
    commit(after.split('"').nth(1)?)
}

/// Reads a file, and makes cargo run this again when it changes.
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
