//! What functions write, the last of it kept, and heard as it comes.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use serde::Serialize;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::sync::broadcast;

use crate::event::{Event, Events};
use crate::queue::now_ms;

/// How many lines of a function are kept.
const KEPT_LINES: usize = 1000;
/// What is over that of one line is left out.
const LONGEST_LINE: usize = 16 * 1024;

/// A line that a function wrote.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct LogLine {
    pub(crate) timestamp_ms: u64,
    pub(crate) function: String,
    pub(crate) text: String,
}

/// The log of one function.
#[derive(Debug)]
pub(crate) struct Logs {
    function: String,
    lines: Mutex<VecDeque<LogLine>>,
    live: broadcast::Sender<LogLine>,
    events: Events,
}

impl Logs {
    pub(crate) fn new(function: String, events: Events) -> Logs {
        Logs { function, lines: Mutex::default(), live: broadcast::Sender::new(256), events }
    }

    pub(crate) fn push(&self, text: String) {
        let line = LogLine { timestamp_ms: now_ms(), function: self.function.clone(), text };
        let _ = self.events.send(Event::Log { function: self.function.clone(), line: line.text.clone() });
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = self.live.send(line.clone());
        if lines.len() == KEPT_LINES {
            lines.pop_front();
        }
        lines.push_back(line);
    }

    /// The last `count` lines.
    pub(crate) fn tail(&self, count: usize) -> Vec<LogLine> {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().skip(lines.len().saturating_sub(count)).cloned().collect()
    }

    /// The last `count` lines, none of them older than `since_ms`, and those from then on: none is left out, and none
    /// is there twice.
    pub(crate) fn follow(&self, count: usize, since_ms: u64) -> (Vec<LogLine>, broadcast::Receiver<LogLine>) {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let last = lines.iter().skip(lines.len().saturating_sub(count));
        (last.filter(|line| line.timestamp_ms >= since_ms).cloned().collect(), self.live.subscribe())
    }

    /// Takes lines until the writer closes its end.
    pub(crate) async fn take(&self, writer: impl AsyncRead + Unpin) {
        let mut reader = BufReader::new(writer);
        let mut line = Vec::new();
        loop {
            let (taken, ended) = match reader.fill_buf().await {
                Ok([]) | Err(_) => break,
                Ok(read) => {
                    let end = read.iter().position(|&byte| byte == b'\n');
                    let part = &read[..end.unwrap_or(read.len())];
                    // A line without end costs no memory.
                    line.extend_from_slice(&part[..part.len().min(LONGEST_LINE - line.len())]);
                    (part.len() + usize::from(end.is_some()), end.is_some())
                }
            };
            reader.consume(taken);
            if ended {
                self.push(text(&line));
                line.clear();
            }
        }
        if !line.is_empty() {
            self.push(text(&line));
        }
    }
}

fn text(line: &[u8]) -> String {
    String::from_utf8_lossy(line.trim_ascii_end()).into_owned()
}
