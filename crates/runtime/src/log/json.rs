//! Log lines as JSON, one object per line. Each has `timestamp`, `level`, `message` and `target`. The lines of a request
//! have `request_id`, `phase` and `trace_id`, those of requests with branches also `place` and `branch`, and those of items
//! with a label `label`. The event's own fields are in `fields`, and a line about a Faasflow error has its `code`.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::io;

use faasflow_core::code::Code;
use serde::Serialize;
use serde_json::Value;
use serde_json::ser::{Formatter, Serializer};
use tracing::field::{Field, Visit};
use tracing::{Event, Level};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime as _, SystemTime};

use super::filter::TARGET;
use super::request_context::RequestContext;
use super::text::{is_printable_ascii, is_unsafe};
use faasflow_core::line::{LONGEST as LONGEST_LINE, note};

/// Room for everything in a line but its texts: names of members and fields, numbers, and notes about omitted bytes.
const OVERHEAD: usize = 4 * 1024;

pub(super) fn write_event(event: &Event<'_>, line: &mut String) {
    let mut fields = Fields::default();
    event.record(&mut fields);
    let metadata = event.metadata();
    write_object(*metadata.level(), metadata.target(), RequestContext::current().as_deref(), fields, line);
}

/// Writes one of Faasflow's own lines.
pub(super) fn write_line(
    level: Level,
    known: Option<&RequestContext>,
    code: Option<Code>,
    text: fmt::Arguments<'_>,
    line: &mut String,
) {
    let mut fields = Fields::default();
    fields.message = fields.room.show(text);
    fields.code = code;
    write_object(level, TARGET, known, fields, line);
}

fn write_object(level: Level, target: &str, known: Option<&RequestContext>, mut fields: Fields, line: &mut String) {
    let start = line.len();
    write_whole(level, target, known, &fields, line);
    if line.len() - start > LONGEST_LINE {
        // The names and numbers of the fields alone are too long for a line.
        line.truncate(start);
        fields.others = BTreeMap::from([("left_out", fields.others.len().into())]);
        write_whole(level, &target[..target.floor_char_boundary(256)], known, &fields, line);
    }
}

fn write_whole(level: Level, target: &str, known: Option<&RequestContext>, fields: &Fields, line: &mut String) {
    let mut timestamp = String::new();
    let _ = SystemTime.format_time(&mut Writer::new(&mut timestamp));
    let object = Object {
        timestamp: &timestamp,
        level: level.as_str(),
        message: &fields.message,
        target,
        request_id: known.map(|known| known.request().as_str()),
        phase: known.and_then(RequestContext::phase),
        place: known.and_then(RequestContext::place),
        branch: known.map(|known| known.branch.as_str()).filter(|branch| !branch.is_empty()),
        label: known.map(|known| known.label.as_str()).filter(|label| !label.is_empty()),
        trace_id: known.and_then(RequestContext::trace).map(|trace| trace.to_string()),
        fields: &fields.others,
        code: fields.code.map(Code::as_str),
    };
    let mut bytes = std::mem::take(line).into_bytes();
    let written = object.serialize(&mut Serializer::with_formatter(&mut bytes, SafeFormatter));
    written.expect("texts and numbers can be written as JSON");
    bytes.push(b'\n');
    *line = String::from_utf8(bytes).expect("JSON is UTF-8");
}

/// The remaining length of a line's texts in bytes, escaped as in JSON.
struct Room(usize);

impl Default for Room {
    fn default() -> Room {
        Room(LONGEST_LINE - OVERHEAD)
    }
}

impl Room {
    /// Formats a value, and cuts it off where there is no more room. If the value's `Display` fails, the part before the
    /// failure is kept.
    fn show(&mut self, value: fmt::Arguments<'_>) -> String {
        let mut shown = TextWriter { text: String::new(), room: self, left_out: 0 };
        let _ = shown.write_fmt(value);
        let TextWriter { mut text, left_out, .. } = shown;
        note(&mut text, left_out);
        text
    }
}

