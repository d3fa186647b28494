//! Writes to standard error on systems where a pipe cannot be polled, such as Windows.

use std::io::{self, Write as _};
use std::time::Duration;

/// Standard error. A write waits for its reader, and requests that log have to wait as well.
pub(super) struct Sink(());

impl Sink {
    pub(super) fn standard_error() -> Sink {
        Sink(())
    }

    /// Writes all bytes. Waits until they can be written.
    #[allow(clippy::unused_self, reason = "it is needed on other systems")]
    pub(super) fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        io::stderr().write_all(bytes).map(|()| bytes.len())
    }

    /// Always returns `true` at once. The next write waits.
    #[allow(clippy::unused_self, reason = "it is needed on other systems")]
    pub(super) fn wait(&self, _at_most: Duration) -> bool {
        true
    }
}
