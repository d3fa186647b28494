//! Log lines that carry their request's id, one per event, on standard error.

mod bounded;
mod filter;
mod format;
mod gathered;
mod json;
mod known;
mod line;
mod own;
mod request;
#[cfg_attr(not(unix), path = "log/blocking_sink.rs")]
mod sink;
mod start;
mod text;

pub use filter::FilterError;
pub(crate) use filter::targets;
pub use format::LogFormat;
pub(crate) use gathered::{dropped, flush};
pub(crate) use request::{RequestLog, append};
pub use start::{Logging, start};
pub use text::escaped;
