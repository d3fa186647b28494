//! Lines wait a moment for others, so that one write takes them all to standard error: to write each by itself costs a
//! busy flow more than to format it.

use std::io::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long a line waits at most. Too short for who follows the log to see, and long enough for a busy flow to gather
/// hundreds.
const WAIT: Duration = Duration::from_millis(20);

/// So many bytes are written without waiting for more.
const ROOM: usize = 64 * 1024;

/// Standard error is the process's, and so are the lines that wait for it.
static LINES: Gathered = Gathered {
    waiting: Mutex::new(Waiting { lines: Vec::new(), gathering: false, asleep: false }),
    some: Condvar::new(),
    writing: Mutex::new(Vec::new()),
    working: AtomicUsize::new(0),
};

struct Gathered {
    waiting: Mutex<Waiting>,
    /// Wakes the thread that writes, when there is something.
    some: Condvar,
    /// Held by who takes lines out and writes them, so that they are written in the order in which they came. In it is
    /// the room of those before.
    writing: Mutex<Vec<u8>>,
    /// How many requests are worked on.
    working: AtomicUsize,
}

struct Waiting {
    lines: Vec<u8>,
    /// Whether there is a thread that writes them. Without, they do not wait.
    gathering: bool,
    asleep: bool,
}

/// Gathers lines until it is dropped.
#[derive(Debug)]
pub(super) struct Gathering(());

impl Gathering {
    /// `None` if there can be no thread for it: then each line is written by itself.
    pub(super) fn start() -> Option<Gathering> {
        LINES.waiting().gathering = true;
        match std::thread::Builder::new().name("log".to_owned()).spawn(|| LINES.write_while_gathering()) {
            Ok(_) => Some(Gathering(())),
            Err(_) => {
                LINES.stop();
                None
            }
        }
    }
}

impl Drop for Gathering {
    fn drop(&mut self) {
        LINES.stop();
    }
}

/// A request is worked on for as long as this is kept. When none is, all lines are written: who has an answer of a flow
/// that does nothing else finds its lines.
pub(super) struct Working(());

impl Working {
    pub(super) fn begin() -> Working {
        LINES.working.fetch_add(1, Ordering::Relaxed);
        Working(())
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        if LINES.working.fetch_sub(1, Ordering::Relaxed) == 1 {
            LINES.write();
        }
    }
}

/// Takes a line, with its end. If it is urgent, it and all before it are written when this returns.
pub(super) fn push(line: &str, urgent: bool) {
    LINES.push(line.as_bytes(), urgent);
}

impl Gathered {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, line: &[u8], urgent: bool) {
        let mut waiting = self.waiting();
        waiting.lines.extend_from_slice(line);
        if urgent || !waiting.gathering || waiting.lines.len() >= ROOM {
            drop(waiting);
            // Where nobody reads standard error, this waits, and so does everyone with a line that finds no room.
            self.write();
        } else if std::mem::take(&mut waiting.asleep) {
            drop(waiting);
            self.some.notify_one();
        }
    }

    /// Writes all that waits.
    fn write(&self) {
        let mut lines = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::swap(&mut *lines, &mut self.waiting().lines);
        if !lines.is_empty() {
            // If that fails, there is nowhere to say so.
            let _ = std::io::stderr().write_all(&lines);
            lines.clear();
            lines.shrink_to(ROOM);
        }
    }

    /// The work of the thread, which sleeps while there is nothing.
    fn write_while_gathering(&self) {
        while self.wait_for_some() {
            std::thread::sleep(WAIT);
            self.write();
        }
    }

    /// Whether lines are still gathered.
    fn wait_for_some(&self) -> bool {
        let mut waiting = self.waiting();
        while waiting.lines.is_empty() && waiting.gathering {
            waiting.asleep = true;
            waiting = self.some.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
        waiting.gathering
    }

    fn stop(&self) {
        self.waiting().gathering = false;
        self.some.notify_one();
        self.write();
    }
}
