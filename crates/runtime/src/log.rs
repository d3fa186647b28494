//! Log lines that carry their request's id, one per event, on standard error.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::panic::PanicHookInfo;
use std::sync::Mutex;

use faasflow_core::RequestId;
use serde::Serialize;
use tracing::field::{Field, Visit};
use tracing::subscriber::set_global_default;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime as _, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;

use crate::config::Config;
use crate::trace::TraceId;

/// Starts logging for the process. A second call changes nothing.
///
/// # Errors
///
/// If the filter of `RUST_LOG` cannot be read.
pub fn start(config: &Config) -> Result<(), FilterError> {
    let filter = match config.log_filter.as_str() {
        "" if config.write_debug => EnvFilter::new("info,faasflow=debug,faasflow_runtime=debug"),
        "" => EnvFilter::new("info"),
        filter => EnvFilter::try_new(filter).map_err(|_| FilterError(filter.to_owned()))?,
    };
    let registry = tracing_subscriber::registry().with(filter);
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let _ = match config.log_format {
        LogFormat::Line => set_global_default(registry.with(lines.event_format(Lines))),
        LogFormat::Json => set_global_default(registry.with(lines.event_format(Json))),
    };
    std::panic::set_hook(Box::new(told));
    Ok(())
}

/// Has a panic be a line like any other, of the request whose step panics, rather than a text between the lines.
fn told(panic: &PanicHookInfo<'_>) {
    let text = panic.payload_as_str().unwrap_or("(no text)");
    let place = panic.location().map(|place| format!(" at {place}")).unwrap_or_default();
    let backtrace = Backtrace::capture();
    match backtrace.status() {
        BacktraceStatus::Captured => tracing::error!(target: "faasflow", "panicked{place}: {text}\n{backtrace}"),
        _ => tracing::error!(target: "faasflow", "panicked{place}: {text}"),
    }
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// ``[Request `<id>`] text``, for people.
    #[default]
    Line,
    /// An object a line, for a store of logs.
    Json,
}

/// A `RUST_LOG` that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`RUST_LOG` is `{0}`: write a level such as `info`, or targets such as `faasflow=debug,hyper=warn`")]
pub struct FilterError(String);

/// Writes the log lines of one request, and keeps them where the output is to begin with them.
#[derive(Debug)]
pub(crate) struct RequestLog {
    id: RequestId,
    /// 0 until it is known.
    phase: usize,
    trace: Option<TraceId>,
    kept: Option<Mutex<String>>,
}

/// Writes an event with what is known of its request.
macro_rules! write_event {
    ($level:ident, $log:expr, $text:expr) => {
        tracing::$level!(
            target: "faasflow",
            request = %$log.id,
            phase = $log.known_phase(),
            trace_id = $log.trace.map(tracing::field::display),
            "{}",
            $text
        )
    };
}

impl RequestLog {
    pub(crate) fn new(id: RequestId, keep: bool) -> RequestLog {
        RequestLog { id, phase: 0, trace: None, kept: keep.then(Mutex::default) }
    }

    /// The same for a phase, and for the trace that it is part of.
    pub(crate) fn of(mut self, phase: usize, trace: Option<TraceId>) -> RequestLog {
        self.phase = phase;
        self.trace = trace;
        self
    }

    /// Whatever is logged in this belongs to the request too: the lines of the flow's own code, and of the libraries that
    /// it uses. It is not a span of `tracing`, which the filter might take out.
    pub(crate) async fn of_all<T>(&self, work: impl Future<Output = T>) -> T {
        let phase = self.known_phase().map(|phase| phase as u64);
        let trace = self.trace.map(|trace| trace.to_string());
        REQUEST.scope(Known { request: Some(self.id.to_string()), phase, trace }, work).await
    }

    pub(crate) fn id(&self) -> &RequestId {
        &self.id
    }

    fn known_phase(&self) -> Option<usize> {
        Some(self.phase).filter(|&phase| phase > 0)
    }

    pub(crate) fn info(&self, text: fmt::Arguments<'_>) {
        write_event!(info, self, text);
        self.keep(text);
    }

    pub(crate) fn warn(&self, text: fmt::Arguments<'_>) {
        write_event!(warn, self, text);
        self.keep(text);
    }

    pub(crate) fn error(&self, text: fmt::Arguments<'_>) {
        write_event!(error, self, text);
        self.keep(text);
    }

    /// For those who develop the flow; not kept, since it is no part of the classic output.
    pub(crate) fn debug(&self, text: fmt::Arguments<'_>) {
        write_event!(debug, self, text);
    }

    fn keep(&self, text: fmt::Arguments<'_>) {
        if let Some(kept) = &self.kept {
            let line = format!("[Request `{}`] {}\n", self.id, one_line(&text.to_string()));
            kept.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push_str(&line);
        }
    }

    /// The lines so far, where they are kept.
    pub(crate) fn kept(&self) -> Option<String> {
        let kept = self.kept.as_ref()?;
        Some(kept.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone())
    }
}

/// One event, one line, whatever an error's text holds.
fn one_line(text: &str) -> Cow<'_, str> {
    match text.trim_end_matches(['\n', '\r']) {
        text if text.contains("\r\n") => escaped(&text.replace("\r\n", "\n")).into_owned().into(),
        text => escaped(text),
    }
}