struct TextWriter<'a> {
    text: String,
    room: &'a mut Room,
    left_out: usize,
}

impl fmt::Write for TextWriter<'_> {
    fn write_str(&mut self, added: &str) -> fmt::Result {
        let taken = if self.left_out > 0 { 0 } else { self.room.take(added) };
        self.text.push_str(&added[..taken]);
        self.left_out += added.len() - taken;
        Ok(())
    }
}

impl Room {
    /// How many bytes of a text fit. The room for them is used up.
    fn take(&mut self, text: &str) -> usize {
        if text.len() <= self.0 && is_printable_ascii(text) && !text.contains(['"', '\\', '\t']) {
            self.0 -= text.len();
            return text.len();
        }
        for (at, character) in text.char_indices() {
            let length = match character {
                '"' | '\\' | '\t' | '\n' | '\r' => 2,
                character if is_unsafe(character) => 6,
                character => character.len_utf8(),
            };
            match self.0.checked_sub(length) {
                Some(left) => self.0 = left,
                None => return at,
            }
        }
        text.len()
    }
}

/// Compact JSON that escapes every character that could control a terminal. JSON itself requires that only for the first 32.
struct SafeFormatter;

impl Formatter for SafeFormatter {
    fn write_string_fragment<W: io::Write + ?Sized>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        if is_printable_ascii(fragment) {
            return writer.write_all(fragment.as_bytes());
        }
        let mut rest = fragment;
        while let Some((at, character)) = rest.char_indices().find(|(_, character)| is_unsafe(*character)) {
            writer.write_all(&rest.as_bytes()[..at])?;
            // All of these characters fit into one `\u` escape.
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
    // The ids come before the message, because a reader may cut off a long message.
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    phase: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    place: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    branch: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    label: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_id: Option<String>,
    message: &'a str,
    target: &'a str,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    fields: &'a BTreeMap<&'static str, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
}

#[derive(Default)]
struct Fields {
    room: Room,
    message: String,
    others: BTreeMap<&'static str, Value>,
    code: Option<Code>,
}

impl Fields {
    fn other(&mut self, field: &Field, value: impl Into<Value>) {
        self.others.insert(field.name(), value.into());
    }

    fn text(&mut self, field: &Field, value: fmt::Arguments<'_>) {
        let shown = self.room.show(value);
        if field.name() == "message" { self.message = shown } else { self.other(field, shown) }
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
        self.text(field, format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.text(field, format_args!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unsafe_characters_are_escaped_and_can_be_read_back() {
        let text = "Grüße 🦀 \u{7f}\u{9b}2J\u{202e}evil\u{2028}\u{1b}[2J\"\\\n\t";
        let mut written = Vec::new();
        text.serialize(&mut Serializer::with_formatter(&mut written, SafeFormatter)).unwrap();
        let written = String::from_utf8(written).unwrap();
        assert_eq!(written, r#""Grüße 🦀 \u007f\u009b2J\u202eevil\u2028\u001b[2J\"\\\n\t""#);
        assert_eq!(serde_json::from_str::<String>(&written).unwrap(), text);
    }

    #[test]
    fn r3_a_line_is_bounded_however_long_its_escapes_are() {
        for character in ['x', '"', '\\', '\u{1b}', '\u{202e}', '🦀', '\u{0}', '\u{8}', 'é'] {
            let text = String::from_iter(std::iter::repeat_n(character, 100_000));
            let mut line = String::new();
            write_line(Level::INFO, None, None, format_args!("{text}"), &mut line);
            assert!(line.len() <= LONGEST_LINE, "{character:?}: {}", line.len());
            let read: Value = serde_json::from_str(&line).unwrap();
            let (beginning, left_out) = read["message"].as_str().unwrap().split_once("… (").unwrap();
            let left_out: usize = left_out.split(' ').next().unwrap().parse().unwrap();
            assert!(text.starts_with(beginning) && beginning.len() + left_out == text.len(), "{character:?}");
        }
    }
}
