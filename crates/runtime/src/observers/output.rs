//! The log lines that are put before the output of a request if the setting `combine_output` is `true`.

use std::sync::{Mutex, PoisonError};

use faasflow_core::definition::masked_text;
use tracing::Level;

use super::event::Event;
use super::log_line::log_line;
use crate::log::RequestLog;

/// Collects the log lines of a request.
#[derive(Debug)]
pub(crate) struct Output {
    log: RequestLog,
    lines: Mutex<String>,
}

impl Output {
    /// Collects lines with the prefix of this log.
    pub(super) fn new(log: &RequestLog) -> Output {
        Output { log: log.clone(), lines: Mutex::default() }
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
            let (before, secrets) = (self.log.prefix(), self.log.secrets());
            let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
            let mut append = |text: std::fmt::Arguments<'_>| match branch {
                "" => crate::log::append_line(before, text, &mut lines),
                branch => crate::log::append_line(before, format_args!("{text} branch={branch}"), &mut lines),
            };
            match secrets.is_empty() {
                true => append(text),
                false => append(format_args!("{}", masked_text(&text.to_string(), &secrets))),
            }
        });
    }
}
