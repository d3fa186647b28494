//! An expected trace: its spans with kinds, attributes, events and errors, as readable lines that can be compared.

use serde_json::Value;

use super::trace::{Attributes, Event, Span, Trace, text};

/// Attributes that differ from run to run. Only their presence is compared; their values are checked where they matter.
const VARYING: [&str; 2] = ["faasflow.queue.seconds", "faasflow.envelope.bytes"];

/// A span and those below it.
#[derive(Clone)]
pub(super) struct Tree {
    name: String,
    kind: String,
    error: Option<String>,
    attributes: Attributes,
    events: Vec<Event>,
    children: Vec<Tree>,
}

pub(super) fn span(name: &str, kind: &str) -> Tree {
    Tree {
        name: name.to_owned(),
        kind: kind.to_owned(),
        error: None,
        attributes: Attributes::new(),
        events: Vec::new(),
        children: Vec::new(),
    }
}

impl Tree {
    /// The tree of a real span.
    pub(super) fn new(trace: &Trace, span: &Span) -> Tree {
        Tree {
            name: span.name.clone(),
            kind: span.kind.clone(),
            error: span.error.clone(),
            attributes: span.attributes.clone(),
            events: span.events.clone(),
            children: trace.children(span).into_iter().map(|child| Tree::new(trace, child)).collect(),
        }
    }

    pub(super) fn with(mut self, key: &str, value: impl Into<Value>) -> Tree {
        self.attributes.insert(key.to_owned(), text(&value.into()));
        self
    }

    pub(super) fn without(mut self, key: &str) -> Tree {
        self.attributes.remove(key);
        self
    }

    pub(super) fn event(mut self, name: &str, attributes: &[(&str, &str)]) -> Tree {
        let attributes = attributes.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        self.events.push(Event { name: name.to_owned(), attributes });
        self
    }

    /// Marks it as failed, with the reason that the caller gets.
    pub(super) fn failed(mut self, kind: &str, reason: &str) -> Tree {
        self.error = Some(reason.to_owned());
        self.with("error.type", kind)
    }

    /// The text of a failure in the log.
    pub(super) fn exception(self, kind: &str, message: &str) -> Tree {
        self.event("exception", &[("exception.type", kind), ("exception.message", message)])
    }

    pub(super) fn child(mut self, child: Tree) -> Tree {
        self.children.push(child);
        self
    }

    /// The number of spans.
    pub(super) fn spans(&self) -> usize {
        1 + self.children.iter().map(Tree::spans).sum::<usize>()
    }

    /// One line for each span and each event.
    pub(super) fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        self.write(0, &mut lines);
        lines
    }

    fn write(&self, depth: usize, lines: &mut Vec<String>) {
        let indent = "  ".repeat(depth);
        let error = self.error.as_ref().map(|reason| format!(" error \"{reason}\"")).unwrap_or_default();
        lines.push(format!("{indent}{} [{}]{error}{}", self.name, self.kind, list(&self.attributes)));
        for event in &self.events {
            lines.push(format!("{indent}  · {}{}", event.name, list(&event.attributes)));
        }
        for child in &self.children {
            child.write(depth + 1, lines);
        }
    }
}

fn list(attributes: &Attributes) -> String {
    let mut text = String::new();
    for (key, value) in attributes {
        let value = if VARYING.contains(&key.as_str()) { "*" } else { value };
        text.push_str(&format!(" {key}={value}"));
    }
    text
}

/// The span of a request that has ended.
pub(super) fn request(flow: &str, id: &str, phases: usize, outcome: &str) -> Tree {
    let tree = span(flow, "server").with("faasflow.flow", flow).with("faasflow.request.id", id);
    tree.with("faasflow.phases", phases).with("faasflow.outcome", outcome)
}

/// The span of a phase, with the status of its answer.
pub(super) fn phase(flow: &str, id: &str, number: usize, answer: u16) -> Tree {
    let later = number > 1;
    let tree = span(&format!("phase {number}"), if later { "consumer" } else { "server" })
        .with("faasflow.flow", flow)
        .with("faasflow.request.id", id)
        .with("faasflow.phase", number)
        .with("faasflow.asynchronous", later)
        .with("faasflow.answer", answer);
    if later { tree.with("faasflow.queue.seconds", "*") } else { tree }
}

/// A phase that forwarded to the next one, with the payload in its envelope.
pub(super) fn forwarded(phase: Tree, to: &str) -> Tree {
    let attributes = [("faasflow.phase", to), ("faasflow.envelope.bytes", "*"), ("faasflow.payload.stored", "false")];
    phase.event("forwarded", &attributes)
}

/// A phase that ran the finaliser, as its last event.
pub(super) fn finally(phase: Tree) -> Tree {
    phase.event("finally", &[("faasflow.succeeded", "true")])
}

/// A phase that sent the report to the caller's URL.
pub(super) fn reported(phase: Tree) -> Tree {
    phase.event("report", &[("faasflow.report", "it answered 200 OK")])
}

pub(super) fn modifier(id: &str, number: usize, name: &str, bytes: (usize, usize)) -> Tree {
    span(&format!("modifier {name}"), "internal")
        .with("faasflow.request.id", id)
        .with("faasflow.step", number)
        .with("faasflow.step.kind", "modifier")
        .with("faasflow.bytes.in", bytes.0)
        .with("faasflow.bytes.out", bytes.1)
}

/// A call that was answered with 200 at the first attempt.
pub(super) fn call(id: &str, number: usize, gateway: &str, function: &str, bytes: (usize, usize)) -> Tree {
    requested(span(&format!("call {function}"), "client"), id, number, bytes)
        .with("faasflow.step.kind", "call")
        .with("faasflow.function", function)
        .with("url.full", format!("{gateway}/function/{function}"))
}

/// A callback that was answered with 200 at the first attempt. Its name and URL contain only the server, because the
/// rest may be a secret.
pub(super) fn callback(id: &str, number: usize, server: &str, bytes: (usize, usize)) -> Tree {
    let host = server.trim_start_matches("http://").split(':').next().unwrap_or_default();
    requested(span(&format!("callback {host}"), "client"), id, number, bytes)
        .with("faasflow.step.kind", "callback")
        .with("url.full", format!("{server}/REDACTED?REDACTED"))
}

fn requested(tree: Tree, id: &str, number: usize, bytes: (usize, usize)) -> Tree {
    tree.with("faasflow.request.id", id)
        .with("faasflow.step", number)
        .with("http.request.method", "POST")
        .with("http.response.status_code", 200)
        .with("http.request.body.size", bytes.0)
        .with("http.response.body.size", bytes.1)
        .with("faasflow.attempts", 1)
}
