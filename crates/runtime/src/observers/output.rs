//! The lines that the output of a request begins with, where the setting `combine_output` asks for them.

use std::sync::{Mutex, PoisonError};

use tracing::Level;

use super::event::Event;
use super::log_line::log_line;
use super::observer::Observer;
use crate::log::RequestLog;

/// Keeps the log lines of a request.
#[derive(Debug)]
pub(crate) struct Output {
    /// What each line begins with.
    before: String,
    lines: Mutex<String>,
}

impl Output {
    /// Keeps the lines of this log.
    pub(super) fn new(log: &RequestLog) -> Output {
        Output { before: log.prefix().to_owned(), lines: Mutex::default() }
    }

    /// The lines so far.
    pub(super) fn lines(&self) -> String {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Observer for Output {
    fn observe(&self, event: &Event<'_>) {
        log_line(event, |level, _, text| {
            // Lines for those who develop the flow are no part of the classic output.
            if level != Level::DEBUG {
                let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
                crate::log::append_line(&self.before, text, &mut lines);
            }
        });
    }
}
