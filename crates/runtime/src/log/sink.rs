//! Standard error, written to without waiting for whoever reads it.

use std::fs::File;
use std::io::{self, Write as _};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::FileType;

/// So much can be written to a pipe that is ready, without waiting: POSIX's `PIPE_BUF` on Linux. Other systems have less,
/// and a pipe there that is ready takes more than that all the same.
const PIECE: usize = 4096;

/// How standard error is written to.
pub(super) enum Sink {
    /// A pipe that was opened a second time, as one that does not block. To set that for the pipe that we were given would
    /// set it for every process that has it.
    Reopened(File),
    /// A file, which takes what it is given.
    File,
    /// A terminal, a socket, or a pipe that cannot be opened again: asked whether it is ready, then given a piece.
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

    /// Writes as much as there is room for now; 0 if there is none.
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

    /// Waits until something can be written, or it is known that nothing ever can; at most this long. Returns whether that
    /// is so.
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

/// Elsewhere `/dev/fd/2` is the same pipe and not another opening of it.
#[cfg(not(target_os = "linux"))]
fn reopened() -> Option<File> {
    None
}
