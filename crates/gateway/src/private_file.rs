//! Files that their owner alone may read, and that have their names only when they are whole and on disk.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// Files that are not whole yet begin with this. What is kept never begins with a dot.
const UNFINISHED: &str = ".new-";

/// Writes a file that must not be there yet.
pub(crate) fn create(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let file = Temporary::beside(path, bytes)?;
    // Unlike a rename, a link fails where the name is taken.
    fs::hard_link(&file.0, path)?;
    sync_folder(path)
}

/// Writes a file, in place of the one of that name if there is one.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let file = Temporary::beside(path, bytes)?;
    fs::rename(&file.0, path)?;
    sync_folder(path)
}

pub(crate) fn remove(path: &Path) -> io::Result<()> {
    fs::remove_file(path)?;
    sync_folder(path)
}

/// The names in a folder, sorted, without those of files that are not whole.
pub(crate) fn names(folder: &Path) -> io::Result<Vec<String>> {
    let mut names: Vec<String> = fs::read_dir(folder)?
        .filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned()))
        .filter(|name| !name.starts_with('.'))
        .collect();
    names.sort();
    Ok(names)
}

/// Makes a folder that its owner alone may look into.
pub(crate) fn folder(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

/// Removes what a gateway that was killed left unfinished. Only for who has the folder alone.
pub(crate) fn sweep(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(UNFINISHED) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// A file that is gone when this is dropped, unless it was renamed.
struct Temporary(PathBuf);

impl Temporary {
    fn beside(path: &Path, bytes: &[u8]) -> io::Result<Temporary> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        // Not made of the name, which may be as long as names can be.
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

fn sync_folder(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(folder) => fs::File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}
