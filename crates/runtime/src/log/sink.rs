//! Writes to standard error without waiting for its reader.

use std::fs::File;
use std::io::{self, Write as _};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::FileType;

/// How many bytes can be written without blocking to a pipe that is ready: `PIPE_BUF` on Linux. On other systems it is
/// smaller, but there a pipe that is ready accepts this much anyway.
const PIECE: usize = 4096;

/// How to write to standard error.
pub(super) enum Sink {
    /// A pipe that was opened a second time in non-blocking mode. Changing the mode of the pipe that we were given would
    /// affect every process that shares it.
    Reopened(File),
    /// A file, which can always be written to.
    File,
    /// A terminal, a socket, or a pipe that cannot be reopened. It is polled before each small write.
    Polled,
}

impl Sink {
    pub(super) fn standard_error() -> Sink {
        let stat = rustix::fs::fstat(rustix::stdio::stderr());
        match stat.map(|stat| FileType::from_raw_mode(stat.st_mode)) {
            Ok(FileType::RegularFile) => Sink::File,
            Ok(FileType::Fifo) => reopened().map_or(Sink::Polled, Sink::Reopened),
            _ => Sink::Polled,
        }
    }

    /// Writes as many bytes as possible without blocking. Returns 0 if it cannot be written to now.
    pub(super) fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        let written = match self {
            Sink::Reopened(pipe) => (&mut &*pipe).write(bytes),
            Sink::File => rustix::io::write(rustix::stdio::stderr(), bytes).map_err(io::Error::from),
            Sink::Polled if !self.wait(Duration::ZERO) => Ok(0),
            Sink::Polled => {
                let piece = &bytes[..bytes.len().min(PIECE)];
                rustix::io::write(rustix::stdio::stderr(), piece).map_err(io::Error::from)
            }
        };
        match written {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
            written => written,
        }
    }

    /// Waits, for a limited time, until something can be written or an error is certain. Returns whether that is the case.
    pub(super) fn wait(&self, at_most: Duration) -> bool {
        let stderr = rustix::stdio::stderr();
        let watched = match self {
            Sink::Reopened(pipe) => PollFd::new(pipe, PollFlags::OUT),
            Sink::File | Sink::Polled => PollFd::new(&stderr, PollFlags::OUT),
        };
        let limit =
            Timespec { tv_sec: at_most.as_secs().try_into().unwrap_or(1), tv_nsec: at_most.subsec_nanos().into() };
        poll(&mut [watched], Some(&limit)).is_ok_and(|ready| ready > 0)
    }
}

#[cfg(target_os = "linux")]
fn reopened() -> Option<File> {
    use std::os::unix::fs::OpenOptionsExt as _;

    let flags = rustix::fs::OFlags::NONBLOCK.bits().try_into().ok()?;
    File::options().write(true).custom_flags(flags).open("/proc/self/fd/2").ok()
}

/// On other systems, `/dev/fd/2` is the same open pipe, so it cannot be reopened.
#[cfg(not(target_os = "linux"))]
fn reopened() -> Option<File> {
    None
}
