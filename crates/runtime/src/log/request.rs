//! The log lines of one request.

use std::fmt;
use std::sync::Arc;

use faasflow_core::RequestId;
use faasflow_core::code::Code;
use faasflow_core::definition::masked_text;
use faasflow_core::graph::Place;
use tracing::Level;

use super::bounded::BoundedText;
use super::filter::TARGET;
use super::line_buffer::ActiveRequest;
use super::request_context::{REQUEST, RequestContext};
use super::request_lines::RequestLines;
use crate::trace::TraceId;
use faasflow_core::line::{LONGEST as LONGEST_LINE, NOTE};

/// Writes the log lines of one request.
#[derive(Clone, Debug)]
pub(crate) struct RequestLog {
    known: Arc<RequestContext>,
}

/// Writes a line directly if Faasflow owns the log of the process. Otherwise emits an event with the request in its fields,
/// for whatever subscribes to events.
macro_rules! write_line {
    ($event:ident, $level:ident, $log:expr, $code:expr, $text:expr) => {
        match RequestLines::installed() {
            Some(lines) => lines.write(Level::$level, &$log.known, $code, $text),
            None => tracing::$event!(
                target: TARGET,
                request = %$log.known.request(),
                phase = $log.known.phase(),
                place = $log.known.place(),
                branch = (!$log.known.branch.is_empty()).then_some($log.known.branch.as_str()),
                label = (!$log.known.label.is_empty()).then_some($log.known.label.as_str()),
                trace_id = $log.known.trace().map(tracing::field::display),
                code = $code.map(tracing::field::display),
                "{}",
                $text
            ),
        }
    };
}

impl RequestLog {
    pub(crate) fn new(id: RequestId) -> RequestLog {
        RequestLog { known: Arc::new(RequestContext::new(id, None, None, None, String::new())) }
    }

    /// The same for a phase of a flow without branches, and for the trace that it belongs to.
    pub(crate) fn for_phase(id: RequestId, place: &Place, trace: Option<TraceId>) -> RequestLog {
        let phase = Some(place.phase() as u64);
        RequestLog { known: Arc::new(RequestContext::new(id, phase, None, trace, String::new())) }
    }

    /// The same for a flow with branches. `branch` is the path of the branch or item that it is a phase of, and `label` the label of
    /// that item; both may be empty.
    pub(crate) fn for_token(
        id: RequestId,
        place: &Place,
        branch: String,
        label: String,
        trace: Option<TraceId>,
    ) -> RequestLog {
        let phase = Some(place.phase() as u64);
        let whole = RequestContext::new(id, phase, Some(place.to_string()), trace, branch.clone());
        match label.is_empty() {
            true => RequestLog { known: Arc::new(whole) },
            false => RequestLog { known: Arc::new(whole.in_branch(branch, label)) },
        }
    }

    /// The log of the token that is being worked on here, if it is one of this request, so that its lines have a place.
    pub(crate) fn current(id: RequestId) -> RequestLog {
        match RequestContext::current() {
            Some(known) if known.place().is_some() && *known.request() == id => RequestLog { known },
            _ => RequestLog::new(id),
        }
    }

    /// The same for a branch or an item within the phase. `path` names it, and `label` is the label of its item, or empty.
    pub(crate) fn in_member(&self, path: String, label: String) -> RequestLog {
        RequestLog { known: Arc::new(self.known.in_branch(path, label)) }
    }

    /// The path of the branch or item whose lines these are, or empty.
    pub(crate) fn branch(&self) -> &str {
        &self.known.branch
    }

    /// The label of the item whose lines these are, or empty.
    pub(crate) fn label(&self) -> &str {
        &self.known.label
    }

    /// The secret values that the phase has met.
    pub(crate) fn secrets(&self) -> Arc<[String]> {
        self.known.secrets().all()
    }

    /// Lets the lines of the phase not show these values.
    pub(crate) fn hide(&self, secrets: Vec<String>) {
        self.known.secrets().add(secrets);
    }

    /// Runs work whose log lines all belong to the request, including those of the flow's own code and of the libraries that
    /// it uses. This is not a span of `tracing`, because the log filter could remove it.
    pub(crate) async fn scope<T>(&self, work: impl Future<Output = T>) -> T {
        let _working = ActiveRequest::begin();
        REQUEST.scope(self.known.clone(), work).await
    }

    /// Writes a line. If the line is about an error, it has the error's code.
    #[inline]
    pub(crate) fn write(&self, level: Level, code: Option<Code>, text: fmt::Arguments<'_>) {
        match self.known.secrets().met() {
            None => self.write_as_it_is(level, code, text),
            Some(secrets) => {
                let masked = masked_text(&text.to_string(), &secrets).into_owned();
                self.write_as_it_is(level, code, format_args!("{masked}"));
            }
        }
    }

    fn write_as_it_is(&self, level: Level, code: Option<Code>, text: fmt::Arguments<'_>) {
        match level {
            Level::ERROR => write_line!(error, ERROR, self, code, text),
            Level::WARN => write_line!(warn, WARN, self, code, text),
            Level::INFO => write_line!(info, INFO, self, code, text),
            Level::DEBUG => write_line!(debug, DEBUG, self, code, text),
            Level::TRACE => write_line!(trace, TRACE, self, code, text),
        }
    }

    #[cfg(test)]
    pub(crate) fn suffix(&self) -> &str {
        self.known.suffix()
    }

    /// The prefix of the request's lines.
    pub(crate) fn prefix(&self) -> &str {
        self.known.prefix()
    }
}

/// Appends a line to others. It is limited in length as a log line is.
pub(crate) fn append_line(before: &str, text: fmt::Arguments<'_>, lines: &mut String) {
    lines.push_str(before);
    let end = lines.len() + LONGEST_LINE - NOTE - before.len();
    let mut line = BoundedText::new(lines, end);
    line.show(text);
    line.finish();
    lines.push('\n');
}
