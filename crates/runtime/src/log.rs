//! Log lines that carry their request's id, one per event, on standard error.

use std::borrow::Cow;
use std::fmt;
use std::sync::Mutex;

use faasflow_core::RequestId;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
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
    let subscriber =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).event_format(Lines).finish();
    let _ = tracing::subscriber::set_global_default(subscriber);
    Ok(())
}

/// A `RUST_LOG` that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`RUST_LOG` is `{0}`: write a level such as `info`, or targets such as `faasflow=debug,hyper=warn`")]
pub struct FilterError(String);

/// Writes the log lines of one request, and keeps them where the output is to begin with them.
#[derive(Debug)]
pub(crate) struct RequestLog {
    id: RequestId,
    kept: Option<Mutex<String>>,
}

impl RequestLog {
    pub(crate) fn new(id: RequestId, keep: bool) -> RequestLog {
        RequestLog { id, kept: keep.then(Mutex::default) }
    }

    pub(crate) fn info(&self, text: fmt::Arguments<'_>) {
        tracing::info!(target: "faasflow", request = %self.id, "{text}");
        self.keep(text);
    }

    pub(crate) fn warn(&self, text: fmt::Arguments<'_>) {
        tracing::warn!(target: "faasflow", request = %self.id, "{text}");
        self.keep(text);
    }

    pub(crate) fn error(&self, text: fmt::Arguments<'_>) {
        tracing::error!(target: "faasflow", request = %self.id, "{text}");
        self.keep(text);
    }

    /// For those who develop the flow; not kept, since it is no part of the classic output.
    pub(crate) fn debug(&self, text: fmt::Arguments<'_>) {
        tracing::debug!(target: "faasflow", request = %self.id, "{text}");
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

/// ``[Request `<id>`] text`` for a request's lines, the bare text for the others; levels other than
/// information in front.
struct Lines;

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut fields = Fields::default();
        event.record(&mut fields);
        match *event.metadata().level() {
            Level::INFO => {}
            level => write!(writer, "{level} ")?,
        }
        if let Some(request) = &fields.request {
            write!(writer, "[Request `{request}`] ")?;
        }
        writeln!(writer, "{}{}", one_line(&fields.message), fields.others)
    }
}

#[derive(Default)]
struct Fields {
    request: Option<String>,
    message: String,
    others: String,
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        use fmt::Write as _;
        match field.name() {
            "message" => self.message = format!("{value:?}"),
            "request" => self.request = Some(format!("{value:?}")),
            name => {
                let _ = write!(self.others, " {name}={value:?}");
            }
        }
    }
}
