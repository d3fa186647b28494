//! Writes the lines of requests directly, if Faasflow owns the log of the process.

use std::cell::Cell;
use std::fmt;
use std::sync::OnceLock;

use faasflow_core::code::Code;
use tracing::Level;
use tracing::level_filters::LevelFilter;

use super::format::LogFormat;
use super::request_context::RequestContext;
use super::{json, line, line_buffer};

/// How the lines of [`RequestLog`] are written if Faasflow owns the log of the process. These are most of the lines, so they
/// bypass `tracing`. Filtering and visiting an event costs several times as much as writing the line.
pub(super) struct RequestLines {
    pub(super) format: LogFormat,
    pub(super) level: LevelFilter,
}

static REQUEST_LINES: OnceLock<RequestLines> = OnceLock::new();

impl RequestLines {
    /// Makes all request lines be written like this from now on.
    pub(super) fn install(self) {
        let _ = REQUEST_LINES.set(self);
    }

    /// How request lines are written, if Faasflow owns the log of the process.
    pub(super) fn installed() -> Option<&'static RequestLines> {
        REQUEST_LINES.get()
    }

    pub(super) fn write(&self, level: Level, known: &RequestContext, code: Option<Code>, text: fmt::Arguments<'_>) {
        if level <= self.level {
            push(level, |line| match self.format {
                LogFormat::Line => line::write_line(level, Some(known), code, text, line),
                LogFormat::Json => json::write_line(level, Some(known), code, text, line),
            });
        }
    }
}

thread_local! {
    /// The buffer of the previous line, for reuse.
    static LINE: Cell<String> = const { Cell::new(String::new()) };
}

/// The capacity of the buffer that is kept for reuse. Longer lines are rare.
const KEPT_CAPACITY: usize = 4096;

/// Formats a line in the reused buffer and passes it on.
pub(super) fn push(level: Level, write: impl FnOnce(&mut String)) {
    // The buffer is taken, not borrowed, because a value may log something while it is formatted.
    let mut line = LINE.try_with(Cell::take).unwrap_or_default();
    write(&mut line);
    line_buffer::push(&line, level <= Level::WARN);
    line.clear();
    line.shrink_to(KEPT_CAPACITY);
    let _ = LINE.try_with(|current| current.set(line));
}
