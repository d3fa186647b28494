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
/// With [`Buffering::Batched`], lines of level `INFO` and below may be buffered for a few milliseconds, until the returned
/// value is dropped. With [`Buffering::None`], each line is written at once, so that code of the flow that ends the process
/// loses none.
///
/// A line has at most 16 KiB. The rest is omitted, and the line says how much. If standard error is not read, logging waits
/// for at most a tenth of a second. Up to 1 MiB of lines is kept. Further lines are dropped and counted, and the log
/// mentions them once it can be written again. Systems other than Unix cannot do this: there, a line waits until standard
/// error is read, and requests that log wait with it.
///
/// # Errors
///
/// If `RUST_LOG` is not a valid filter.
pub fn start(config: &Config, buffering: Buffering) -> Result<Logging, FilterError> {
    let filter = filter(&config.log_filter, config.write_debug);
    let filter = filter.map_err(|fault| FilterError { filter: config.log_filter.clone(), fault })?;
    let own = RequestLines { format: config.log_format, level: most_detailed(&filter) };
    let subscriber = tracing_subscriber::registry().with(filter).with(Log(config.log_format));
    let first = set_global_default(subscriber).is_ok();
    if first {
        set_format(own.format);
        own.install();
    }
    std::panic::set_hook(Box::new(log_panic));
    Ok(Logging { _gathering: first.then(|| WriterThread::start(buffering)) })
}

/// Keeps the log of the process running. When it is dropped, the buffered lines are written. If standard error is not read,
/// this takes at most a second on Unix, and waits on other systems.
#[derive(Debug)]
#[must_use]
pub struct Logging {
    _gathering: Option<WriterThread>,
}

/// Logs a panic as an ordinary line, so that it has the id of the request whose step panics.
fn log_panic(panic: &PanicHookInfo<'_>) {
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
