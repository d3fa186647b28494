//! The log lines that are put before the output of a request if the setting `combine_output` is `true`.

use std::sync::{Mutex, PoisonError};

use tracing::Level;

use super::event::Event;
use super::log_line::log_line;
use crate::log::RequestLog;

/// Collects the log lines of a request.
#[derive(Debug)]
pub(crate) struct Output {
    /// The prefix of each line.
    before: String,
    lines: Mutex<String>,
}

impl Output {
    /// Collects lines with the prefix of this log.
    pub(super) fn new(log: &RequestLog) -> Output {
        Output { before: log.prefix().to_owned(), lines: Mutex::default() }
    }

    /// The lines so far.
    pub(super) fn lines(&self) -> String {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Output {
    /// Adds the line of an event, if it has one. `branch` is the path of the branch or item that it happened in, or empty.
    pub(super) fn observe(&self, branch: &str, event: &Event<'_>) {
        log_line(event, |level, _, text| {
            // The Go version had no debug lines in its output.
            if level == Level::DEBUG {
                return;
            }
            let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
            match branch {
                "" => crate::log::append_line(&self.before, text, &mut lines),
                branch => crate::log::append_line(&self.before, format_args!("{text} branch={branch}"), &mut lines),
            }
        });
    }
}
