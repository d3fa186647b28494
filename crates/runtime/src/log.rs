//! Log lines that carry their request's id, one per event, on standard error.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Mutex;

use faasflow_core::RequestId;
use opentelemetry::trace::TraceId;
use serde::Serialize;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::subscriber::set_global_default;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime as _, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::{Context as LayerContext, Layer, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;

use crate::config::Config;

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
    let registry = tracing_subscriber::registry().with(filter).with(Scopes);
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let _ = match config.log_format {
        LogFormat::Line => set_global_default(registry.with(lines.event_format(Lines))),
        LogFormat::Json => set_global_default(registry.with(lines.event_format(Json))),
    };
    Ok(())
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

    /// What the flow's own code logs while in this belongs to the request too. The level is the highest, so that the
    /// filter takes it whenever it takes one of those lines.
    pub(crate) fn span(&self) -> tracing::Span {
        tracing::error_span!(
            target: "faasflow",
            "phase",
            request = %self.id,
            phase = self.known_phase(),
            trace_id = self.trace.map(tracing::field::display)
        )
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
    match text.contains('\n') {
        true => text.lines().collect::<Vec<_>>().join("\\n").into(),
        false => text.into(),
    }
}

/// Keeps what the span of a phase says, for the lines that are written in it.
struct Scopes;

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Scopes {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: LayerContext<'_, S>) {
        if attributes.metadata().target() == "faasflow"
            && let Some(span) = context.span(id)
        {
            let mut fields = Fields::default();
            attributes.record(&mut fields);
            span.extensions_mut().insert(fields.known);
        }
    }
}

/// An event's own fields, and what the phase around it says of its request.
fn gather<S, N>(context: &FmtContext<'_, S, N>, event: &Event<'_>) -> Fields
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    let mut fields = Fields::default();
    event.record(&mut fields);
    if fields.known.request.is_none() {
        let scope = context.event_scope().into_iter().flatten();
        if let Some(known) = scope.filter_map(|span| span.extensions().get::<Known>().cloned()).next() {
            fields.known = known;
        }
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
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let Fields { known, message, others } = gather(context, event);
        match *event.metadata().level() {
            Level::INFO => {}
            level => write!(writer, "{level} ")?,
        }
        if let Some(request) = &known.request {
            write!(writer, "[Request `{request}`] ")?;
        }
        write!(writer, "{}", one_line(&message))?;
        for (name, value) in &others {
            write!(writer, " {name}={}", one_line(value))?;
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
    message: &'a str,
    target: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    phase: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_id: Option<&'a str>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    fields: BTreeMap<&'a str, &'a str>,
}

impl<S, N> FormatEvent<S, N> for Json
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let Fields { known, message, others } = gather(context, event);
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
            fields: others.iter().map(|(name, value)| (*name, value.as_str())).collect(),
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
    known: Known,
    message: String,
    others: Vec<(&'static str, String)>,
}

impl Visit for Fields {
    fn record_u64(&mut self, field: &Field, value: u64) {
        match field.name() {
            "phase" => self.known.phase = Some(value),
            _ => self.record_debug(field, &value),
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" | "request" | "trace_id" => self.record_debug(field, &format_args!("{value}")),
            _ => self.record_debug(field, &value),
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        match field.name() {
            "message" => self.message = format!("{value:?}"),
            "request" => self.known.request = Some(format!("{value:?}")),
            "trace_id" => self.known.trace = Some(format!("{value:?}")),
            name => self.others.push((name, format!("{value:?}"))),
        }
    }
}
