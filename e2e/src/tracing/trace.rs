//! A trace from Jaeger's API.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;

use super::tree::Tree;
use crate::suite::expect;

/// Times in Jaeger are in microseconds, but the start of a request travels in milliseconds. So a child may begin before
/// its parent by this much.
const ROUNDING: u64 = 1_500;

/// The attributes of a span or of an event, as text.
pub(super) type Attributes = BTreeMap<String, String>;

#[derive(Clone)]
pub(super) struct Trace {
    pub(super) spans: Vec<Span>,
    /// The whole JSON, to search for forbidden data.
    pub(super) raw: String,
}

#[derive(Clone)]
pub(super) struct Span {
    pub(super) id: String,
    pub(super) parent: Option<String>,
    /// The ids of the spans that it links to.
    pub(super) links: Vec<String>,
    pub(super) name: String,
    pub(super) kind: String,
    pub(super) service: String,
    /// The reason, if the status is an error.
    pub(super) error: Option<String>,
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) attributes: Attributes,
    pub(super) events: Vec<Event>,
    /// Attributes about the transport, such as the name of the library.
    pub(super) besides: Attributes,
}

#[derive(Clone)]
pub(super) struct Event {
    pub(super) name: String,
    pub(super) attributes: Attributes,
}

impl Trace {
    pub(super) fn read(value: &Value) -> Result<Trace, String> {
        let spans = value["spans"].as_array().ok_or("Jaeger's answer has no spans")?;
        let spans = spans.iter().map(|span| Span::read(span, &value["processes"])).collect::<Result<_, _>>()?;
        Ok(Trace { spans, raw: value.to_string() })
    }

    fn has(&self, id: &str) -> bool {
        self.spans.iter().any(|span| span.id == id)
    }

    /// The spans without a parent in this trace.
    pub(super) fn roots(&self) -> impl Iterator<Item = &Span> {
        self.spans.iter().filter(|span| !span.parent.as_ref().is_some_and(|parent| self.has(parent)))
    }

    /// The children of a span, in order.
    pub(super) fn children(&self, of: &Span) -> Vec<&Span> {
        let mut children: Vec<&Span> =
            self.spans.iter().filter(|span| span.parent.as_deref() == Some(of.id.as_str())).collect();
        children.sort_by_key(|span| (span.number(), span.start));
        children
    }

    /// The span of the request.
    pub(super) fn request(&self) -> Result<&Span, String> {
        let mut roots = self.roots();
        match (roots.next(), roots.next()) {
            (Some(root), None) => Ok(root),
            _ => Err(format!("the trace has not one root:\n{self}")),
        }
    }

    pub(super) fn span(&self, name: &str) -> Result<&Span, String> {
        let found = self.spans.iter().find(|span| span.name == name);
        found.ok_or_else(|| format!("the trace has no span `{name}`:\n{self}"))
    }

    /// Compares the whole trace: spans, parents, kinds, attributes, events and errors.
    pub(super) fn expect(&self, tree: &Tree) -> Result<(), String> {
        let mut found = Vec::new();
        for root in self.roots() {
            found.extend(Tree::new(self, root).lines());
        }
        let expected = tree.lines();
        expect(found == expected, || difference(&expected, &found))
    }

    /// Checks the times: children lie within their parents, and steps follow each other.
    pub(super) fn expect_times(&self) -> Result<(), String> {
        for parent in &self.spans {
            let children = self.children(parent);
            for child in &children {
                let within = child.start + ROUNDING >= parent.start && child.end <= parent.end + ROUNDING;
                expect(within, || {
                    let (from, to) = (parent.start, parent.end);
                    format!(
                        "`{}` ({} to {}) is not within `{}` ({from} to {to})",
                        child.name, child.start, child.end, parent.name
                    )
                })?;
            }
            for pair in children.windows(2).filter(|pair| pair[0].attributes.contains_key("faasflow.step")) {
                let (one, next) = (pair[0], pair[1]);
                expect(one.end <= next.start + ROUNDING, || {
                    format!("`{}` ends at {}, and `{}` after it begins at {}", one.name, one.end, next.name, next.start)
                })?;
            }
        }
        Ok(())
    }

