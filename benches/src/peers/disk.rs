//! How long the disk takes to keep something. No step that is flushed can be faster.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::Failure;

const BLOCK: u64 = 4096;
/// The file already has its final length, so a flush only has data to write.
const BLOCKS: u64 = 256;
/// How long the disk is measured each time.
const SLICE: Duration = Duration::from_millis(30);

pub(super) struct Disk {
    file: File,
    pub(super) flushes_us: Vec<f64>,
}

impl Disk {
    pub(super) fn new(folder: &Path) -> Result<Disk, Failure> {
        let file = File::options().create(true).truncate(true).write(true).open(folder.join("disk"))?;
        file.write_all_at(&vec![0; (BLOCK * BLOCKS) as usize], 0)?;
        file.sync_all()?;
        Ok(Disk { file, flushes_us: Vec::new() })
    }

    /// Writes and flushes blocks for a while.
    pub(super) fn measure(&mut self) -> Result<(), Failure> {
        let begun = Instant::now();
        while begun.elapsed() < SLICE {
            let start = Instant::now();
            let block = self.flushes_us.len() as u64 % BLOCKS;
            self.file.write_all_at(&[1; BLOCK as usize], block * BLOCK)?;
            self.file.sync_data()?;
            self.flushes_us.push(start.elapsed().as_secs_f64() * 1e6);
        }
        Ok(())
    }
}
