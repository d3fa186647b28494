//! Log lines that carry their request's id, one per event, on standard error.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::borrow::Cow;
use std::cell::Cell;
use std::fmt::{self, Write as _};
use std::panic::PanicHookInfo;
use std::sync::{Arc, OnceLock};

use faasflow_core::RequestId;
use faasflow_core::graph::Place;
use tracing::level_filters::LevelFilter;
use tracing::subscriber::set_global_default;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};

use crate::config::Config;
use crate::trace::TraceId;

use self::bounded::{Bounded, LONGEST_LINE, NOTE};
use self::gathered::{Gathering, Working};

mod bounded;
mod gathered;
mod json;
mod line;
mod sink;

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
pub fn start(config: &Config, gathers: bool) -> Result<Logging, FilterError> {
    let filter = filter(&config.log_filter, config.write_debug);
    let filter = filter.map_err(|reason| FilterError { filter: config.log_filter.clone(), reason })?;
    let own = OwnLines { format: config.log_format, level: most_detailed(&filter) };
    let subscriber = tracing_subscriber::registry().with(filter).with(Log(config.log_format));
    let first = set_global_default(subscriber).is_ok();
    if first {
        let _ = OWN_LINES.set(own);
    }
    std::panic::set_hook(Box::new(told));
    Ok(Logging { _gathering: first.then(|| Gathering::start(gathers)) })
}

/// What `RUST_LOG` lets through, and our own debug lines besides if they are asked for and it says nothing else of them.
fn filter(log_filter: &str, write_debug: bool) -> Result<Targets, String> {
    let said = if log_filter.is_empty() { "info" } else { log_filter };
    // Of two for the same target the later one counts.
    if write_debug { targets(&format!("{TARGET}=debug,{said}")) } else { targets(said) }
}

/// The log of the process, to be kept until there is nothing more to say: when it is dropped, what waits is written, for as
/// long as a second if standard error takes nothing.
#[derive(Debug)]
#[must_use]
pub struct Logging {
    _gathering: Option<Gathering>,
}

/// Writes what waits, as dropping the [`Logging`] does, for whoever is about to exit the process.
pub(crate) fn flush() {
    gathered::flush();
}

/// How many lines were dropped since the start of the process, because standard error did not take them.
pub(crate) fn dropped() -> u64 {
    gathered::dropped()
}

/// The line that says that so many are missing before it.
fn dropped_lines(count: u64) -> String {
    let format = OWN_LINES.get().map_or(LogFormat::Line, |own| own.format);
    let text = format_args!("{count} log lines are missing here: standard error was not read, and they were dropped");
    let mut line = String::new();
    match format {
        LogFormat::Line => line::write_own(Level::WARN, None, text, &mut line),
        LogFormat::Json => json::write_own(Level::WARN, None, text, &mut line),
    }
    line
}

/// The most detailed level of our own lines that a filter lets through.
fn most_detailed(filter: &Targets) -> LevelFilter {
    let levels = [Level::TRACE, Level::DEBUG, Level::INFO, Level::WARN, Level::ERROR];
    let passes = |level: &Level| filter.would_enable(TARGET, level);
    levels.into_iter().find(passes).map_or(LevelFilter::OFF, LevelFilter::from_level)
}

/// The target of our own lines.
const TARGET: &str = "faasflow";

/// What a text in the syntax of `RUST_LOG` lets through, or what is wrong with it.
///
/// It is what `tracing_subscriber`'s `EnvFilter` reads, but for two things. Spans and fields take a library of regular
/// expressions, a tenth of the program, to filter by what flows do not have. And a word alone is a level: `EnvFilter` would
/// take a misspelt one for a target, and be silent about all others.
pub(crate) fn targets(text: &str) -> Result<Targets, String> {
    let mut directives = text.split(',').map(str::trim).filter(|directive| !directive.is_empty()).peekable();
    directives.peek().ok_or(FILTERS)?;
    directives.try_fold(Targets::new(), |targets, directive| {
        if directive.contains(['[', ']', '{', '}']) {
            return Err(format!("lines are chosen by level and target, not by spans or fields: {FILTERS}"));
        }
        let Some((target, level)) = directive.split_once('=') else {
            return match directive.parse::<LevelFilter>() {
                Ok(level) => Ok(targets.with_default(level)),
                Err(_) => Err(format!("`{directive}` is no level: {FILTERS}; a level is one of {LEVELS}")),
            };
        };
        let (target, level) = (target.trim_end(), level.trim_start());
        if target.is_empty() || !target.chars().all(|c| c.is_alphanumeric() || "-:_.".contains(c)) {
            return Err(format!("`{target}` is no target: {FILTERS}"));
        }
        // An empty one would be read as `error`.
        match level.parse::<LevelFilter>() {
            Ok(level_filter) if !level.is_empty() => Ok(targets.with_target(target, level_filter)),
            _ => Err(format!("`{level}` is no level: write one of {LEVELS}")),
        }
    })
}

