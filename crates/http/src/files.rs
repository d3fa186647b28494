//! The limit of open files. Each connection is a file.

use std::io;
use std::sync::OnceLock;

/// The limit that is assumed if it cannot be read.
#[cfg(unix)]
const UNKNOWN: u64 = 1024;
/// A higher limit would not help.
const MAX_FILES: u64 = 1 << 16;

/// The limit before it was raised.
static BEFORE: OnceLock<u64> = OnceLock::new();

/// Raises the limit of open files to at most 65,536, as far as the system allows. Returns the new limit.
pub fn raise_file_limit() -> u64 {
    BEFORE.get_or_init(file_limit);
    #[cfg(unix)]
    let raised = rlimit::increase_nofile_limit(MAX_FILES).unwrap_or_else(|_| file_limit());
    #[cfg(not(unix))]
    let raised = file_limit();
    raised
}

/// The limit before it was raised, if it was. Programs that use `select` cannot have more than 1,024 files open, so
/// child processes should get the original limit.
#[must_use]
pub fn file_limit_before() -> Option<u64> {
    BEFORE.get().copied()
}

/// The current limit of open files. Windows has no such limit on sockets; there, it is 65,536.
#[must_use]
pub fn file_limit() -> u64 {
    #[cfg(unix)]
    let limit = rlimit::Resource::NOFILE.get_soft().unwrap_or(UNKNOWN);
    #[cfg(not(unix))]
    let limit = MAX_FILES;
    limit
}

/// The codes of the system for "too many open files": `ENFILE` and `EMFILE`.
#[cfg(unix)]
const OUT_OF_FILES: [i32; 2] = [23, 24];
/// The codes of the system for "too many open files": `ERROR_TOO_MANY_OPEN_FILES` and `WSAEMFILE`.
#[cfg(not(unix))]
const OUT_OF_FILES: [i32; 2] = [4, 10024];

/// Whether an error means that this process or its system has no file descriptors left. Closing connections frees some.
#[must_use]
pub fn is_out_of_files(error: &io::Error) -> bool {
    error.raw_os_error().is_some_and(|code| OUT_OF_FILES.contains(&code))
}
