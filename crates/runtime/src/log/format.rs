//! The format of the log.

use std::sync::OnceLock;

use tracing::Level;

use super::{json, line};

/// The format of log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// ``[Request `<id>`] text``, for people to read.
    #[default]
    Line,
    /// One JSON object per line, for log stores.
    Json,
}

static FORMAT: OnceLock<LogFormat> = OnceLock::new();

/// Sets the format of the process. Only the first call has an effect.
pub(super) fn set_format(format: LogFormat) {
    let _ = FORMAT.set(format);
}

/// A line that says how many lines were dropped before it.
pub(super) fn dropped_lines(count: u64) -> String {
    let format = FORMAT.get().copied().unwrap_or_default();
    let lines = faasflow_core::counted(count, "log line");
    let text = format_args!("{lines} dropped here, because standard error was not read");
    let mut line = String::new();
    match format {
        LogFormat::Line => line::write_line(Level::WARN, None, None, text, &mut line),
        LogFormat::Json => json::write_line(Level::WARN, None, None, text, &mut line),
    }
    line
}
