//! The storage backend of redb: it writes to the file, or keeps the changes in memory for a trial.
//!
//! redb writes to a file as soon as it opens it, even more if it repairs the file. But a file that is damaged or has another
//! version must stay unchanged. So it is first opened on trial, and all writes go to memory. If the file is refused, they are
//! dropped. If it is adopted, they are written.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
#[cfg(unix)]
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use redb::StorageBackend;

#[cfg(windows)]
use super::positioned::Positioned as _;

const PAGE: usize = 4096;

/// A file of a redb database whose writes reach the disk, or stay in memory while it is on trial. Cloning yields the same one.
#[derive(Clone, Debug)]
pub(super) struct DatabaseFile {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    file: Arc<File>,
    on_trial: AtomicBool,
    overlay: Mutex<Overlay>,
}

/// The writes of a trial.
#[derive(Debug, Default)]
struct Overlay {
    pages: BTreeMap<u64, Box<[u8; PAGE]>>,
    /// The length that the file would have.
    length: u64,
    /// How much of the real file is visible. This is less than its length after it was shortened.
    shown: u64,
}

impl DatabaseFile {
    /// A file whose writes reach the disk.
    #[must_use]
    pub(super) fn real(file: Arc<File>) -> DatabaseFile {
        DatabaseFile { inner: Arc::new(Inner { file, on_trial: AtomicBool::new(false), overlay: Mutex::default() }) }
    }

    /// A file whose writes stay in memory until it is [adopted](DatabaseFile::adopt).
    ///
    /// # Errors
    ///
    /// If the length of the file cannot be read.
    pub(super) fn on_trial(file: Arc<File>) -> io::Result<DatabaseFile> {
        let length = file.metadata()?.len();
        let overlay = Mutex::new(Overlay { length, shown: length, ..Overlay::default() });
        Ok(DatabaseFile { inner: Arc::new(Inner { file, on_trial: AtomicBool::new(true), overlay }) })
    }

    /// Ends the trial. Earlier and later writes go to the file. The part that redb reads first is written last, after everything else is
    /// on disk, so that the file stays valid if the process is killed in between.
    ///
    /// # Errors
    ///
    /// If the file cannot be written.
    pub(super) fn adopt(&self) -> io::Result<()> {
        let mut overlay = self.inner.overlay.lock().unwrap_or_else(PoisonError::into_inner);
        let file = &self.inner.file;
        let before = file.metadata()?.len();
        if overlay.length > before {
            file.set_len(overlay.length)?;
        }
        let (first, rest) = (overlay.pages.remove(&0), std::mem::take(&mut overlay.pages));
        let write = |number: u64, page: &[u8; PAGE]| {
            let start = number * PAGE as u64;
            let size = usize::try_from(overlay.length.saturating_sub(start)).unwrap_or(PAGE).min(PAGE);
            file.write_all_at(&page[..size], start)
        };
        // Where the file was shortened and then made longer on trial, it still has its old bytes.
        let (mut start, end) = (overlay.shown, overlay.length.min(before));
        while start < end {
            let next = (start / PAGE as u64 + 1) * PAGE as u64;
            let is_written = |number| rest.contains_key(&number) || (number == 0 && first.is_some());
            if !is_written(start / PAGE as u64) {
                let size = usize::try_from(next.min(end) - start).unwrap_or(PAGE);
                file.write_all_at(&[0; PAGE][..size], start)?;
            }
            start = next;
        }
        for (number, page) in rest {
            write(number, &page)?;
        }
        file.sync_data()?;
        if let Some(page) = first {
            write(0, &page)?;
        }
        if overlay.length < before {
            file.set_len(overlay.length)?;
        }
        file.sync_data()?;
        self.inner.on_trial.store(false, Ordering::Release);
        Ok(())
    }

    fn overlay(&self) -> Option<MutexGuard<'_, Overlay>> {
        let is_on_trial = || self.inner.on_trial.load(Ordering::Acquire);
        if !is_on_trial() {
            return None;
        }
        let overlay = self.inner.overlay.lock().unwrap_or_else(PoisonError::into_inner);
        // The trial may have ended while this waited.
        is_on_trial().then_some(overlay)
    }
}

impl Overlay {
    fn page(&self, file: &File, number: u64) -> io::Result<Box<[u8; PAGE]>> {
        if let Some(page) = self.pages.get(&number) {
            return Ok(page.clone());
        }
        let mut page = Box::new([0; PAGE]);
        let start = number * PAGE as u64;
        let shown = usize::try_from(self.shown.saturating_sub(start)).unwrap_or(PAGE).min(PAGE);
        file.read_exact_at(&mut page[..shown], start)?;
        Ok(page)
    }

    /// Goes through the pages of a range. Yields the page, the offset in it, and the length.
    fn pieces(offset: u64, length: usize) -> impl Iterator<Item = (u64, usize, std::ops::Range<usize>)> {
        let mut done = 0;
        std::iter::from_fn(move || {
            (done < length).then(|| {
                let at = offset + done as u64;
                let start = usize::try_from(at % PAGE as u64).unwrap_or(0);
                let size = (PAGE - start).min(length - done);
                let piece = (at / PAGE as u64, start, done..done + size);
                done += size;
                piece
            })
        })
    }
}

