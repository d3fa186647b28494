//! ``[Request `<id>`] text phase=<n> trace_id=<id>`` for a request's lines, the bare text for the others; levels other
//! than information in front.

use std::fmt::{self, Write as _};

use tracing::field::{Field, Visit};
use tracing::{Event, Level};

use super::{Known, is_ours, one_line};

pub(super) fn write(event: &Event<'_>, line: &mut String) {
    let level = *event.metadata().level();
    if level != Level::INFO {
        line.push_str(level.as_str());
        line.push(' ');
    }
    let known = Known::here();
    if let Some(known) = &known {
        line.push_str("[Request `");
        line.push_str(known.request.as_str());
        line.push_str("`] ");
    }
    event.record(&mut Message(line));
    if !is_ours(event) {
        event.record(&mut Others(line));
    }
    if let Some(phase) = known.as_ref().and_then(|known| known.phase) {
        let _ = write!(line, " phase={phase}");
    }
    if let Some(trace) = known.as_ref().and_then(|known| known.trace) {
        let _ = write!(line, " trace_id={trace}");
    }
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
