//! Files that only their owner can read, and that get their names when they are complete and on disk.

use std::error::Error;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// The beginning of the names of unfinished files. Other names never begin with a dot.
const UNFINISHED: &str = ".new-";

/// Writes a file that must not exist yet.
///
/// # Errors
///
/// As for every change in this module: if it was not made, or if it was made and the disk does not confirm it. [`is_done`] tells which.
pub(crate) fn create(path: &Path, bytes: &[u8]) -> io::Result<()> {
    // Unlike a rename, a link fails if the name is taken.
    change(path, || fs::hard_link(&Temporary::beside(path, bytes)?.0, path))
}

/// Writes a file, and replaces one of that name.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    change(path, || fs::rename(&Temporary::beside(path, bytes)?.0, path))
}

pub(crate) fn remove(path: &Path) -> io::Result<()> {
    change(path, || fs::remove_file(path))
}

/// Whether the change was made. It may still be lost if the machine stops before it is on disk.
pub(crate) fn is_done(error: &io::Error) -> bool {
    error.get_ref().is_some_and(<dyn Error + Send + Sync>::is::<UnconfirmedChange>)
}

/// Why the disk did not confirm a change.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct UnconfirmedChange(io::Error);

/// Makes a change in the folder of this path, and waits until it is on disk.
fn change(path: &Path, change: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
    // Opened first, so that as little as possible can fail after the change. Windows does not open folders as files.
    let folder = path.parent().filter(|_| cfg!(unix)).map(fs::File::open).transpose()?;
    change()?;
    // The kind of the error is not passed on, because it says nothing about the file.
    folder.as_ref().map_or(Ok(()), sync).map_err(|error| io::Error::other(UnconfirmedChange(error)))
}

fn sync(folder: &fs::File) -> io::Result<()> {
    #[cfg(test)]
    if faulty::is_set() {
        return Err(io::ErrorKind::NotFound.into());
    }
    folder.sync_all()
}

/// A disk that never confirms anything, for tests.
#[cfg(test)]
pub(crate) mod faulty {
    use std::cell::Cell;

    thread_local!(static FAULTY: Cell<bool> = const { Cell::new(false) });

    pub(super) fn is_set() -> bool {
        FAULTY.get()
    }

    /// Runs `work` while nothing that this thread does is confirmed.
    pub(crate) fn during<T>(work: impl FnOnce() -> T) -> T {
        FAULTY.set(true);
        let outcome = work();
        FAULTY.set(false);
        outcome
    }
}

/// The names in a folder, sorted, without unfinished files.
pub(crate) fn names(folder: &Path) -> io::Result<Vec<String>> {
    let mut names: Vec<String> = fs::read_dir(folder)?
        .filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned()))
        .filter(|name| !name.starts_with('.'))
        .collect();
    names.sort();
    Ok(names)
}

/// Creates a folder that only its owner can access.
pub(crate) fn folder(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

/// Removes unfinished files of a gateway that was killed. No other gateway may be using the folder.
pub(crate) fn sweep(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(UNFINISHED) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// A file that is removed when this is dropped, unless it was renamed.
struct Temporary(PathBuf);

impl Temporary {
    fn beside(path: &Path, bytes: &[u8]) -> io::Result<Temporary> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        // The name is not part of it, because it may already have the greatest length.
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = path.with_file_name(format!("{UNFINISHED}{}-{number}", std::process::id()));
        let _ = fs::remove_file(&path);
        let mut options = fs::OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&path)?;
        let temporary = Temporary(path);
        file.write_all(bytes)?;
        file.sync_all()?;
        Ok(temporary)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unconfirmed_change_is_not_reported_as_undone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let read = || fs::read_to_string(&path).ok();
        let unconfirmed = |outcome: io::Result<()>| is_done(&outcome.unwrap_err());
        assert!(unconfirmed(faulty::during(|| create(&path, b"one"))));
        assert_eq!(read().as_deref(), Some("one"));
        assert!(unconfirmed(faulty::during(|| replace(&path, b"two"))));
        assert_eq!(read().as_deref(), Some("two"));
        let taken = faulty::during(|| create(&path, b"three")).unwrap_err();
        assert!(!is_done(&taken) && taken.kind() == io::ErrorKind::AlreadyExists);
        assert!(unconfirmed(faulty::during(|| remove(&path))));
        assert_eq!(read(), None);
        let absent = faulty::during(|| remove(&path)).unwrap_err();
        assert!(!is_done(&absent) && absent.kind() == io::ErrorKind::NotFound);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
