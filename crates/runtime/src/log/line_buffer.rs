//! Lines wait a moment for others, so that one write takes them all to standard error: writing each by itself costs a
//! busy flow more than formatting it.
//!
//! Nobody waits for long on whoever reads standard error. Lines that cannot be written are kept, and when there are too
//! many, further ones are dropped and counted.

use std::io;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use super::format::dropped_lines;
use super::sink::Sink;

/// How long a line waits for others at most. Too short to be noticed by a person who follows the log, and long enough for
/// a busy flow to gather hundreds.
const WAIT: Duration = Duration::from_millis(20);

/// So many bytes are written without waiting for more.
const ROOM: usize = 64 * 1024;

/// So many bytes may wait while standard error takes none.
const BACKLOG: usize = 1 << 20;

/// How long whoever logs waits for room, once, until all that waited is written. A reader that is only slow gets all lines
/// of a flow that aborts.
const PATIENCE: Duration = Duration::from_millis(100);

/// How long the end of the process waits for the reader.
const LAST_LINES: Duration = Duration::from_secs(1);

/// Standard error is the process's, and so are the lines that wait for it.
static LINES: LineBuffer = LineBuffer {
    waiting: Mutex::new(Pending {
        lines: Vec::new(),
        gathering: false,
        running: false,
        asleep: false,
        stalled: false,
        dropped: 0,
    }),
    some: Condvar::new(),
    writing: Mutex::new(Batch { lines: Vec::new(), written: 0 }),
    sink: OnceLock::new(),
    working: AtomicUsize::new(0),
    dropped: AtomicU64::new(0),
};

struct LineBuffer {
    waiting: Mutex<Pending>,
    /// Wakes the thread that writes, when there is something.
    some: Condvar,
    /// Held by who takes lines out and writes them, so that they are written in the order in which they came.
    writing: Mutex<Batch>,
    sink: OnceLock<Sink>,
    /// How many requests are worked on.
    working: AtomicUsize,
    /// How many lines were dropped since the start.
    dropped: AtomicU64,
}

struct Pending {
    lines: Vec<u8>,
    /// Whether lines wait for others. Otherwise they are written at once.
    gathering: bool,
    /// Whether the thread that writes is to go on.
    running: bool,
    asleep: bool,
    /// Whether standard error had no room, and lines have been left over since.
    stalled: bool,
    /// How many lines were dropped since the log last said so.
    dropped: u64,
}

/// What has been taken out and is being written.
struct Batch {
    lines: Vec<u8>,
    written: usize,
}

/// Whether log lines may wait to be written together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Buffering {
    /// Each line is written at once.
    None,
    /// Lines may wait for a few milliseconds, so that one write takes many of them.
    Batched,
}

/// Writes the buffered lines until it is dropped.
#[derive(Debug)]
pub(super) struct WriterThread(());

impl WriterThread {
    /// `gathers` says whether lines wait for others. Without a thread none do, and what was left over is written with the
    /// line after it.
    pub(super) fn start(buffering: Buffering) -> WriterThread {
        LINES.waiting().running = true;
        match std::thread::Builder::new().name("log".to_owned()).spawn(|| LINES.write_while_running()) {
            Ok(_) => LINES.waiting().gathering = buffering == Buffering::Batched,
            Err(_) => LINES.waiting().running = false,
        }
        WriterThread(())
    }
}

impl Drop for WriterThread {
    fn drop(&mut self) {
        LINES.stop();
    }
}

/// A request is worked on for as long as this is kept. When none is, all lines are written: who has an answer of a flow
/// that does nothing else finds its lines.
pub(super) struct ActiveRequest(());

impl ActiveRequest {
    pub(super) fn begin() -> ActiveRequest {
        LINES.working.fetch_add(1, Ordering::Relaxed);
        ActiveRequest(())
    }
}

impl Drop for ActiveRequest {
    fn drop(&mut self) {
        if LINES.working.fetch_sub(1, Ordering::Relaxed) == 1 {
            LINES.write();
        }
    }
}

/// Takes a line, with its end. If it is urgent, it and all before it are written when this returns, as far as standard
/// error takes them.
pub(super) fn push(line: &str, urgent: bool) {
    LINES.push(line.as_bytes(), urgent);
}

