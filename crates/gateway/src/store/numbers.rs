use std::sync::atomic::{AtomicU64, Ordering};

/// Gives out numbers for versions, groups and files. No number is given twice, not even after a crash.
#[derive(Debug)]
pub(super) struct Numbers(AtomicU64);

impl Numbers {
    pub(super) fn from(first: u64) -> Numbers {
        Numbers(AtomicU64::new(first))
    }

    pub(super) fn next(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed)
    }
}
