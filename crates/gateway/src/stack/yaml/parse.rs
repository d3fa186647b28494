//! Builds the tree of a file from the parser's events.

use std::collections::HashMap;
use std::rc::Rc;

use granit_parser::{Event, Parser, ScalarStyle, Tag};

use super::node::{Node, Value};
use super::{At, Fault, explain};

/// Reads a file with one document. An empty file is null.
pub(in crate::stack) fn parse(text: &str) -> Result<Node, Fault> {
    explain::check_characters(text)?;
    // As libyaml behaves, which the Go reader is built on.
    let options = granit_parser::options! {
        emit_comments: false,
        emit_unresolved_aliases: true,
        bom_inside_document_as_content: true,
        block_scalar_eof_without_line_feed: true,
    };
    let mut builder =
        Builder { parser: Parser::new_from_str_with_options(text, options), source: text, anchors: HashMap::new() };
    builder.document()
}

struct Builder<'a, T: granit_parser::BorrowedInput<'a>> {
    parser: Parser<'a, T>,
    source: &'a str,
    /// The value of each anchor. A value that is not complete yet is missing.
    anchors: HashMap<usize, Value>,
}

impl<'a, T: granit_parser::BorrowedInput<'a>> Builder<'a, T> {
    fn document(&mut self) -> Result<Node, Fault> {
        let start = At { line: 1, column: 1 };
        let mut root = None::<Node>;
        while let Some((event, at)) = self.next()? {
            match event {
                Event::StreamStart | Event::StreamEnd | Event::DocumentStart(..) | Event::DocumentEnd => {}
                event => {
                    let node = self.node(event, at)?;
                    match &root {
                        None => root = Some(node),
                        // A last `---` may be followed by nothing.
                        Some(_) if node.is_null() => {}
                        Some(_) => {
                            return Err(Fault::structure(
                                at,
                                "a second document begins here, after a line `---`, and would not be read",
                            )
                            .help("move its content into the first document, or into another file"));
                        }
                    }
                }
            }
        }
        Ok(root.unwrap_or_else(|| Node { at: start, value: Value::Scalar { text: "".into(), plain: true, tag: None } }))
    }

    fn next(&mut self) -> Result<Option<(Event<'a>, At)>, Fault> {
        match self.parser.next_event() {
            None => Ok(None),
            Some(Ok((event, span))) => Ok(Some((event, At::from(&span.start)))),
            Some(Err(error)) => Err(explain::explain(&error, self.source)),
        }
    }

    fn node(&mut self, event: Event<'a>, at: At) -> Result<Node, Fault> {
        let (value, anchor) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                let plain = style == ScalarStyle::Plain;
                let tag = tag.as_deref().map(tag_name);
                (Value::Scalar { text: text.into(), plain, tag }, anchor)
            }
            Event::SequenceStart(_, anchor, _) => {
                let mut items = Vec::new();
                loop {
                    match self.inner(at)? {
                        (Event::SequenceEnd, _) => break,
                        (event, at) => items.push(self.node(event, at)?),
                    }
                }
                (Value::List(items.into()), anchor)
            }
            Event::MappingStart(_, anchor, _) => {
                let mut entries = Vec::new();
                loop {
                    let key = match self.inner(at)? {
                        (Event::MappingEnd, _) => break,
                        (event, at) => self.node(event, at)?,
                    };
                    let (event, at) = self.inner(at)?;
                    entries.push((key, self.node(event, at)?));
                }
                (Value::Mapping(entries.into()), anchor)
            }
            Event::Alias(id) => {
                let value = self.anchors.get(&id).cloned().ok_or_else(|| {
                    Fault::syntax(at, "this alias is inside the value that it stands for").help("write the value out")
                })?;
                return Ok(Node { at, value });
            }
            Event::UnresolvedAlias(name) => {
                let what = format!("`*{name}` stands for nothing: no value above it has the anchor `&{name}`");
                return Err(Fault::syntax(at, what).help("if it is a text, quote it"));
            }
            _ => return Err(Fault::syntax(at, "a value was expected here").help("write a value")),
        };
        if anchor != 0 {
            if let Some(name) = odd_anchor(self.source, at) {
                let what = format!("`&{name}` is an anchor, a name for the value after it");
                return Err(Fault::syntax(at, what).help("if it is a text, quote it"));
            }
            self.anchors.insert(anchor, value.clone());
        }
        Ok(Node { at, value })
    }

    fn inner(&mut self, at: At) -> Result<(Event<'a>, At), Fault> {
        self.next()?.ok_or_else(|| {
            Fault::syntax(at, "the file ends in the middle of what begins here")
                .help("close the bracket, brace or quote")
        })
    }
}

/// The name of the anchor at `at`, if other readers of YAML do not accept the name: they take letters, digits, `-` and `_`.
/// Otherwise a password that begins with `&` would silently be lost.
fn odd_anchor(source: &str, at: At) -> Option<&str> {
    let line: usize = source.split_inclusive('\n').take(at.line - 1).map(str::len).sum();
    let column: usize = source[line..].chars().take(at.column - 1).map(char::len_utf8).sum();
    let (before, behind) = source.split_at(line + column);
    let name = match behind.strip_prefix('&') {
        Some(name) => name,
        None => &source[before.rfind('&')? + 1..],
    };
    let name = name.split(|c: char| c.is_whitespace() || ",[]{}".contains(c)).next()?;
    let usual = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    (name.is_empty() || !name.chars().all(usual)).then_some(name)
}

/// The short form, such as `!!int`, of the tags that YAML defines, or else the tag as it is written.
fn tag_name(tag: &Tag) -> Rc<str> {
    match tag.core_suffix() {
        Some(suffix) => format!("!!{suffix}").into(),
        None => tag.original().into(),
    }
}
