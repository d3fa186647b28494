//! Writes spans as protobuf, in the form of OTLP, directly into the bytes that are sent.
//!
//! The format is that of `opentelemetry/proto/trace/v1/trace.proto` and the files that it refers to. The numbers are those
//! of its fields. The trace tests read the result with the types that OpenTelemetry generates from these files.

use std::time::{SystemTime, UNIX_EPOCH};

use super::id::{SpanContext, SpanId};
use super::text::cut;

/// The usual size of a span. A larger span grows.
const USUAL_SIZE: usize = 512;

/// A protobuf message that is being written.
#[derive(Debug, Default)]
struct Message(Vec<u8>);

/// The wire types of fields (protobuf's encoding, "message structure").
const VARINT: u8 = 0;
const FIXED64: u8 = 1;
const BYTES: u8 = 2;
const FIXED32: u8 = 5;

impl Message {
    fn varint(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
    }

    fn tag(&mut self, field: u8, kind: u8) {
        self.varint(u64::from(field) << 3 | u64::from(kind));
    }

    fn number(&mut self, field: u8, number: u64) {
        self.tag(field, VARINT);
        self.varint(number);
    }

    fn fixed64(&mut self, field: u8, number: u64) {
        self.tag(field, FIXED64);
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    fn fixed32(&mut self, field: u8, number: u32) {
        self.tag(field, FIXED32);
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    fn bytes(&mut self, field: u8, bytes: &[u8]) {
        self.tag(field, BYTES);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    /// Writes a nested message.
    fn message(&mut self, field: u8, write: impl FnOnce(&mut Message)) {
        self.tag(field, BYTES);
        let start = self.0.len();
        // The length comes first but is known last. It is nearly always one byte.
        self.0.push(0);
        write(self);
        let length = self.0.len() - start - 1;
        if length < 0x80 {
            self.0[start] = length as u8;
        } else {
            let mut prefix = Message::default();
            prefix.varint(length as u64);
            self.0.splice(start..=start, prefix.0);
        }
    }

    fn attribute(&mut self, field: u8, key: &str, value: Value<'_>) {
        // The length of the nested messages, if each tag and length is one byte. Nearly all attributes are this short.
        if let Value::Text(text) = value
            && key.len() + text.len() + 6 < 0x80
        {
            let (key_length, length) = (key.len() as u8, text.len() as u8);
            self.0.extend_from_slice(&[field << 3 | BYTES, key_length + length + 6, 1 << 3 | BYTES, key_length]);
            self.0.extend_from_slice(key.as_bytes());
            self.0.extend_from_slice(&[2 << 3 | BYTES, length + 2, 1 << 3 | BYTES, length]);
            self.0.extend_from_slice(text.as_bytes());
            return;
        }
        self.message(field, |pair| {
            pair.bytes(1, key.as_bytes());
            pair.message(2, |any| match value {
                Value::Text(text) => any.bytes(1, text.as_bytes()),
                Value::Truth(truth) => any.number(2, u64::from(truth)),
                Value::Integer(number) => any.number(3, number),
                Value::Real(number) => any.fixed64(4, number.to_bits()),
            });
        });
    }
}

/// The value of an attribute.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Value<'a> {
    Text(&'a str),
    Truth(bool),
    Integer(u64),
    Real(f64),
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Value<'a> {
        Value::Text(text)
    }
}

impl<'a> From<&'a String> for Value<'a> {
    fn from(text: &'a String) -> Value<'a> {
        Value::Text(text)
    }
}

impl From<bool> for Value<'_> {
    fn from(truth: bool) -> Self {
        Value::Truth(truth)
    }
}

impl From<usize> for Value<'_> {
    fn from(number: usize) -> Self {
        Value::Integer(number as u64)
    }
}

impl From<u16> for Value<'_> {
    fn from(number: u16) -> Self {
        Value::Integer(u64::from(number))
    }
}

impl From<f64> for Value<'_> {
    fn from(number: f64) -> Self {
        Value::Real(number)
    }
}

/// The kind of a span, as OTLP numbers it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Internal = 1,
    Server = 2,
    Client = 3,
    Consumer = 5,
}

/// An encoded span. Its fields may be written in any order.
#[derive(Debug)]
pub(super) struct Span(Message);

impl Span {
    /// An empty span with room for the usual size.
    pub(super) fn new() -> Span {
        Span(Message(Vec::with_capacity(USUAL_SIZE)))
    }

    /// An empty span without any room.
    pub(super) fn empty() -> Span {
        Span(Message::default())
    }

    /// Sets the trace, the id and the parent.
    pub(super) fn place(&mut self, context: SpanContext, parent: Option<SpanId>, parent_is_remote: bool) {
        self.within(context, parent, parent_is_remote);
        self.id(context.span);
    }

    pub(super) fn id(&mut self, span: SpanId) {
        self.0.bytes(2, &span.0);
    }

    /// Appends the fields of another span.
    pub(super) fn append(&mut self, other: &Span) {
        self.0.0.extend_from_slice(&other.0.0);
    }

