//! Log lines that carry their request's id, one per event, on standard error.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::borrow::Cow;
use std::cell::Cell;
use std::fmt::{self, Write as _};
use std::panic::PanicHookInfo;
use std::sync::{Mutex, PoisonError};

use faasflow_core::RequestId;
use tracing::level_filters::LevelFilter;
use tracing::subscriber::set_global_default;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};

use crate::config::Config;
use crate::trace::TraceId;

use self::gathered::{Gathering, Working};

mod gathered;
mod json;
mod line;

/// Starts logging for the process. A second call changes nothing.
///
/// Lines of information may wait for a few milliseconds until what this returns is dropped; from then on each is written at
/// once.
///
/// # Errors
///
/// If the filter of `RUST_LOG` cannot be read.
pub fn start(config: &Config) -> Result<Logging, FilterError> {
    let filter = match config.log_filter.as_str() {
        "" if config.write_debug => targets("info,faasflow=debug,faasflow_runtime=debug"),
        "" => targets("info"),
        filter => targets(filter),
    };
    let filter = filter.map_err(|accepted| FilterError { filter: config.log_filter.clone(), accepted })?;
    let subscriber = tracing_subscriber::registry().with(filter).with(Log(config.log_format));
    let first = set_global_default(subscriber).is_ok();
    std::panic::set_hook(Box::new(told));
    Ok(Logging { _gathering: if first { Gathering::start() } else { None } })
}

/// The log of the process, to be kept until there is nothing more to say: what waits is written when it is dropped.
#[derive(Debug)]
#[must_use]
pub struct Logging {
    _gathering: Option<Gathering>,
}

/// What a text in the syntax of `RUST_LOG` lets through, or what it should say.
///
/// It is what `tracing_subscriber`'s `EnvFilter` reads, but for spans and fields: these take a library of regular
/// expressions, a tenth of the program, to filter by what flows do not have.
pub(crate) fn targets(text: &str) -> Result<Targets, &'static str> {
    let accepted = "write a level such as `info`, or targets such as `faasflow=debug,hyper=warn`";
    let mut directives = text.split(',').map(str::trim).filter(|directive| !directive.is_empty()).peekable();
    directives.peek().ok_or(accepted)?;
    directives.try_fold(Targets::new(), |targets, directive| {
        if directive.contains(['[', ']', '{', '}']) {
            return Err("lines are chosen by level and target, not by spans or fields: write such as `info` or \
                        `faasflow=debug,hyper=warn`");
        }
        let (target, level) = match (directive.split_once('='), directive.parse::<LevelFilter>()) {
            (None, Ok(level)) => return Ok(targets.with_default(level)),
            (None, Err(_)) => (directive, LevelFilter::TRACE),
            (Some((_, "")), _) => return Err(accepted),
            (Some((target, level)), _) => (target, level.parse().map_err(|_| accepted)?),
        };
        let begins_well = target.starts_with(|c: char| c.is_alphanumeric() || "-:_".contains(c));
        if begins_well { Ok(targets.with_target(target, level)) } else { Err(accepted) }
    })
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
#[error("`RUST_LOG` is `{filter}`: {accepted}")]
pub struct FilterError {
    filter: String,
    accepted: &'static str,
}

/// Writes each event as a line.
struct Log(LogFormat);

thread_local! {
    /// The room of the line before.
    static LINE: Cell<String> = const { Cell::new(String::new()) };
}

/// Longer lines are few: their room is given back.
const KEPT: usize = 4096;

impl<S: Subscriber> Layer<S> for Log {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        // Taken and not borrowed: a value may log something itself while it is shown.
        let mut line = LINE.try_with(Cell::take).unwrap_or_default();
        match self.0 {
            LogFormat::Line => line::write(event, &mut line),
            LogFormat::Json => json::write(event, &mut line),
        }
        gathered::push(&line, *event.metadata().level() <= Level::WARN);
        line.clear();
        line.shrink_to(KEPT);
        let _ = LINE.try_with(|kept| kept.set(line));
    }
}

/// Writes the log lines of one request, and keeps them where the output is to begin with them.
#[derive(Debug)]
pub(crate) struct RequestLog {
    known: Known,
    kept: Option<Mutex<String>>,
}

/// Writes an event with what is known of its request: in fields for who subscribes to them, and as a scope for our own
/// lines, which need not format and find the fields again.
macro_rules! write_event {
    ($level:ident, $log:expr, $text:expr) => {
        REQUEST.sync_scope($log.known.clone(), || {
            tracing::$level!(
                target: "faasflow",
                request = %$log.known.request,
                phase = $log.known.phase,
                trace_id = $log.known.trace.map(tracing::field::display),
                "{}",
                $text
            );
        })
    };
}

