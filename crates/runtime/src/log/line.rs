//! Log lines for people: ``[Request `<id>`] text phase=<n> trace_id=<id> code=<code>`` for the lines of a request, and only
//! the text for other lines. Levels other than `INFO` come first.

use std::fmt::{self, Write as _};

use faasflow_core::code::Code;
use tracing::field::{Field, Visit};
use tracing::{Event, Level};

use super::bounded::BoundedText;
use super::request_context::RequestContext;
use faasflow_core::line::{LONGEST as LONGEST_LINE, NOTE};

pub(super) fn write_event(event: &Event<'_>, line: &mut String) {
    let known = RequestContext::current();
    let mut text = begin(*event.metadata().level(), known.as_deref(), line);
    event.record(&mut Message(&mut text));
    event.record(&mut Others(&mut text));
    text.finish();
    end(known.as_deref(), None, line);
}

/// Writes one of Faasflow's own lines.
pub(super) fn write_line(
    level: Level,
    known: Option<&RequestContext>,
    code: Option<Code>,
    text: fmt::Arguments<'_>,
    line: &mut String,
) {
    let mut shown = begin(level, known, line);
    shown.show(text);
    shown.finish();
    end(known, code, line);
}

/// Room for the code at the end of a line, such as ` code=FF0309`.
const CODE: usize = 12;

/// Begins a line, and reserves room for its end.
fn begin<'a>(level: Level, known: Option<&RequestContext>, line: &'a mut String) -> BoundedText<'a> {
    if level != Level::INFO {
        line.push_str(level.as_str());
        line.push(' ');
    }
    line.push_str(known.map_or("", RequestContext::prefix));
    BoundedText::new(line, LONGEST_LINE - NOTE - known.map_or("", RequestContext::suffix).len() - CODE - 1)
}

fn end(known: Option<&RequestContext>, code: Option<Code>, line: &mut String) {
    line.push_str(known.map_or("", RequestContext::suffix));
    if let Some(code) = code {
        line.extend([" code=", code.as_str()]);
    }
    line.push('\n');
}

fn is_message(field: &Field) -> bool {
    field.name() == "message"
}

/// Writes the message of an event. It need not be the first of the event's fields.
struct Message<'a, 'b>(&'a mut BoundedText<'b>);

impl Visit for Message<'_, '_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        if is_message(field) {
            self.0.show(format_args!("{value}"));
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if is_message(field) {
            self.0.show(format_args!("{value:?}"));
        }
    }
}

/// Writes the other fields of an event.
struct Others<'a, 'b>(&'a mut BoundedText<'b>);

impl Visit for Others<'_, '_> {
    fn record_f64(&mut self, field: &Field, value: f64) {
        // As in JSON, which has no infinity.
        self.record_debug(field, &format_args!("{}", serde_json::Value::from(value)));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if !is_message(field) {
            let _ = write!(self.0, " {}={value:?}", field.name());
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if !is_message(field) {
            let _ = write!(self.0, " {}=", field.name());
            self.0.show(format_args!("{value:?}"));
        }
    }
}
