//! How the lines of the process are written.

use std::sync::OnceLock;

use tracing::Level;

use super::{json, line};

/// How log lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// ``[Request `<id>`] text``, for people.
    #[default]
    Line,
    /// An object a line, for a store of logs.
    Json,
}

static FORMAT: OnceLock<LogFormat> = OnceLock::new();

/// The lines of the process are written so from now on.
pub(super) fn set_format(format: LogFormat) {
    let _ = FORMAT.set(format);
}

/// The line that says that so many are missing before it.
pub(super) fn dropped_lines(count: u64) -> String {
    let format = FORMAT.get().copied().unwrap_or_default();
    let text = format_args!("{count} log lines are missing here: standard error was not read, and they were dropped");
    let mut line = String::new();
    match format {
        LogFormat::Line => line::write_line(Level::WARN, None, None, text, &mut line),
        LogFormat::Json => json::write_line(Level::WARN, None, None, text, &mut line),
    }
    line
}