/// The text with what would steer a terminal, end its line, or turn about what stands beside it, written as in Rust's strings:
/// who writes a text is not to clear the screen of who reads it, or to write over what its lines are shown under.
#[must_use]
pub fn escaped(text: &str) -> Cow<'_, str> {
    if !text.contains(steers) {
        return text.into();
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        if steers(character) { shown.extend(character.escape_default()) } else { shown.push(character) }
    }
    shown.into()
}

fn steers(character: char) -> bool {
    match character {
        '\t' => false,
        // Ends of lines and of paragraphs, and what changes the direction of writing.
        '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => true,
        character => character.is_control(),
    }
}

tokio::task_local! {
    /// The request that a task works on.
    static REQUEST: Known;
}

/// An event's own fields, and what is known of the request that it belongs to.
fn gather(event: &Event<'_>) -> Fields {
    // Names such as `request` are ours on our own lines alone.
    let mut fields = Fields { ours: event.metadata().target() == "faasflow", ..Fields::default() };
    event.record(&mut fields);
    if fields.known.request.is_none()
        && let Ok(known) = REQUEST.try_with(Known::clone)
    {
        fields.known = known;
    }
    fields
}

/// ``[Request `<id>`] text phase=<n> trace_id=<id>`` for a request's lines, the bare text for the others; levels other
/// than information in front.
struct Lines;

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let Fields { known, message, others, .. } = gather(event);
        match *event.metadata().level() {
            Level::INFO => {}
            level => write!(writer, "{level} ")?,
        }
        if let Some(request) = &known.request {
            write!(writer, "[Request `{request}`] ")?;
        }
        write!(writer, "{}", one_line(&message))?;
        for (name, value) in &others {
            match value {
                Value::Text(text) => write!(writer, " {name}={text:?}")?,
                Value::Shown(shown) => write!(writer, " {name}={}", one_line(shown))?,
                Value::Json(value) => write!(writer, " {name}={value}")?,
            }
        }
        if let Some(phase) = known.phase {
            write!(writer, " phase={phase}")?;
        }
        if let Some(trace) = &known.trace {
            write!(writer, " trace_id={trace}")?;
        }
        writeln!(writer)
    }
}

/// An object a line: `timestamp`, `level`, `message`, `target`; `request_id`, `phase` and `trace_id` of a request's
/// lines; and the event's own fields in `fields`.
struct Json;

#[derive(Serialize)]
struct JsonLine<'a> {
    timestamp: &'a str,
    level: &'a str,
    // Before the message, which may be long enough to be cut off by whoever reads.
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    phase: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_id: Option<&'a str>,
    message: &'a str,
    target: &'a str,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    fields: BTreeMap<&'a str, &'a Value>,
}

impl<S, N> FormatEvent<S, N> for Json
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let Fields { known, message, others, .. } = gather(event);
        let mut timestamp = String::new();
        SystemTime.format_time(&mut Writer::new(&mut timestamp))?;
        let line = JsonLine {
            timestamp: &timestamp,
            level: event.metadata().level().as_str(),
            message: &message,
            target: event.metadata().target(),
            request_id: known.request.as_deref(),
            phase: known.phase,
            trace_id: known.trace.as_deref(),
            fields: others.iter().map(|(name, value)| (*name, value)).collect(),
        };
        writeln!(writer, "{}", serde_json::to_string(&line).map_err(|_| fmt::Error)?)
    }
}

/// What is known of a line's request.
#[derive(Clone, Debug, Default)]
struct Known {
    request: Option<String>,
    phase: Option<u64>,
    trace: Option<String>,
}

#[derive(Default)]
struct Fields {
    ours: bool,
    known: Known,
    message: String,
    others: Vec<(&'static str, Value)>,
}

/// The value of a field.
#[derive(Serialize)]
#[serde(untagged)]
enum Value {
    Text(String),
    /// What its `Debug` or `Display` wrote.
    Shown(String),
    /// A number or a truth.
    Json(serde_json::Value),
}

impl Fields {
    fn other(&mut self, field: &Field, value: Value) {
        self.others.push((field.name(), value));
    }
}

impl Visit for Fields {
    fn record_u64(&mut self, field: &Field, value: u64) {
        match field.name() {
            "phase" if self.ours => self.known.phase = Some(value),
            _ => self.other(field, Value::Json(value.into())),
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.other(field, Value::Json(value.into()));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.other(field, Value::Json(value.into()));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.other(field, Value::Json(value.into()));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => value.clone_into(&mut self.message),
            _ => self.other(field, Value::Text(value.to_owned())),
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let shown = format!("{value:?}");
        match field.name() {
            "message" => self.message = shown,
            "request" if self.ours => self.known.request = Some(shown),
            "trace_id" if self.ours => self.known.trace = Some(shown),
            _ => self.other(field, Value::Shown(shown)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steers_a_terminal_is_shown_and_the_rest_is_left() {
        for (text, shown) in [
            ("Grüße\t„…“ 漢字 🦀 \\n", "Grüße\t„…“ 漢字 🦀 \\n"),
            ("\u{1b}]0;title\u{7}", r"\u{1b}]0;title\u{7}"),
            ("one\rtwo\n\u{0}\u{8}\u{7f}\u{9b}2J", r"one\rtwo\n\u{0}\u{8}\u{7f}\u{9b}2J"),
            (
                "a\u{2028}b\u{2029}c\u{202a}\u{202e}\u{2066}\u{2069}",
                r"a\u{2028}b\u{2029}c\u{202a}\u{202e}\u{2066}\u{2069}",
            ),
        ] {
            assert_eq!(escaped(text), shown);
        }
    }
}