    /// Sets the trace and the parent, but not the id.
    pub(super) fn within(&mut self, context: SpanContext, parent: Option<SpanId>, parent_is_remote: bool) {
        self.0.bytes(1, &context.trace.0);
        if let Some(parent) = parent {
            self.0.bytes(4, &parent.0);
        }
        // The second byte says that it is known whether the parent is remote, and whether it is.
        let remote = if parent_is_remote { 0x300 } else { 0x100 };
        self.0.fixed32(16, remote | u32::from(context.sampled));
    }

    /// Sets the name, which is given in parts.
    pub(super) fn name(&mut self, kind: Kind, parts: &[&str]) {
        self.0.message(5, |name| parts.iter().for_each(|part| name.0.extend_from_slice(part.as_bytes())));
        self.0.number(6, kind as u64);
    }

    pub(super) fn times(&mut self, begun: SystemTime, ended: SystemTime) {
        self.0.fixed64(7, nanoseconds(begun));
        self.0.fixed64(8, nanoseconds(ended.max(begun)));
    }

    pub(super) fn attribute<'a>(&mut self, key: &str, value: impl Into<Value<'a>>) {
        self.0.attribute(9, key, value.into());
    }

    /// Adds the events.
    pub(super) fn events(&mut self, events: &Events) {
        self.0.0.extend_from_slice(&events.written.0);
        if events.dropped > 0 {
            self.0.number(12, events.dropped);
        }
    }

    /// Adds the links.
    pub(super) fn links(&mut self, links: &Links) {
        self.0.0.extend_from_slice(&links.written.0);
        if links.count > LINKS {
            self.0.number(14, (links.count - LINKS) as u64);
        }
    }

    /// The encoded size in bytes.
    pub(super) fn len(&self) -> usize {
        self.0.0.len()
    }

    /// Marks the span as failed, with a reason.
    pub(super) fn failed(&mut self, reason: &str) {
        const ERROR: u64 = 2;
        self.0.message(15, |status| {
            status.bytes(2, reason.as_bytes());
            status.number(3, ERROR);
        });
    }
}

/// The most links of a span that are sent. This is OpenTelemetry's default limit.
pub(super) const LINKS: usize = 128;

/// The links of a span to other spans of its trace. If there are too many, the first ones are kept.
#[derive(Debug, Default)]
pub(super) struct Links {
    written: Message,
    count: usize,
}

impl Links {
    pub(super) fn push(&mut self, to: SpanContext) {
        self.count += 1;
        if self.count <= LINKS {
            self.written.message(13, |link| {
                link.bytes(1, &to.trace.0);
                link.bytes(2, &to.span.0);
                // The span is in another process, and that is known.
                link.fixed32(6, 0x300 | u32::from(to.sampled));
            });
        }
    }
}

/// The most events of a span that are sent. This is OpenTelemetry's default limit.
pub(super) const EVENTS: usize = 128;

/// The events of a span. If there are too many, the first ones are kept and also the last one, which says how it ended.
#[derive(Debug, Default)]
pub(super) struct Events {
    written: Message,
    count: usize,
    /// Where the last event begins.
    last: usize,
    dropped: u64,
}

impl Events {
    /// Adds an error as OpenTelemetry records it. The text is the one for the log.
    pub(super) fn exception(&mut self, kind: &'static str, text: String) {
        self.push("exception", |event| {
            event.attribute("exception.type", kind);
            event.attribute("exception.message", &cut(text));
        });
    }

    /// Adds an event with the current time.
    pub(super) fn push(&mut self, name: &str, describe: impl FnOnce(&mut Event<'_>)) {
        if self.count < EVENTS {
            self.count += 1;
            self.last = self.written.0.len();
        } else {
            self.written.0.truncate(self.last);
            self.dropped += 1;
        }
        self.written.message(11, |event| {
            event.fixed64(1, nanoseconds(SystemTime::now()));
            event.bytes(2, name.as_bytes());
            describe(&mut Event(event));
        });
    }
}

/// An event that is being written.
#[derive(Debug)]
pub(crate) struct Event<'a>(&'a mut Message);

impl Event<'_> {
    pub(crate) fn attribute<'a>(&mut self, key: &str, value: impl Into<Value<'a>>) {
        self.0.attribute(3, key, value.into());
    }
}

/// The resource and the scope of all spans of a process.
#[derive(Debug)]
pub(super) struct Origin {
    resource: Message,
    scope: Message,
}

impl Origin {
    /// `attributes` describe the resource.
    pub(super) fn new<'a>(attributes: impl Iterator<Item = (&'a str, &'a str)>) -> Origin {
        let (mut resource, mut scope) = (Message::default(), Message::default());
        attributes.for_each(|(key, value)| resource.attribute(1, key, value.into()));
        scope.bytes(1, b"faasflow");
        scope.bytes(2, env!("CARGO_PKG_VERSION").as_bytes());
        Origin { resource, scope }
    }

    /// An `ExportTraceServiceRequest` with these spans.
    pub(super) fn request(&self, spans: &[Span]) -> Vec<u8> {
        let other_bytes = self.resource.0.len() + self.scope.0.len() + 64;
        // Each span has up to six bytes before it, for its field number and its length.
        let size = spans.iter().map(|span| 6 + span.0.0.len()).sum::<usize>() + other_bytes;
        let mut request = Message(Vec::with_capacity(size));
        request.message(1, |of_resource| {
            of_resource.bytes(1, &self.resource.0);
            of_resource.message(2, |of_scope| {
                of_scope.bytes(1, &self.scope.0);
                spans.iter().for_each(|span| of_scope.bytes(2, &span.0.0));
            });
        });
        request.0
    }
}

