//! The files of large values. A database would keep them in memory while it writes them, and would not give back their space.
//!
//! A file is written completely and on disk before the database refers to it, and it is removed after the database no longer does.
//! After a crash there may be files that nothing refers to; they are removed at the next start.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::fs::File;
use tokio::io::AsyncWriteExt as _;

use super::error::StoreError;
use crate::private_file;

/// The folder of the files. Cloning is cheap.
#[derive(Clone, Debug)]
pub(super) struct Files(Arc<Path>);

impl Files {
    /// Opens the folder, and creates it if it does not exist.
    pub(super) fn open(folder: &Path) -> io::Result<Files> {
        private_file::folder(folder)?;
        Ok(Files(folder.into()))
    }

    fn path(&self, number: u64) -> PathBuf {
        self.0.join(format!("{number}.value"))
    }

    /// Removes all files but these. Call this only before the first value is written.
    pub(super) fn keep_only(&self, numbers: &HashSet<u64>) -> io::Result<()> {
        for entry in std::fs::read_dir(&self.0)? {
            let name = entry?.file_name();
            let number = name.to_str().and_then(|name| name.strip_suffix(".value")?.parse().ok());
            if number.is_some_and(|number| !numbers.contains(&number)) {
                let _ = std::fs::remove_file(self.0.join(name));
            }
        }
        Ok(())
    }

    /// Removes files. One that cannot be removed is removed at the next start.
    pub(super) fn remove(&self, numbers: Vec<u64>) {
        for number in numbers {
            let _ = std::fs::remove_file(self.path(number));
        }
    }

    /// Begins a file.
    pub(super) async fn create(&self, number: u64) -> Result<Upload, StoreError> {
        let path = self.path(number);
        let mut options = File::options();
        options.write(true).create_new(true);
        #[cfg(unix)]
        options.mode(0o600);
        let file = options.open(&path).await.map_err(StoreError::io)?;
        Ok(Upload { file, length: 0, path: Discarded(Some(path)) })
    }

    /// Opens a file; `None` if it was removed.
    pub(super) async fn read(&self, number: u64) -> Result<Option<File>, StoreError> {
        match File::open(self.path(number)).await {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(StoreError::io(error)),
        }
    }

    /// Waits until the names of the files are on disk.
    async fn sync(&self) -> Result<(), StoreError> {
        // Windows does not open folders as files.
        if !cfg!(unix) {
            return Ok(());
        }
        let folder = File::open(&self.0).await.map_err(StoreError::io)?;
        folder.sync_all().await.map_err(StoreError::io)
    }
}

/// A file that is being written. If it is dropped, the file is removed.
pub(super) struct Upload {
    file: File,
    length: u64,
    path: Discarded,
}

impl Upload {
    pub(super) async fn append(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.file.write_all(bytes).await.map_err(StoreError::io)?;
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// Completes the file, and returns its length when it is on disk. From now on it stays.
    pub(super) async fn finish(mut self, files: &Files) -> Result<u64, StoreError> {
        self.file.flush().await.map_err(StoreError::io)?;
        self.file.sync_all().await.map_err(StoreError::io)?;
        files.sync().await?;
        self.path.0 = None;
        Ok(self.length)
    }
}

/// A file that is removed when this is dropped.
struct Discarded(Option<PathBuf>);

impl Drop for Discarded {
    fn drop(&mut self) {
        if let Some(path) = self.0.take() {
            let _ = std::fs::remove_file(path);
        }
    }
}