impl RequestLog {
    pub(crate) fn new(id: RequestId, keep: bool) -> RequestLog {
        RequestLog { known: Known { request: id, phase: None, trace: None }, kept: keep.then(Mutex::default) }
    }

    /// The same for a phase, and for the trace that it is part of.
    pub(crate) fn of(mut self, phase: usize, trace: Option<TraceId>) -> RequestLog {
        self.known.phase = Some(phase as u64);
        self.known.trace = trace;
        self
    }

    /// Whatever is logged in this belongs to the request too: the lines of the flow's own code, and of the libraries that
    /// it uses. It is not a span of `tracing`, which the filter might take out.
    pub(crate) async fn of_all<T>(&self, work: impl Future<Output = T>) -> T {
        let _working = Working::begin();
        REQUEST.scope(self.known.clone(), work).await
    }

    pub(crate) fn id(&self) -> &RequestId {
        &self.known.request
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
            let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
            let _ = write!(kept, "[Request `{}`] ", self.known.request);
            let start = kept.len();
            let _ = kept.write_fmt(text);
            one_line(&mut kept, start);
            kept.push('\n');
        }
    }

    /// The lines so far, where they are kept.
    pub(crate) fn kept(&self) -> Option<String> {
        let kept = self.kept.as_ref()?;
        Some(kept.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

/// What is known of a line's request.
#[derive(Clone, Debug)]
struct Known {
    request: RequestId,
    phase: Option<u64>,
    trace: Option<TraceId>,
}

tokio::task_local! {
    /// The request that a task works on.
    static REQUEST: Known;
}

impl Known {
    /// Of the request that is worked on here, if any.
    fn here() -> Option<Known> {
        REQUEST.try_with(Known::clone).ok()
    }
}

/// Whether an event is one of this module's, whose fields are known without them.
fn is_ours(event: &Event<'_>) -> bool {
    event.metadata().module_path() == Some(module_path!())
}

/// One event, one line, whatever an error's text holds: does this to what stands in a text from `start` on.
fn one_line(text: &mut String, start: usize) {
    let end = start + text[start..].trim_end_matches(['\n', '\r']).len();
    text.truncate(end);
    if !is_plain(&text[start..]) {
        let shown = escaped(&text[start..].replace("\r\n", "\n")).into_owned();
        text.replace_range(start.., &shown);
    }
}

/// The text with what would steer a terminal, end its line, or turn about what stands beside it, written as in Rust's strings:
/// who writes a text is not to clear the screen of who reads it, or to write over what its lines are shown under.
#[must_use]
pub fn escaped(text: &str) -> Cow<'_, str> {
    if is_plain(text) || !text.contains(steers) {
        return text.into();
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        if steers(character) { shown.extend(character.escape_default()) } else { shown.push(character) }
    }
    shown.into()
}

/// Whether a text is what most are, which is found faster than that none of its characters steers: without leaving off
/// early, many bytes are looked at together.
fn is_plain(text: &str) -> bool {
    text.bytes().fold(true, |plain, byte| plain & matches!(byte, b' '..=b'~' | b'\t'))
}

fn steers(character: char) -> bool {
    match character {
        '\t' => false,
        // Ends of lines and of paragraphs, and what changes the direction of writing.
        '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => true,
        character => character.is_control(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_levels_and_targets() {
        let enabled = |filter: &str, target: &str, level| targets(filter).unwrap().would_enable(target, &level);
        assert!(enabled("info", "any", Level::INFO) && !enabled("info", "any", Level::DEBUG));
        assert!(enabled(" WARN , faasflow=5,", "faasflow", Level::TRACE));
        assert!(!enabled("warn,faasflow=debug,faasflow::quiet=off", "faasflow::quiet", Level::ERROR));
        assert!(enabled("faasflow", "faasflow_runtime", Level::TRACE) && !enabled("faasflow", "hyper", Level::ERROR));
        for filter in
            ["", ",", "faasflow=loud", "faasflow=", "=info", "a=b=info", "*", "[call]=debug", "x[call{id=1,b}]"]
        {
            assert!(targets(filter).is_err(), "{filter}");
        }
        assert!(targets("hyper[call{id=1}]=debug").unwrap_err().contains("not by spans or fields"));
    }

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
