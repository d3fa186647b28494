//! An object a line: `timestamp`, `level`, `message`, `target`; `request_id`, `phase` and `trace_id` of a request's
//! lines; and the event's own fields in `fields`.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use serde::Serialize;
use serde_json::Value;
use tracing::Event;
use tracing::field::{Field, Visit};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime as _, SystemTime};

use super::{Known, is_ours};

pub(super) fn write(event: &Event<'_>, line: &mut String) {
    let known = Known::here();
    let mut fields = Fields { ours: is_ours(event), ..Fields::default() };
    event.record(&mut fields);
    let mut timestamp = String::new();
    let _ = SystemTime.format_time(&mut Writer::new(&mut timestamp));
    let object = Object {
        timestamp: &timestamp,
        level: event.metadata().level().as_str(),
        message: &fields.message,
        target: event.metadata().target(),
        request_id: known.as_ref().map(|known| known.request.as_str()),
        phase: known.as_ref().and_then(|known| known.phase),
        trace_id: known.as_ref().and_then(|known| known.trace).map(|trace| trace.to_string()),
        fields: &fields.others,
    };
    line.push_str(&serde_json::to_string(&object).expect("texts and numbers are JSON"));
    line.push('\n');
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
    ours: bool,
    message: String,
    others: BTreeMap<&'static str, Value>,
}

impl Fields {
    fn other(&mut self, field: &Field, value: impl Into<Value>) {
        if !self.ours {
            self.others.insert(field.name(), value.into());
        }
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
        let is_message = field.name() == "message";
        if is_message || !self.ours {
            let mut shown = String::new();
            // One that cannot show itself is shown as far as it does.
            let _ = write!(shown, "{value:?}");
            if is_message { self.message = shown } else { self.other(field, shown) }
        }
    }
}