/// What a filter can be.
const FILTERS: &str = "write a level such as `info`, or targets such as `faasflow=debug,hyper=warn`";

const LEVELS: &str = "`off`, `error`, `warn`, `info`, `debug` and `trace`";

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
#[error("`RUST_LOG` is `{filter}`: {reason}")]
pub struct FilterError {
    filter: String,
    reason: String,
}

/// Writes each event as a line.
struct Log(LogFormat);

/// How the lines of [`RequestLog`] are written by the process whose log is ours. They are more than all others, and do not
/// go through `tracing` there: to be an event that is filtered and visited costs a line several times what writing it does.
struct OwnLines {
    format: LogFormat,
    level: LevelFilter,
}

static OWN_LINES: OnceLock<OwnLines> = OnceLock::new();

impl OwnLines {
    fn write(&self, level: Level, known: &Known, text: fmt::Arguments<'_>) {
        if level <= self.level {
            push(level, |line| match self.format {
                LogFormat::Line => line::write_own(level, Some(known), text, line),
                LogFormat::Json => json::write_own(level, Some(known), text, line),
            });
        }
    }
}

thread_local! {
    /// The room of the line before.
    static LINE: Cell<String> = const { Cell::new(String::new()) };
}

/// Longer lines are few: their room is given back.
const KEPT: usize = 4096;

impl<S: Subscriber> Layer<S> for Log {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        push(*event.metadata().level(), |line| match self.0 {
            LogFormat::Line => line::write(event, line),
            LogFormat::Json => json::write(event, line),
        });
    }
}

/// Has a line written into the room of the one before, and passes it on.
fn push(level: Level, write: impl FnOnce(&mut String)) {
    // Taken and not borrowed: a value may log something itself while it is shown.
    let mut line = LINE.try_with(Cell::take).unwrap_or_default();
    write(&mut line);
    gathered::push(&line, level <= Level::WARN);
    line.clear();
    line.shrink_to(KEPT);
    let _ = LINE.try_with(|kept| kept.set(line));
}

/// Writes the log lines of one request.
#[derive(Debug)]
pub(crate) struct RequestLog {
    known: Arc<Known>,
}

/// Writes a line where the log is ours, and has whoever subscribes to events else know it, with its request in fields.
macro_rules! write_line {
    ($event:ident, $level:ident, $log:expr, $text:expr) => {
        match OWN_LINES.get() {
            Some(lines) => lines.write(Level::$level, &$log.known, $text),
            None => tracing::$event!(
                target: TARGET,
                request = %$log.known.request,
                phase = $log.known.phase,
                trace_id = $log.known.trace.map(tracing::field::display),
                "{}",
                $text
            ),
        }
    };
}

impl RequestLog {
    pub(crate) fn new(id: RequestId) -> RequestLog {
        RequestLog { known: Arc::new(Known::new(id, None, None)) }
    }

    /// The same for a phase, and for the trace that it is part of.
    pub(crate) fn of_phase(id: RequestId, place: &Place, trace: Option<TraceId>) -> RequestLog {
        RequestLog { known: Arc::new(Known::new(id, Some(place.phase() as u64), trace)) }
    }

    /// Whatever is logged in this belongs to the request too: the lines of the flow's own code, and of the libraries that
    /// it uses. It is not a span of `tracing`, which the filter might take out.
    pub(crate) async fn of_all<T>(&self, work: impl Future<Output = T>) -> T {
        let _working = Working::begin();
        REQUEST.scope(self.known.clone(), work).await
    }

    /// Writes a line.
    pub(crate) fn write(&self, level: Level, text: fmt::Arguments<'_>) {
        match level {
            Level::ERROR => write_line!(error, ERROR, self, text),
            Level::WARN => write_line!(warn, WARN, self, text),
            Level::INFO => write_line!(info, INFO, self, text),
            Level::DEBUG => write_line!(debug, DEBUG, self, text),
            Level::TRACE => write_line!(trace, TRACE, self, text),
        }
    }