fn nanoseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::id::TraceId;
    use super::*;

    #[test]
    fn short_attributes_are_encoded_like_long_ones() {
        for length in 0..300 {
            let text = "x".repeat(length);
            let (mut written, mut expected) = (Message::default(), Message::default());
            written.attribute(9, "key", Value::Text(&text));
            expected.message(9, |pair| {
                pair.bytes(1, b"key");
                pair.message(2, |any| any.bytes(1, text.as_bytes()));
            });
            assert_eq!(written.0, expected.0, "{length}");
        }
    }

    #[test]
    fn more_links_than_the_limit_are_counted() {
        let sizes = [LINKS, LINKS + 3].map(|count| {
            let mut links = Links::default();
            let to = SpanContext { trace: TraceId([1; 16]), span: SpanId([2; 8]), sampled: true };
            (0..count).for_each(|_| links.push(to));
            let mut span = Span::new();
            span.links(&links);
            span.0.0
        });
        assert!(sizes[1].starts_with(&sizes[0]));
        // Field 14 is the number of dropped links.
        assert_eq!(sizes[1][sizes[0].len()..], [14 << 3, 3]);
    }

    #[test]
    fn the_first_events_and_the_last_one_are_kept() {
        let mut events = Events::default();
        for number in 0..EVENTS + 10 {
            events.push(&format!("event {number:03};"), |_| {});
        }
        let mut span = Span::new();
        span.events(&events);
        let has = |text: &[u8]| span.0.0.windows(text.len()).filter(|window| *window == text).count();
        assert_eq!(has(b"event "), EVENTS);
        assert_eq!([0, EVENTS - 2, EVENTS + 9].map(|it| has(format!("event {it:03};").as_bytes())), [1, 1, 1]);
        // Field 12 is the number of dropped events.
        assert!(span.0.0.ends_with(&[12 << 3, 10]));

        let mut few = Events::default();
        few.push("event;", |_| {});
        let mut span = Span::new();
        span.events(&few);
        assert!(span.0.0.ends_with(b"event;"));
    }

    /// In addition, this prints how long both take.
    #[test]
    fn a_span_with_links_is_the_same_as_with_the_generated_types() {
        use std::hint::black_box;
        use std::time::Instant;

        use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
        use opentelemetry_proto::tonic::trace::v1::{Span as Generated, span};
        use prost::Message as _;

        const SPANS: u32 = if cfg!(debug_assertions) { 100 } else { 20_000 };
        let attributes = ["flow", "id", "phase", "answer", "branch", "outcome"]
            .map(|name| (format!("faasflow.{name}"), "some text"));
        let to = SpanContext { trace: TraceId([1; 16]), span: SpanId([2; 8]), sampled: true };
        for count in [0, 2, 16, 128] {
            let ours = || {
                let mut span = Span::new();
                span.place(to, Some(to.span), false);
                span.name(Kind::Consumer, &["phase ", "5"]);
                span.times(UNIX_EPOCH, UNIX_EPOCH);
                attributes.iter().for_each(|(key, value)| span.attribute(key, *value));
                let mut links = Links::default();
                (0..count).for_each(|_| links.push(to));
                span.links(&links);
                span.0.0
            };
            let theirs = || {
                let attribute = |(key, value): &(String, &str)| {
                    let value = any_value::Value::StringValue((*value).to_owned());
                    KeyValue { key: key.clone(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
                };
                let link = |_| span::Link {
                    trace_id: to.trace.0.to_vec(),
                    span_id: to.span.0.to_vec(),
                    flags: 0x301,
                    ..span::Link::default()
                };
                let span = Generated {
                    trace_id: to.trace.0.to_vec(),
                    span_id: to.span.0.to_vec(),
                    parent_span_id: to.span.0.to_vec(),
                    flags: 0x101,
                    name: "phase 5".to_owned(),
                    kind: Kind::Consumer as i32,
                    attributes: attributes.iter().map(attribute).collect(),
                    links: (0..count).map(link).collect(),
                    ..Generated::default()
                };
                span.encode_to_vec()
            };
            assert_eq!(Generated::decode(&*ours()), Generated::decode(&*theirs()));
            let nanoseconds = |write: &dyn Fn() -> Vec<u8>| {
                let begun = Instant::now();
                (0..SPANS).for_each(|_| drop(black_box(write())));
                begun.elapsed().as_nanos() / u128::from(SPANS)
            };
            let (ours, theirs) = (nanoseconds(&ours), nanoseconds(&theirs));
            println!("{count} links: {ours} ns a span, with the generated types {theirs} ns");
        }
    }
}
