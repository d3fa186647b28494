//! What `faasflow up` says, written by a thread of its own: a terminal that is stopped, or a pipe that nobody reads,
//! must not hold up a gateway, nor its stop.

use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use faasflow_gateway::Event;
use tokio::sync::oneshot;

use crate::progress::Progress;

/// How many lines may wait to be written. What comes when there are more is left out, and counted.
const WAITING: usize = 10_000;
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
        std::thread::Builder::new().name("screen".to_owned()).spawn(move || {
            write(&said);
            let _ = end.send(());
        })?;
        let screen = Screen { lines, left_out: Arc::default() };
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
            if self.lines.try_send(note).is_err() {
                self.left_out.fetch_add(left_out, Ordering::SeqCst);
            }
        }
        if self.lines.try_send(said).is_err() {
            self.left_out.fetch_add(1, Ordering::SeqCst);
        }
    }
}

fn write(said: &Receiver<Said>) {
    let mut progress = Progress::new(true);
    // The screen of the process stays, so the channel does: the end is told.
    while let Ok(said) = said.recv() {
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
            Some(screen) => screen.line(String::from_utf8_lossy(&self.0).trim_end()),
            None => {
                let _ = std::io::stderr().write_all(&self.0);
            }
        }
    }
}