    /// The service of all spans.
    pub(super) fn expect_service(&self, name: &str) -> Result<(), String> {
        let other = self.spans.iter().find(|span| span.service != name);
        expect(other.is_none(), || {
            format!("the service is `{}`, not `{name}`", other.map_or("", |span| &span.service))
        })?;
        let scope = |span: &&Span| span.besides.get("otel.scope.name").is_none_or(|name| name != "faasflow");
        let other = self.spans.iter().find(scope);
        expect(other.is_none(), || {
            format!("the scope is {:?}, not `faasflow`", other.and_then(|span| span.besides.get("otel.scope.name")))
        })
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for root in self.roots() {
            for line in Tree::new(self, root).lines() {
                writeln!(f, "    {line}")?;
            }
        }
        Ok(())
    }
}

impl Span {
    fn read(value: &Value, processes: &Value) -> Result<Span, String> {
        let text = |key: &str| value[key].as_str().unwrap_or_default().to_owned();
        let parents = value["references"].as_array().map(Vec::as_slice).unwrap_or_default();
        let links = parents.iter().filter(|reference| reference["refType"] == "FOLLOWS_FROM");
        let parent = parents.iter().find(|reference| reference["refType"] == "CHILD_OF");
        let start = value["startTime"].as_u64().ok_or("Jaeger's answer has a span without a start")?;
        let tags = attributes(&value["tags"]);
        let process = value["processID"].as_str().unwrap_or_default();
        let (besides, attributes): (Attributes, Attributes) = tags.into_iter().partition(|(key, _)| {
            ["otel.", "internal.", "w3c."].iter().any(|prefix| key.starts_with(prefix))
                || ["span.kind", "error"].contains(&key.as_str())
        });
        let is_error = besides.get("otel.status_code").is_some_and(|code| code == "ERROR");
        let events = value["logs"].as_array().map(Vec::as_slice).unwrap_or_default();
        Ok(Span {
            id: text("spanID"),
            parent: parent.and_then(|reference| reference["spanID"].as_str()).map(str::to_owned),
            links: links.filter_map(|reference| reference["spanID"].as_str()).map(str::to_owned).collect(),
            name: text("operationName"),
            kind: besides.get("span.kind").cloned().unwrap_or_default(),
            service: processes[process]["serviceName"].as_str().unwrap_or_default().to_owned(),
            error: is_error.then(|| besides.get("otel.status_description").cloned().unwrap_or_default()),
            start,
            end: start + value["duration"].as_u64().unwrap_or_default(),
            attributes,
            events: events.iter().map(Event::read).collect(),
            besides,
        })
    }

    /// Its number among its siblings.
    fn number(&self) -> usize {
        let number = |key| self.attributes.get(key).and_then(|text| text.parse().ok());
        number("faasflow.step").or_else(|| number("faasflow.phase")).unwrap_or_default()
    }

    /// An attribute that is a number.
    pub(super) fn float(&self, key: &str) -> Result<f64, String> {
        let found = self.attributes.get(key).and_then(|text| text.parse().ok());
        found.ok_or_else(|| format!("`{}` has no number `{key}`: {:?}", self.name, self.attributes))
    }
}

impl Event {
    fn read(value: &Value) -> Event {
        let mut attributes = attributes(&value["fields"]);
        Event { name: attributes.remove("event").unwrap_or_default(), attributes }
    }
}

fn attributes(tags: &Value) -> Attributes {
    let tags = tags.as_array().map(Vec::as_slice).unwrap_or_default();
    tags.iter().map(|tag| (text(&tag["key"]), text(&tag["value"]))).collect()
}

/// A value as text, without the quotes of JSON.
pub(super) fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// The expected and the actual lines, with marks where they differ.
fn difference(expected: &[String], found: &[String]) -> String {
    let mut text = "the trace is not what it must be (- expected, + found):".to_owned();
    for line in expected {
        let mark = if found.contains(line) { ' ' } else { '-' };
        text.push_str(&format!("\n    {mark} {line}"));
    }
    for line in found.iter().filter(|line| !expected.contains(line)) {
        text.push_str(&format!("\n    + {line}"));
    }
    if expected.iter().all(|line| found.contains(line)) && expected.len() == found.len() {
        text.push_str(&format!("\n    in this order: {found:#?}"));
    }
    text
}