/// How many lines this process has dropped because standard error did not take them.
pub(crate) fn dropped() -> u64 {
    LINES.dropped.load(Ordering::Relaxed)
}

/// Writes what waits, before the process exits.
pub(crate) fn flush() {
    LINES.flush(LAST_LINES);
}

impl LineBuffer {
    fn waiting(&self) -> MutexGuard<'_, Pending> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sink(&self) -> &Sink {
        self.sink.get_or_init(Sink::standard_error)
    }

    fn push(&self, line: &[u8], urgent: bool) {
        let mut waiting = self.waiting();
        // Once one is dropped, all are until the log says so: the place where they are missing is one.
        if waiting.dropped > 0 || waiting.lines.len() + line.len() > BACKLOG {
            waiting.dropped += 1;
            self.dropped.fetch_add(1, Ordering::Relaxed);
        } else {
            waiting.lines.extend_from_slice(line);
        }
        if urgent || !waiting.gathering || waiting.lines.len() >= ROOM {
            drop(waiting);
            self.write();
        } else if std::mem::take(&mut waiting.asleep) {
            drop(waiting);
            self.some.notify_one();
        }
    }

    /// Writes all that waits, as far as there is room. Returns whether it was all.
    fn write(&self) -> bool {
        let mut writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if writing.is_empty() && !self.refill(&mut writing) {
                return true;
            }
            match self.sink().write(writing.rest()) {
                Ok(0) if self.stalls() || !self.sink().wait(PATIENCE) => return false,
                Ok(written) => writing.written += written,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Nobody can read it any more, so there is nowhere to say so.
                Err(_) => {
                    let lines = writing.rest().iter().filter(|&&byte| byte == b'\n').count();
                    self.dropped.fetch_add(lines as u64, Ordering::Relaxed);
                    writing.written = writing.lines.len();
                }
            }
        }
    }

    /// Takes out what waits. Returns whether there was something.
    fn refill(&self, writing: &mut Batch) -> bool {
        writing.lines.clear();
        writing.lines.shrink_to(ROOM);
        writing.written = 0;
        let mut waiting = self.waiting();
        if waiting.dropped > 0 {
            // What was written last made room.
            let line = dropped_lines(std::mem::take(&mut waiting.dropped));
            waiting.lines.extend_from_slice(line.as_bytes());
        }
        std::mem::swap(&mut writing.lines, &mut waiting.lines);
        waiting.stalled &= !writing.lines.is_empty();
        !writing.lines.is_empty()
    }

    /// Leaves what is there to the thread. Returns whether it was left to it before.
    fn stalls(&self) -> bool {
        let mut waiting = self.waiting();
        let before = std::mem::replace(&mut waiting.stalled, true);
        if std::mem::take(&mut waiting.asleep) {
            drop(waiting);
            self.some.notify_one();
        }
        before
    }

    /// The work of the thread, which sleeps while there is nothing.
    fn write_while_running(&self) {
        while let Some(stalled) = self.wait_for_some() {
            if stalled {
                self.sink().wait(LAST_LINES);
            } else {
                std::thread::sleep(WAIT);
            }
            self.write();
        }
    }

    /// Whether lines are left over because there was no room; `None` at the end.
    fn wait_for_some(&self) -> Option<bool> {
        let mut waiting = self.waiting();
        while waiting.running && !waiting.stalled && (waiting.lines.is_empty() || !waiting.gathering) {
            waiting.asleep = true;
            waiting = self.some.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
        waiting.running.then_some(waiting.stalled)
    }

    fn stop(&self) {
        let mut waiting = self.waiting();
        (waiting.gathering, waiting.running) = (false, false);
        drop(waiting);
        self.some.notify_one();
        self.flush(LAST_LINES);
    }

    fn flush(&self, at_most: Duration) {
        let until = Instant::now() + at_most;
        while !self.write() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() || !self.sink().wait(left) {
                return;
            }
        }
    }
}

impl Batch {
    fn rest(&self) -> &[u8] {
        &self.lines[self.written..]
    }

    fn is_empty(&self) -> bool {
        self.rest().is_empty()
    }
}