impl StorageBackend for DatabaseFile {
    fn len(&self) -> io::Result<u64> {
        match self.overlay() {
            Some(overlay) => Ok(overlay.length),
            None => Ok(self.inner.file.metadata()?.len()),
        }
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let Some(overlay) = self.overlay() else { return self.inner.file.read_exact_at(out, offset) };
        if offset.saturating_add(out.len() as u64) > overlay.length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let end = offset + out.len() as u64;
        let pages = offset / PAGE as u64..end.div_ceil(PAGE as u64);
        // Most of a file is read as it is.
        if end <= overlay.shown && overlay.pages.range(pages).next().is_none() {
            drop(overlay);
            return self.inner.file.read_exact_at(out, offset);
        }
        for (number, start, piece) in Overlay::pieces(offset, out.len()) {
            let page = overlay.page(&self.inner.file, number)?;
            let size = piece.len();
            out[piece].copy_from_slice(&page[start..start + size]);
        }
        Ok(())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        let Some(mut overlay) = self.overlay() else { return self.inner.file.set_len(length) };
        if length < overlay.length {
            overlay.shown = overlay.shown.min(length);
            let whole_pages = length.div_ceil(PAGE as u64);
            overlay.pages.split_off(&whole_pages);
            // Bytes that are appended later are zeros at first, also in the last page.
            if let Some(page) = overlay.pages.get_mut(&(length / PAGE as u64)) {
                page[usize::try_from(length % PAGE as u64).unwrap_or(0)..].fill(0);
            }
        }
        overlay.length = length;
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        if self.overlay().is_some() {
            return Ok(());
        }
        #[cfg(test)]
        faults::check(&self.inner.file)?;
        self.inner.file.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let Some(mut overlay) = self.overlay() else { return self.inner.file.write_all_at(data, offset) };
        for (number, start, piece) in Overlay::pieces(offset, data.len()) {
            let mut page = overlay.page(&self.inner.file, number)?;
            let size = piece.len();
            page[start..start + size].copy_from_slice(&data[piece]);
            overlay.pages.insert(number, page);
        }
        overlay.length = overlay.length.max(offset + data.len() as u64);
        Ok(())
    }
}

/// Disks that accept writes and then fail to flush.
#[cfg(test)]
pub(crate) mod faults {
    use std::fs::File;
    use std::io;
    use std::os::unix::fs::MetadataExt as _;
    use std::path::Path;
    use std::sync::Mutex;

    static FAILING: Mutex<Vec<u64>> = Mutex::new(Vec::new());

    /// Sets whether flushes of a file fail.
    pub(crate) fn fail(path: &Path, fails: bool) {
        let inode = std::fs::metadata(path).unwrap().ino();
        let mut failing = FAILING.lock().unwrap();
        failing.retain(|&other| other != inode);
        if fails {
            failing.push(inode);
        }
    }

    pub(super) fn check(file: &File) -> io::Result<()> {
        let failing = FAILING.lock().unwrap().contains(&file.metadata()?.ino());
        if failing { Err(io::Error::other("the disk failed")) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trial_write_is_undone_and_the_file_stays() {
        let file = tempfile::tempfile().unwrap();
        let before: Vec<u8> = (0..3 * PAGE + 100).map(|byte| (byte % 251) as u8).collect();
        file.write_all_at(&before, 0).unwrap();
        let file = Arc::new(file);
        let trial = DatabaseFile::on_trial(file.clone()).unwrap();
        trial.write(PAGE as u64 - 2, b"abcd").unwrap();
        let mut read = [0; 8];
        trial.read(PAGE as u64 - 4, &mut read).unwrap();
        assert_eq!(&read[2..6], b"abcd");
        assert_eq!((read[0], read[7]), (before[PAGE - 4], before[PAGE + 3]));

        trial.set_len(PAGE as u64).unwrap();
        trial.set_len(3 * PAGE as u64).unwrap();
        trial.read(PAGE as u64, &mut read).unwrap();
        assert_eq!(read, [0; 8], "what was cut off does not come back");
        assert!(trial.read(3 * PAGE as u64 - 4, &mut read).is_err());

        let mut after = vec![0; before.len()];
        file.read_exact_at(&mut after, 0).unwrap();
        assert_eq!((after, file.metadata().unwrap().len()), (before.clone(), before.len() as u64));
    }

    #[test]
    fn adopted_changes_are_in_the_file() {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(&[1; 3 * PAGE], 0).unwrap();
        let file = Arc::new(file);
        let trial = DatabaseFile::on_trial(file.clone()).unwrap();
        trial.write(10, b"first").unwrap();
        trial.set_len(5 * PAGE as u64).unwrap();
        trial.write(4 * PAGE as u64 - 1, b"last").unwrap();
        trial.adopt().unwrap();
        trial.write(2 * PAGE as u64, b"after").unwrap();
        let mut read = vec![0; 5 * PAGE];
        file.read_exact_at(&mut read, 0).unwrap();
        assert_eq!((&read[10..15], &read[4 * PAGE - 1..4 * PAGE + 3]), (b"first".as_slice(), b"last".as_slice()));
        assert_eq!((&read[2 * PAGE..2 * PAGE + 5], read[PAGE], read[4 * PAGE + 3]), (b"after".as_slice(), 1, 0));
        assert_eq!(trial.len().unwrap(), 5 * PAGE as u64);

        let trial = DatabaseFile::on_trial(file.clone()).unwrap();
        trial.set_len(PAGE as u64 + 10).unwrap();
        trial.set_len(4 * PAGE as u64).unwrap();
        trial.write(2 * PAGE as u64 + 5, b"new").unwrap();
        let mut shown = vec![0; 4 * PAGE];
        trial.read(0, &mut shown).unwrap();
        assert_eq!((shown[PAGE + 9], shown[PAGE + 10]), (1, 0));
        trial.adopt().unwrap();
        let mut read = vec![0; 4 * PAGE];
        file.read_exact_at(&mut read, 0).unwrap();
        assert!(read == shown, "what was cut off does not come back");
        assert_eq!(file.metadata().unwrap().len(), 4 * PAGE as u64);

        trial.set_len(PAGE as u64).unwrap();
        assert_eq!(file.metadata().unwrap().len(), PAGE as u64);
    }
}
