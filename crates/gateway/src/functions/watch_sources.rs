//! Notices when the sources of a function change.

use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// An editor saves in several steps, a version control many files: a change is over when this long nothing came.
const QUIET: Duration = Duration::from_millis(300);

/// Watches folders, each with its function.
pub(crate) struct Sources {
    folders: Vec<(String, PathBuf)>,
    changed: UnboundedReceiver<PathBuf>,
    /// Watches until it is dropped.
    _watcher: RecommendedWatcher,
}

impl Sources {
    /// # Errors
    ///
    /// If the operating system cannot watch them, for example because its limit is reached.
    pub(crate) fn watch(folders: Vec<(String, PathBuf)>) -> notify::Result<Sources> {
        let (sender, changed) = unbounded_channel();
        let folders: Vec<(String, PathBuf)> = folders
            .into_iter()
            .map(|(function, folder)| (function, std::fs::canonicalize(&folder).unwrap_or(folder)))
            .collect();
        let watched: Vec<PathBuf> = folders.iter().map(|(_, folder)| folder.clone()).collect();
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            let Ok(event) = event else { return };
            if matches!(event.kind, EventKind::Create(_) | EventKind::Modify(_) | EventKind::Remove(_)) {
                let within =
                    |path: &Path| watched.iter().find_map(|folder| path.strip_prefix(folder).ok().map(is_source));
                for path in event.paths.into_iter().filter(|path| within(path).unwrap_or(false)) {
                    let _ = sender.send(path);
                }
            }
        })?;
        for (_, folder) in &folders {
            watcher.watch(folder, RecursiveMode::Recursive)?;
        }
        Ok(Sources { folders, changed, _watcher: watcher })
    }

    /// Waits for a change to come and be over; returns the functions it belongs to.
    pub(crate) async fn changed(&mut self) -> Vec<String> {
        loop {
            let mut paths = Vec::new();
            match self.changed.recv().await {
                Some(path) => paths.push(path),
                None => std::future::pending().await,
            }
            while let Ok(Some(path)) = tokio::time::timeout(QUIET, self.changed.recv()).await {
                paths.push(path);
            }
            let touches = |path: &PathBuf, folder: &PathBuf| {
                path.strip_prefix(folder).is_ok_and(|within| !is_new_target(within) || path.exists())
            };
            let touched = |folder: &PathBuf| paths.iter().any(|path| touches(path, folder));
            let changed = self.folders.iter().filter(|(_, folder)| touched(folder));
            let changed: Vec<String> = changed.map(|(function, _)| function.clone()).collect();
            if !changed.is_empty() {
                return changed;
            }
        }
    }
}

/// Whether a path within a project is something that cargo builds from, and not what it builds, nor what a version
/// control, an editor or a gateway keeps.
fn is_source(path: &Path) -> bool {
    // cargo writes Cargo.lock itself; the stack and its environment files are read at the start only.
    let ignored = |name: &str| {
        ["target", "Cargo.lock", "stack.yml", "stack.yaml", "flow.yml"].contains(&name)
            || name.starts_with('.')
            || name.ends_with('~')
    };
    !path.components().any(|part| part.as_os_str().to_str().is_some_and(ignored))
}

/// Whether a path is named as what becomes `target` in a project that was never built: cargo makes it under a name with six
/// letters or digits more, and renames it.
fn is_new_target(path: &Path) -> bool {
    let first = path.components().next().and_then(|first| first.as_os_str().to_str());
    let more = first.and_then(|first| first.strip_prefix("target"));
    more.is_some_and(|more| more.len() == 6 && more.bytes().all(|byte| byte.is_ascii_alphanumeric()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_counts_as_source() {
        for path in ["src/lib.rs", "Cargo.toml", "templates/a.html"] {
            assert!(is_source(Path::new(path)), "{path}");
        }
        for path in
            ["target/debug/x", "Cargo.lock", "stack.yml", ".git/index", "src/.lib.rs.swp", "src/lib.rs~", ".faasflow/q"]
        {
            assert!(!is_source(Path::new(path)), "{path}");
        }
    }

    #[tokio::test]
    async fn a_change_names_its_function() {
        let folder = tempfile::Builder::new().prefix("watched").tempdir().unwrap();
        let (one, two) = (folder.path().join("one"), folder.path().join("two"));
        std::fs::create_dir(&one).unwrap();
        std::fs::create_dir(&two).unwrap();
        let mut sources = Sources::watch(vec![("f1".into(), one), ("f2".into(), two.clone())]).unwrap();
        std::fs::write(two.join("lib.rs"), "x").unwrap();
        let changed = tokio::time::timeout(Duration::from_secs(20), sources.changed()).await.unwrap();
        assert_eq!(changed, ["f2"]);
    }

    #[tokio::test]
    async fn the_first_build_changes_nothing() {
        let folder = tempfile::Builder::new().prefix("watched").tempdir().unwrap();
        let mut sources = Sources::watch(vec![("f".into(), folder.path().to_owned())]).unwrap();
        // As cargo does it.
        std::fs::write(folder.path().join("Cargo.lock"), "x").unwrap();
        let (new, target) = (folder.path().join("targetQOFXzw"), folder.path().join("target"));
        std::fs::create_dir(&new).unwrap();
        std::fs::write(new.join("CACHEDIR.TAG"), "x").unwrap();
        std::fs::rename(new, target).unwrap();
        assert!(tokio::time::timeout(4 * QUIET, sources.changed()).await.is_err());
        // A source may be called so, too.
        std::fs::create_dir(folder.path().join("targetSystem")).unwrap();
        let changed = tokio::time::timeout(Duration::from_secs(20), sources.changed()).await.unwrap();
        assert_eq!(changed, ["f"]);
    }
}
