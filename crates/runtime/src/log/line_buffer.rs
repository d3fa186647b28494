//! Buffers log lines for a moment, so that one write passes many of them to standard error. For a busy flow, a separate
//! write for each line costs more than formatting it.
//!
//! If standard error is not read, nobody waits for it for long. Lines that cannot be written are kept, and when there are
//! too many of them, further lines are dropped and counted.

use std::io;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use super::format::dropped_lines;
use super::sink::Sink;

/// The longest time that a line is buffered. It is too short to be noticed by a person who follows the log, and long enough
/// for a busy flow to collect hundreds of lines.
const WAIT: Duration = Duration::from_millis(20);

/// The number of buffered bytes that are written without waiting for more.
const BATCH_SIZE: usize = 64 * 1024;

/// The most bytes that are kept while standard error cannot be written to.
const BACKLOG: usize = 1 << 20;

/// How long code that logs waits until standard error can be written to. It waits only once until all buffered lines are
/// written. Thanks to this, all lines of a flow that aborts reach a reader that is merely slow.
const WRITE_WAIT: Duration = Duration::from_millis(100);

/// How long the end of the process waits until standard error can be written to.
const LAST_LINES: Duration = Duration::from_secs(1);

/// There is one buffer per process, because there is one standard error.
static LINES: LineBuffer = LineBuffer {
    waiting: Mutex::new(Pending {
        lines: Vec::new(),
        buffering: false,
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
    /// Wakes the writer thread when there are lines to write.
    some: Condvar,
    /// Locked while lines are taken and written, so that they are written in order.
    writing: Mutex<Batch>,
    sink: OnceLock<Sink>,
    /// How many requests are being worked on.
    working: AtomicUsize,
    /// How many lines were dropped since the process started.
    dropped: AtomicU64,
}

struct Pending {
    lines: Vec<u8>,
    /// Whether lines are buffered. Otherwise they are written at once.
    buffering: bool,
    /// Whether the writer thread should continue.
    running: bool,
    asleep: bool,
    /// Whether standard error could not be written to, so that lines were left over.
    stalled: bool,
    /// How many lines were dropped since the log last mentioned it.
    dropped: u64,
}

/// The lines that are being written.
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
    /// Starts the writer thread. If that fails, lines are not buffered, and lines that could not be written are written
    /// together with the next one.
    pub(super) fn start(buffering: Buffering) -> WriterThread {
        LINES.waiting().running = true;
        match std::thread::Builder::new().name("log".to_owned()).spawn(|| LINES.write_while_running()) {
            Ok(_) => LINES.waiting().buffering = buffering == Buffering::Batched,
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

/// A request that is being worked on. When the last one is dropped, all buffered lines are written. If a flow does nothing
/// else, a client that has its answer therefore finds all lines of the request.
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

/// Adds a complete line. An urgent line, and all lines before it, are written before this returns, unless standard error
/// cannot be written to.
pub(super) fn push(line: &str, urgent: bool) {
    LINES.push(line.as_bytes(), urgent);
}

/// How many lines this process has dropped because standard error was not read.
pub(crate) fn dropped() -> u64 {
    LINES.dropped.load(Ordering::Relaxed)
}

/// Writes the buffered lines. Call this before the process exits.
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
        // Once a line is dropped, all further ones are dropped until the log has mentioned it. So there is only one gap.
        if waiting.dropped > 0 || waiting.lines.len() + line.len() > BACKLOG {
            waiting.dropped += 1;
            self.dropped.fetch_add(1, Ordering::Relaxed);
        } else {
            waiting.lines.extend_from_slice(line);
        }
        if urgent || !waiting.buffering || waiting.lines.len() >= BATCH_SIZE {
            drop(waiting);
            self.write();
        } else if std::mem::take(&mut waiting.asleep) {
            drop(waiting);
            self.some.notify_one();
        }
    }

    /// Writes all buffered lines, as far as possible. Returns whether none are left.
    fn write(&self) -> bool {
        let mut writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if writing.is_empty() && !self.refill(&mut writing) {
                return true;
            }
            match self.sink().write(writing.rest()) {
                Ok(0) if self.stalls() || !self.sink().wait(WRITE_WAIT) => return false,
                Ok(written) => writing.written += written,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Nobody can read standard error any more, so there is no place to report this.
                Err(_) => {
                    let lines = writing.rest().iter().filter(|&&byte| byte == b'\n').count();
                    self.dropped.fetch_add(lines as u64, Ordering::Relaxed);
                    writing.written = writing.lines.len();
                }
            }
        }
    }

    /// Takes the buffered lines. Returns whether there are any.
    fn refill(&self, writing: &mut Batch) -> bool {
        writing.lines.clear();
        writing.lines.shrink_to(BATCH_SIZE);
        writing.written = 0;
        let mut waiting = self.waiting();
        if waiting.dropped > 0 {
            // The last write made room.
            let line = dropped_lines(std::mem::take(&mut waiting.dropped));
            waiting.lines.extend_from_slice(line.as_bytes());
        }
        std::mem::swap(&mut writing.lines, &mut waiting.lines);
        waiting.stalled &= !writing.lines.is_empty();
        !writing.lines.is_empty()
    }

    /// Leaves the lines to the writer thread. Returns whether they were left to it before.
    fn stalls(&self) -> bool {
        let mut waiting = self.waiting();
        let before = std::mem::replace(&mut waiting.stalled, true);
        if std::mem::take(&mut waiting.asleep) {
            drop(waiting);
            self.some.notify_one();
        }
        before
    }

    /// Runs the writer thread, which sleeps while there is nothing to write.
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

    /// Waits for lines. Returns whether some are left over because they could not be written, or `None` at the end.
    fn wait_for_some(&self) -> Option<bool> {
        let mut waiting = self.waiting();
        while waiting.running && !waiting.stalled && (waiting.lines.is_empty() || !waiting.buffering) {
            waiting.asleep = true;
            waiting = self.some.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
        waiting.running.then_some(waiting.stalled)
    }

    fn stop(&self) {
        let mut waiting = self.waiting();
        (waiting.buffering, waiting.running) = (false, false);
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
