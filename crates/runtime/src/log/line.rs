//! ``[Request `<id>`] text phase=<n> trace_id=<id>`` for a request's lines, the bare text for the others; levels other
//! than information in front.

use std::fmt::{self, Write as _};

use tracing::field::{Field, Visit};
use tracing::{Event, Level};

use super::{Known, one_line};

pub(super) fn write(event: &Event<'_>, line: &mut String) {
    let known = Known::here();
    begin(*event.metadata().level(), known.as_deref(), line);
    event.record(&mut Message(line));
    event.record(&mut Others(line));
    end(known.as_deref(), line);
}

/// The same for a line of ours.
pub(super) fn write_own(level: Level, known: &Known, text: fmt::Arguments<'_>, line: &mut String) {
    begin(level, Some(known), line);
    show(line, text);
    end(Some(known), line);
}

fn begin(level: Level, known: Option<&Known>, line: &mut String) {
    if level != Level::INFO {
        line.push_str(level.as_str());
        line.push(' ');
    }
    line.push_str(known.map_or("", Known::before));
}

fn end(known: Option<&Known>, line: &mut String) {
    line.push_str(known.map_or("", Known::behind));
    line.push('\n');
}

/// Writes a value straight into the line, as one line whatever it holds. One that cannot show itself is shown as far as it
/// does.
fn show(line: &mut String, value: fmt::Arguments<'_>) {
    let start = line.len();
    let _ = line.write_fmt(value);
    one_line(line, start);
}

fn is_message(field: &Field) -> bool {
    field.name() == "message"
}

/// Takes the text. Events have their fields in an order of their own, in which it need not be first.
struct Message<'a>(&'a mut String);

impl Visit for Message<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        if is_message(field) {
            show(self.0, format_args!("{value}"));
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if is_message(field) {
            show(self.0, format_args!("{value:?}"));
        }
    }
}

/// Takes the fields beside the text.
struct Others<'a>(&'a mut String);

impl Visit for Others<'_> {
    fn record_f64(&mut self, field: &Field, value: f64) {
        // As in JSON, which knows no infinity.
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
            show(self.0, format_args!("{value:?}"));
        }
    }
}
