//! The lines of requests, in the process whose log is ours.

use std::cell::Cell;
use std::fmt;
use std::sync::OnceLock;

use faasflow_core::code::Code;
use tracing::Level;
use tracing::level_filters::LevelFilter;

use super::format::LogFormat;
use super::request_context::RequestContext;
use super::{json, line, line_buffer};

/// How the lines of [`RequestLog`] are written by the process whose log is ours. They are more than all others, and do not
/// go through `tracing` there: to be an event that is filtered and visited costs a line several times what writing it does.
pub(super) struct RequestLines {
    pub(super) format: LogFormat,
    pub(super) level: LevelFilter,
}

static REQUEST_LINES: OnceLock<RequestLines> = OnceLock::new();

impl RequestLines {
    /// Has all lines of requests written so from now on.
    pub(super) fn install(self) {
        let _ = REQUEST_LINES.set(self);
    }

    /// How they are written, if the log of the process is ours.
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
    /// The room of the line before.
    static LINE: Cell<String> = const { Cell::new(String::new()) };
}

/// Longer lines are few: their room is given back.
const KEPT: usize = 4096;

/// Has a line written into the room of the one before, and passes it on.
pub(super) fn push(level: Level, write: impl FnOnce(&mut String)) {
    // Taken and not borrowed: a value may log something itself while it is shown.
    let mut line = LINE.try_with(Cell::take).unwrap_or_default();
    write(&mut line);
    line_buffer::push(&line, level <= Level::WARN);
    line.clear();
    line.shrink_to(KEPT);
    let _ = LINE.try_with(|kept| kept.set(line));
}
