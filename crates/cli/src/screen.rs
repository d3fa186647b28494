//! What `faasflow up` says, written by a thread of its own: a terminal that is stopped, or a pipe that nobody reads,
//! must not hold up a gateway, nor its stop.

use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use faasflow_core::line::cut;
use faasflow_gateway::Event;
use tokio::sync::oneshot;

use crate::progress::Progress;

/// How many lines may wait to be written, and how many bytes they may have. What comes when there are more is left out,
/// and counted.
const WAITING: usize = 10_000;
const WAITING_BYTES: usize = 4 << 20;
/// How long the end waits for what is not written yet.
const PATIENCE: Duration = Duration::from_secs(1);

enum Said {
    Event(Event),
    Text(String),
    /// Nothing comes after this.
    End,
}

/// Where lines go.
#[derive(Clone)]
pub(crate) struct Screen {
    lines: SyncSender<Said>,
    waiting_bytes: Arc<AtomicUsize>,
    left_out: Arc<AtomicUsize>,
}

/// The end of what is written.
pub(crate) struct Written(oneshot::Receiver<()>);

/// The screen of this process, for its log.
static SCREEN: OnceLock<Screen> = OnceLock::new();

impl Screen {
    /// Starts to write. The log of this process goes there too, from here on.
    pub(crate) fn start() -> std::io::Result<(Screen, Written)> {
        let (lines, said) = sync_channel(WAITING);
        let (end, written) = oneshot::channel();
        let screen = Screen { lines, waiting_bytes: Arc::default(), left_out: Arc::default() };
        let waiting_bytes = screen.waiting_bytes.clone();
        std::thread::Builder::new().name("screen".to_owned()).spawn(move || {
            write(&said, &waiting_bytes);
            let _ = end.send(());
        })?;
        let _ = SCREEN.set(screen.clone());
        Ok((screen, Written(written)))
    }

    pub(crate) fn event(&self, event: Event) {
        self.put(Said::Event(event));
    }

    pub(crate) fn line(&self, text: impl Into<String>) {
        self.put(Said::Text(text.into()));
    }

    fn put(&self, said: Said) {
        let left_out = self.left_out.swap(0, Ordering::SeqCst);
        if left_out > 0 {
            let note = Said::Text(format!("({left_out} lines are left out: they were not read)"));
            if !self.send(note) {
                self.left_out.fetch_add(left_out, Ordering::SeqCst);
            }
        }
        if !self.send(said) {
            self.left_out.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Returns whether there was room.
    fn send(&self, said: Said) -> bool {
        let bytes = said.bytes();
        let fits = self.waiting_bytes.fetch_add(bytes, Ordering::SeqCst) + bytes <= WAITING_BYTES;
        let sent = fits && self.lines.try_send(said).is_ok();
        if !sent {
            self.waiting_bytes.fetch_sub(bytes, Ordering::SeqCst);
        }
        sent
    }
}

impl Said {
    /// How much it holds, where that may be much.
    fn bytes(&self) -> usize {
        match self {
            Said::Event(Event::Log { line, .. }) => line.len(),
            Said::Event(Event::BuildFailed { output }) => output.len().min(WAITING_BYTES / 4),
            Said::Event(_) | Said::End => 0,
            Said::Text(text) => text.len(),
        }
    }
}

fn write(said: &Receiver<Said>, waiting_bytes: &AtomicUsize) {
    let mut progress = Progress::new(true);
    // The screen of the process stays, so the channel does: the end is told.
    while let Ok(said) = said.recv() {
        waiting_bytes.fetch_sub(said.bytes(), Ordering::SeqCst);
        match said {
            Said::Event(event) => progress.show(&event),
            Said::End => return,
            Said::Text(text) => progress.line(&text),
        }
    }
}

impl Written {
    /// Waits a moment until all is written.
    pub(crate) async fn wait(self, screen: &Screen) {
        screen.put(Said::End);
        let _ = tokio::time::timeout(PATIENCE, self.0).await;
    }
}

/// Takes a line of the log to the screen, where there is one.
#[derive(Default)]
pub(crate) struct LogLine(Vec<u8>);

impl Write for LogLine {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Drop for LogLine {
    fn drop(&mut self) {
        match SCREEN.get() {
            Some(screen) => screen.line(cut(String::from_utf8_lossy(&self.0).trim_end())),
            None => {
                let _ = std::io::stderr().write_all(&self.0);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r3_lines_that_nobody_reads_are_bounded_in_bytes_and_counted() {
        let (lines, said) = sync_channel(WAITING);
        let screen = Screen { lines, waiting_bytes: Arc::default(), left_out: Arc::default() };
        for _ in 0..1_000 {
            screen.event(Event::Log { function: "f".to_owned(), line: "x".repeat(16 << 10) });
        }
        let waiting = said.try_iter().count();
        assert_eq!((waiting, screen.left_out.load(Ordering::SeqCst)), (256, 744));
        // As it is written, there is room again.
        screen.waiting_bytes.store(0, Ordering::SeqCst);
        screen.line("next");
        let texts = said.try_iter().filter(|said| matches!(said, Said::Text(_))).count();
        assert_eq!((texts, screen.left_out.load(Ordering::SeqCst)), (2, 0));
    }
}
