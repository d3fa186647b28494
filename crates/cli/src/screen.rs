//! The output of `faasflow up`. A separate thread writes it, so that a suspended terminal or a pipe that nobody reads
//! cannot block the gateway or its shutdown.

use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use faasflow_core::Problem;
use faasflow_core::counted;
use faasflow_core::line::cut;
use faasflow_gateway::Event;
use tokio::sync::oneshot;

use crate::progress::Progress;

/// How many lines may wait to be written, and how many bytes they may take. Lines beyond that are dropped and counted.
const WAITING: usize = 10_000;
const WAITING_BYTES: usize = 4 << 20;
/// How long to wait at the end for lines that are not written yet.
const PATIENCE: Duration = Duration::from_secs(1);

enum Message {
    Event(Event),
    Text(String),
    /// No message follows.
    End,
}

/// A handle to the writing thread.
#[derive(Clone)]
pub(crate) struct Screen {
    lines: SyncSender<Message>,
    waiting_bytes: Arc<AtomicUsize>,
    left_out: Arc<AtomicUsize>,
}

/// Completes when the writing thread has ended.
pub(crate) struct WriterEnd(oneshot::Receiver<()>);

/// The screen of this process, for its log lines.
static SCREEN: OnceLock<Screen> = OnceLock::new();

impl Screen {
    /// Starts the writing thread. From here on, the log of this process goes there too.
    pub(crate) fn start() -> std::io::Result<(Screen, WriterEnd)> {
        let (lines, messages) = sync_channel(WAITING);
        let (end, written) = oneshot::channel();
        let screen = Screen { lines, waiting_bytes: Arc::default(), left_out: Arc::default() };
        let waiting_bytes = screen.waiting_bytes.clone();
        std::thread::Builder::new().name("screen".to_owned()).spawn(move || {
            write(&messages, &waiting_bytes);
            let _ = end.send(());
        })?;
        let _ = SCREEN.set(screen.clone());
        Ok((screen, WriterEnd(written)))
    }

    pub(crate) fn event(&self, event: Event) {
        self.put(Message::Event(event));
    }

    pub(crate) fn line(&self, text: impl Into<String>) {
        self.put(Message::Text(text.into()));
    }

    fn put(&self, message: Message) {
        let left_out = self.left_out.swap(0, Ordering::SeqCst);
        if left_out > 0 {
            let lines = counted(left_out as u64, "line");
            let note = Message::Text(format!("(Dropped {lines}, because the output was read too slowly)"));
            if !self.send(note) {
                self.left_out.fetch_add(left_out, Ordering::SeqCst);
            }
        }
        if !self.send(message) {
            self.left_out.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Returns whether there was room.
    fn send(&self, message: Message) -> bool {
        let bytes = message.bytes();
        let fits = self.waiting_bytes.fetch_add(bytes, Ordering::SeqCst) + bytes <= WAITING_BYTES;
        let sent = fits && self.lines.try_send(message).is_ok();
        if !sent {
            self.waiting_bytes.fetch_sub(bytes, Ordering::SeqCst);
        }
        sent
    }
}

impl Message {
    /// The size in bytes of messages that can be large.
    fn bytes(&self) -> usize {
        match self {
            Message::Event(Event::Log { line, .. }) => line.len(),
            Message::Event(Event::BuildFailed { problems }) => {
                let bytes: usize = problems.iter().flat_map(Problem::causes).map(String::len).sum();
                bytes.min(WAITING_BYTES / 4)
            }
            Message::Event(_) | Message::End => 0,
            Message::Text(text) => text.len(),
        }
    }
}

fn write(messages: &Receiver<Message>, waiting_bytes: &AtomicUsize) {
    let mut progress = Progress::new(true);
    // `SCREEN` keeps a sender for ever, so the channel never closes: `Message::End` ends the loop.
    while let Ok(message) = messages.recv() {
        waiting_bytes.fetch_sub(message.bytes(), Ordering::SeqCst);
        match message {
            Message::Event(event) => progress.show(&event),
            Message::End => return,
            Message::Text(text) => progress.line(&text),
        }
    }
}

impl WriterEnd {
    /// Waits until everything is written, for at most [`PATIENCE`].
    pub(crate) async fn wait(self, screen: &Screen) {
        screen.put(Message::End);
        let _ = tokio::time::timeout(PATIENCE, self.0).await;
    }
}

/// Sends a log line to the screen, or to standard error if there is no screen yet.
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
        let (lines, messages) = sync_channel(WAITING);
        let screen = Screen { lines, waiting_bytes: Arc::default(), left_out: Arc::default() };
        for _ in 0..1_000 {
            screen.event(Event::Log { function: "f".to_owned(), line: "x".repeat(16 << 10) });
        }
        let waiting = messages.try_iter().count();
        assert_eq!((waiting, screen.left_out.load(Ordering::SeqCst)), (256, 744));
        // Writing makes room again.
        screen.waiting_bytes.store(0, Ordering::SeqCst);
        screen.line("next");
        let texts = messages.try_iter().filter(|message| matches!(message, Message::Text(_))).count();
        assert_eq!((texts, screen.left_out.load(Ordering::SeqCst)), (2, 0));
    }
}
