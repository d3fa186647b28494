//! Starts the log of the process.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::panic::PanicHookInfo;

use tracing::subscriber::set_global_default;
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};

use super::filter::{FilterError, TARGET, filter, most_detailed};
use super::format::{LogFormat, set_format};
use super::line_buffer::{Buffering, WriterThread};
use super::request_lines::{RequestLines, push};
use super::{json, line};
use crate::config::Config;

/// Starts logging for the process. A second call changes nothing.
///
/// With `gathers`, lines of information may wait for a few milliseconds until what this returns is dropped; otherwise each
/// is written at once, so that code of the flow that ends the process loses none.
///
/// A line has at most 16 KiB; what is over that is left out, and the line says how much. Nobody waits for longer than a
/// tenth of a second until standard error is read: up to 1 MiB is kept, further lines are dropped and counted, and the log
/// says so once there is room again.
///
/// # Errors
///
/// If the filter of `RUST_LOG` cannot be read.
pub fn start(config: &Config, buffering: Buffering) -> Result<Logging, FilterError> {
    let filter = filter(&config.log_filter, config.write_debug);
    let filter = filter.map_err(|reason| FilterError { filter: config.log_filter.clone(), reason })?;
    let own = RequestLines { format: config.log_format, level: most_detailed(&filter) };
    let subscriber = tracing_subscriber::registry().with(filter).with(Log(config.log_format));
    let first = set_global_default(subscriber).is_ok();
    if first {
        set_format(own.format);
        own.install();
    }
    std::panic::set_hook(Box::new(told));
    Ok(Logging { _gathering: first.then(|| WriterThread::start(buffering)) })
}

/// The log of the process, to be kept until there is nothing more to say: when it is dropped, what waits is written, for as
/// long as a second if standard error takes nothing.
#[derive(Debug)]
#[must_use]
pub struct Logging {
    _gathering: Option<WriterThread>,
}

/// Has a panic be a line like any other, of the request whose step panics, rather than a text between the lines.
fn told(panic: &PanicHookInfo<'_>) {
    let text = panic.payload_as_str().unwrap_or("(no text)");
    let place = panic.location().map(|place| format!(" at {place}")).unwrap_or_default();
    let backtrace = Backtrace::capture();
    match backtrace.status() {
        BacktraceStatus::Captured => tracing::error!(target: TARGET, "panicked{place}: {text}\n{backtrace}"),
        _ => tracing::error!(target: TARGET, "panicked{place}: {text}"),
    }
}

/// Writes each event as a line.
struct Log(LogFormat);

impl<S: Subscriber> Layer<S> for Log {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        push(*event.metadata().level(), |line| match self.0 {
            LogFormat::Line => line::write_event(event, line),
            LogFormat::Json => json::write_event(event, line),
        });
    }
}
