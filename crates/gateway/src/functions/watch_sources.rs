//! Watches the sources of functions for changes.

use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// A change is over after this much time without another event. An editor saves a file in several steps, and version control
/// writes many files.
const QUIET: Duration = Duration::from_millis(300);

/// Watches the folders of functions.
pub(crate) struct Sources {
    folders: Vec<(String, PathBuf)>,
    changed: UnboundedReceiver<PathBuf>,
    /// Dropping it ends the watch.
    _watcher: RecommendedWatcher,
}

impl Sources {
    /// Watches these folders, each with the name of its function.
    ///
    /// # Errors
    ///
    /// If the operating system cannot watch them, for example because a limit is reached.
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

    /// Waits for a change and its end. Returns the names of the functions that changed.
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

/// Whether a path within a project is a source. Build results are not, and neither are the files of version control, editors
/// and the gateway.
fn is_source(path: &Path) -> bool {
    // cargo itself writes Cargo.lock. The stack and its environment files are only read at the start.
    let ignored = |name: &str| {
        ["target", "Cargo.lock", "stack.yml", "stack.yaml", "flow.yml"].contains(&name)
            || name.starts_with('.')
            || name.ends_with('~')
    };
    !path.components().any(|part| part.as_os_str().to_str().is_some_and(ignored))
}

/// Whether a path is a temporary folder that becomes `target`. In a project that was never built, cargo creates it with six
/// more letters or digits in its name, and then renames it.
fn is_new_target(path: &Path) -> bool {
    let first = path.components().next().and_then(|first| first.as_os_str().to_str());
    let more = first.and_then(|first| first.strip_prefix("target"));
    more.is_some_and(|more| more.len() == 6 && more.bytes().all(|byte| byte.is_ascii_alphanumeric()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn build_results_and_hidden_files_are_not_sources() {
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
    async fn a_change_is_reported_with_its_function() {
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
    async fn the_first_build_is_not_a_change() {
        let folder = tempfile::Builder::new().prefix("watched").tempdir().unwrap();
        let mut sources = Sources::watch(vec![("f".into(), folder.path().to_owned())]).unwrap();
        // The same steps as cargo's.
        std::fs::write(folder.path().join("Cargo.lock"), "x").unwrap();
        let (new, target) = (folder.path().join("targetQOFXzw"), folder.path().join("target"));
        std::fs::create_dir(&new).unwrap();
        std::fs::write(new.join("CACHEDIR.TAG"), "x").unwrap();
        std::fs::rename(new, target).unwrap();
        assert!(tokio::time::timeout(4 * QUIET, sources.changed()).await.is_err());
        // A source may have such a name.
        std::fs::create_dir(folder.path().join("targetSystem")).unwrap();
        let changed = tokio::time::timeout(Duration::from_secs(20), sources.changed()).await.unwrap();
        assert_eq!(changed, ["f"]);
    }
}
