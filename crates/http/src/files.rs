//! How many files this process may have open: each connection is one.

use std::io;
use std::sync::OnceLock;

use rlimit::Resource;

/// What is assumed where it cannot be read.
const UNKNOWN: u64 = 1024;
/// More is of no use.
const MOST: u64 = 1 << 16;

/// The limit before it was raised.
static BEFORE: OnceLock<u64> = OnceLock::new();

/// Raises the limit of open files as far as the system allows, up to 65,536; the limit that holds then.
pub fn raise_file_limit() -> u64 {
    BEFORE.get_or_init(file_limit);
    rlimit::increase_nofile_limit(MOST).unwrap_or_else(|_| file_limit())
}

/// The limit that held before it was raised, if it was. Programs that use `select` cannot have more than 1,024 files, so
/// those that this process starts are to have the limit that was meant for them.
#[must_use]
pub fn file_limit_before() -> Option<u64> {
    BEFORE.get().copied()
}

/// How many files this process may have open.
#[must_use]
pub fn file_limit() -> u64 {
    Resource::NOFILE.get_soft().unwrap_or(UNKNOWN)
}

/// Whether an error says that this process, or its system, has no more files (`EMFILE`, `ENFILE`): connections that are
/// closed give some back.
#[must_use]
pub fn is_out_of_files(error: &io::Error) -> bool {
    const ENFILE: i32 = 23;
    const EMFILE: i32 = 24;
    matches!(error.raw_os_error(), Some(ENFILE | EMFILE))
}
