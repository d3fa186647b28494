//! An object a line: `timestamp`, `level`, `message`, `target`; `request_id`, `phase` and `trace_id` of a request's
//! lines; and the event's own fields in `fields`.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::io;

use serde::Serialize;
use serde_json::Value;
use serde_json::ser::{Formatter, Serializer};
use tracing::field::{Field, Visit};
use tracing::{Event, Level};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime as _, SystemTime};

use super::{Known, TARGET, is_plain, steers};

pub(super) fn write(event: &Event<'_>, line: &mut String) {
    let mut fields = Fields::default();
    event.record(&mut fields);
    let metadata = event.metadata();
    write_object(*metadata.level(), metadata.target(), Known::here().as_deref(), &fields, line);
}

/// The same for a line of ours.
pub(super) fn write_own(level: Level, known: &Known, text: fmt::Arguments<'_>, line: &mut String) {
    let fields = Fields { message: shown(text), others: BTreeMap::new() };
    write_object(level, TARGET, Some(known), &fields, line);
}

/// One that cannot show itself is shown as far as it does.
fn shown(value: fmt::Arguments<'_>) -> String {
    let mut shown = String::new();
    let _ = shown.write_fmt(value);
    shown
}

fn write_object(level: Level, target: &str, known: Option<&Known>, fields: &Fields, line: &mut String) {
    let mut timestamp = String::new();
    let _ = SystemTime.format_time(&mut Writer::new(&mut timestamp));
    let object = Object {
        timestamp: &timestamp,
        level: level.as_str(),
        message: &fields.message,
        target,
        request_id: known.map(|known| known.request.as_str()),
        phase: known.and_then(|known| known.phase),
        trace_id: known.and_then(|known| known.trace).map(|trace| trace.to_string()),
        fields: &fields.others,
    };
    let mut bytes = std::mem::take(line).into_bytes();
    let written = object.serialize(&mut Serializer::with_formatter(&mut bytes, Unsteered));
    written.expect("texts and numbers are JSON");
    bytes.push(b'\n');
    *line = String::from_utf8(bytes).expect("JSON is UTF-8");
}

/// Compact, and with what would steer a terminal escaped: JSON asks for that of the first 32 characters only.
struct Unsteered;

impl Formatter for Unsteered {
    fn write_string_fragment<W: io::Write + ?Sized>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        if is_plain(fragment) {
            return writer.write_all(fragment.as_bytes());
        }
        let mut rest = fragment;
        while let Some((at, character)) = rest.char_indices().find(|(_, character)| steers(*character)) {
            writer.write_all(&rest.as_bytes()[..at])?;
            // All of them are of the first 65,536.
            write!(writer, "\\u{:04x}", u32::from(character))?;
            rest = &rest[at + character.len_utf8()..];
        }
        writer.write_all(rest.as_bytes())
    }
}

#[derive(Serialize)]
struct Object<'a> {
    timestamp: &'a str,
    level: &'a str,
    // Before the message, which may be long enough to be cut off by whoever reads.
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    phase: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_id: Option<String>,
    message: &'a str,
    target: &'a str,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    fields: &'a BTreeMap<&'static str, Value>,
}

#[derive(Default)]
struct Fields {
    message: String,
    others: BTreeMap<&'static str, Value>,
}

impl Fields {
    fn other(&mut self, field: &Field, value: impl Into<Value>) {
        self.others.insert(field.name(), value.into());
    }
}

impl Visit for Fields {
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.other(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.other(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.other(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.other(field, value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => value.clone_into(&mut self.message),
            _ => self.other(field, value),
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let shown = shown(format_args!("{value:?}"));
        if field.name() == "message" { self.message = shown } else { self.other(field, shown) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steers_a_terminal_is_escaped_and_reads_as_it_was() {
        let text = "Grüße 🦀 \u{7f}\u{9b}2J\u{202e}evil\u{2028}\u{1b}[2J\"\\\n\t";
        let mut written = Vec::new();
        text.serialize(&mut Serializer::with_formatter(&mut written, Unsteered)).unwrap();
        let written = String::from_utf8(written).unwrap();
        assert_eq!(written, r#""Grüße 🦀 \u007f\u009b2J\u202eevil\u2028\u001b[2J\"\\\n\t""#);
        assert_eq!(serde_json::from_str::<String>(&written).unwrap(), text);
    }
}