    /// What the lines of the request begin with.
    pub(crate) fn before(&self) -> &str {
        self.known.before()
    }
}

/// Appends a line to others, as long as one of the log may be.
pub(crate) fn append(before: &str, text: fmt::Arguments<'_>, lines: &mut String) {
    lines.push_str(before);
    let end = lines.len() + LONGEST_LINE - NOTE - before.len();
    let mut line = Bounded::new(lines, end);
    line.show(text);
    line.finish();
    lines.push('\n');
}

/// What is known of a line's request.
#[derive(Debug)]
struct Known {
    request: RequestId,
    phase: Option<u64>,
    trace: Option<TraceId>,
    /// What stands before the text of a line for people, and what behind it: the same for all lines of the request.
    around: String,
    /// Where the second part begins.
    behind: usize,
}

tokio::task_local! {
    /// The request that a task works on.
    static REQUEST: Arc<Known>;
}

impl Known {
    fn new(request: RequestId, phase: Option<u64>, trace: Option<TraceId>) -> Known {
        let mut around = String::with_capacity(128);
        around.extend(["[Request `", request.as_str(), "`] "]);
        let behind = around.len();
        if let Some(phase) = phase {
            around.extend([" phase=", &phase.to_string()]);
        }
        if let Some(trace) = trace {
            let _ = write!(around, " trace_id={trace}");
        }
        Known { request, phase, trace, around, behind }
    }

    fn before(&self) -> &str {
        &self.around[..self.behind]
    }

    fn behind(&self) -> &str {
        &self.around[self.behind..]
    }

    /// Of the request that is worked on here, if any.
    fn here() -> Option<Arc<Known>> {
        REQUEST.try_with(Arc::clone).ok()
    }
}

/// A text that is to be one line of a log: what is over 16 KiB is left out, and the text says how much.
#[must_use]
pub fn cut(text: &str) -> Cow<'_, str> {
    if text.len() < LONGEST_LINE {
        return text.into();
    }
    let kept = text.floor_char_boundary(LONGEST_LINE - NOTE - 1);
    let mut shown = text[..kept].to_owned();
    bounded::note(&mut shown, text.len() - kept);
    shown.into()
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
        assert!(enabled("warn,faasflow = debug", "faasflow", Level::DEBUG));
        assert!(!enabled("warn,faasflow=debug,faasflow::quiet=off", "faasflow::quiet", Level::ERROR));
        assert!(enabled("faasflow=trace", "faasflow_runtime", Level::TRACE));
        assert!(!enabled("faasflow=trace", "hyper", Level::ERROR));
        for (filter, why) in [
            ("", "write a level"),
            (",", "write a level"),
            ("*", "`*` is no level"),
            // What is not what it was meant to be is not to silence all else.
            ("warning", "`warning` is no level"),
            ("info,faasflow", "`faasflow` is no level"),
            ("faasflow=loud", "`loud` is no level"),
            ("faasflow=", "`` is no level"),
            ("=info", "`` is no target"),
            ("a=b=info", "`b=info` is no level"),
            ("a b=info", "`a b` is no target"),
            ("[call]=debug", "not by spans or fields"),
            ("x[call{id=1,b}]", "not by spans or fields"),
        ] {
            let reason = targets(filter).unwrap_err();
            assert!(reason.contains(why), "{filter}: {reason}");
        }
    }

    #[test]
    fn our_own_lines_have_the_level_of_their_target() {
        for (filter, most) in [
            ("info", LevelFilter::INFO),
            ("hyper=trace", LevelFilter::OFF),
            ("trace,faasflow=error", LevelFilter::ERROR),
            ("off,faasflow=debug", LevelFilter::DEBUG),
        ] {
            assert_eq!(most_detailed(&targets(filter).unwrap()), most, "{filter}");
        }
    }

    #[test]
    fn our_own_debug_lines_are_added_to_a_filter_that_does_not_name_them() {
        let enabled = |said: &str, target: &str| filter(said, true).unwrap().would_enable(target, &Level::DEBUG);
        assert!(enabled("", "faasflow") && enabled("warn", "faasflow") && enabled("hyper=info", "faasflow"));
        assert!(!enabled("", "hyper") && !enabled("warn,faasflow=info", "faasflow"));
        assert!(!filter("faasflow=warn", true).unwrap().would_enable("faasflow_runtime", &Level::INFO));
        assert!(!filter("", false).unwrap().would_enable("faasflow", &Level::DEBUG));
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
