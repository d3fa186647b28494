//! The log on standard error. Each event is one line, and the lines of a request carry its id.

mod bounded;
mod filter;
mod format;
mod json;
mod line;
mod line_buffer;
mod request;
mod request_context;
mod request_lines;
mod secret_values;
#[cfg_attr(not(unix), path = "log/blocking_sink.rs")]
mod sink;
mod start;
mod text;

pub use filter::FilterError;
pub(crate) use filter::{FilterFault, targets};
pub use format::LogFormat;
pub use line_buffer::Buffering;
pub(crate) use line_buffer::{dropped, flush};
pub(crate) use request::{RequestLog, append_line};
pub use start::{Logging, start};
pub use text::escaped;
