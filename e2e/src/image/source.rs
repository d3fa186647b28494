//! Where cargo finds Faasflow's crates inside an image. They are not published yet, so the guide says to name a git
//! repository. Here it is a copy of this checkout with its uncommitted changes, served on the engine's bridge.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;

use super::project::checkout;
use crate::docker::GATEWAY;
use crate::server::{Recipe, Server};

/// Git's port. It is free, because the suite is in its own namespace.
const PORT: u16 = 9418;
/// The contents of the repository: the files that cargo reads to build the crates. A change of another file must not
/// cause a rebuild.
const PARTS: [&str; 6] = ["Cargo.toml", "Cargo.lock", "LICENSE", "README.md", "crates", "docs/guide"];

/// A repository, which is served until this is dropped.
pub(super) struct Source {
    /// The commit. The same files give the same commit.
    revision: String,
    _server: Server,
    _folder: tempfile::TempDir,
}

impl Source {
    pub(super) async fn serve() -> Result<Source, String> {
        let folder = tempfile::Builder::new().prefix("faasflow-git-").tempdir().map_err(|error| error.to_string())?;
        let repository = folder.path().join("faasflow");
        let revision = copy_as_repository(&repository, &PARTS).await?;
        // `git daemon` would start this as a child process that outlives it.
        let daemon = PathBuf::from(git(&repository, &["--exec-path"]).await?).join("git-daemon");
        let server = Server::start(Recipe {
            program: daemon,
            arguments: vec![
                "--export-all".to_owned(),
                "--reuseaddr".to_owned(),
                format!("--base-path={}", folder.path().display()),
                format!("--port={PORT}"),
                folder.path().to_string_lossy().into_owned(),
            ],
            environment: Vec::new(),
            port: PORT,
            ready: None,
            log: folder.path().join("log"),
        })
        .await?;
        Ok(Source { revision, _server: server, _folder: folder })
    }

    /// The `.cargo/config.toml` of a project, as in the guide.
    pub(super) fn cargo_config(&self) -> String {
        let place = format!("{{ git = \"git://{GATEWAY}/faasflow\", rev = \"{}\" }}", self.revision);
        format!("[patch.crates-io]\nfaasflow = {place}\nfaasflow-testkit = {place}\n")
    }
}

/// Makes a git repository of these parts of the working tree. Returns its only commit.
pub(super) async fn copy_as_repository(folder: &Path, parts: &[&str]) -> Result<String, String> {
    std::fs::create_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    copy_tracked(&checkout()?, folder, parts).await?;
    git(folder, &["init", "--quiet", "--initial-branch=main"]).await?;
    git(folder, &["add", "--all"]).await?;
    git(folder, &["commit", "--quiet", "--message", "The checkout"]).await?;
    git(folder, &["rev-parse", "HEAD"]).await
}

/// Copies the files below these paths that git tracks, from the working tree.
pub(super) async fn copy_tracked(from: &Path, to: &Path, parts: &[&str]) -> Result<(), String> {
    let listing = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard", "--"])
        .args(parts)
        .current_dir(from)
        .output()
        .await
        .map_err(|error| format!("git: {error}"))?;
    for name in String::from_utf8_lossy(&listing.stdout).split('\0').filter(|name| !name.is_empty()) {
        let (file, copy) = (from.join(name), to.join(name));
        // Deleted, and not committed yet.
        let Ok(metadata) = file.symlink_metadata() else { continue };
        let folder = copy.parent().unwrap_or(to);
        std::fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let copied = if metadata.is_symlink() {
            std::fs::read_link(&file).and_then(|target| std::os::unix::fs::symlink(target, &copy))
        } else {
            std::fs::copy(&file, &copy).map(|_| ())
        };
        copied.map_err(|error| format!("{}: {error}", file.display()))?;
    }
    Ok(())
}

/// Runs git with a fixed author and time, so that a commit depends only on its files.
async fn git(folder: &Path, arguments: &[&str]) -> Result<String, String> {
    let output = Command::new("git")
        .args(["-c", "core.hooksPath=/dev/null", "-c", "commit.gpgSign=false"])
        .args(arguments)
        .current_dir(folder)
        .envs([
            ("GIT_AUTHOR_NAME", "suite"),
            ("GIT_AUTHOR_EMAIL", "suite@localhost"),
            ("GIT_AUTHOR_DATE", "2026-01-01T00:00:00Z"),
            ("GIT_COMMITTER_NAME", "suite"),
            ("GIT_COMMITTER_EMAIL", "suite@localhost"),
            ("GIT_COMMITTER_DATE", "2026-01-01T00:00:00Z"),
        ])
        .stdin(Stdio::null())
        .output()
        .await
        .map_err(|error| format!("git: {error}"))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() {
        Ok(text(&output.stdout))
    } else {
        Err(format!("`git {}`: {}", arguments.join(" "), text(&output.stderr)))
    }
}
