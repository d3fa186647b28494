//! Standard error, where the system cannot tell whether a pipe has room, as on Windows.

use std::io::{self, Write as _};
use std::time::Duration;

/// How standard error is written to. A write waits for the reader, and so do the requests that log meanwhile.
pub(super) struct Sink(());

impl Sink {
    pub(super) fn standard_error() -> Sink {
        Sink(())
    }

    /// Writes everything. Waits until there is room.
    #[allow(clippy::unused_self, reason = "the other systems need it")]
    pub(super) fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        io::stderr().write_all(bytes).map(|()| bytes.len())
    }

    /// Returns at once, and always `true`: a write will do the waiting.
    #[allow(clippy::unused_self, reason = "the other systems need it")]
    pub(super) fn wait(&self, _at_most: Duration) -> bool {
        true
    }
}
