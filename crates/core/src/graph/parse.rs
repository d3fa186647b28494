//! Reads the shape of a plan back from its text.

use std::borrow::Cow;
use std::sync::Arc;

use super::outline::{Body, BodyIndex, Branch, Composite, CompositeIndex, CompositeKind, Node, Outline, PlannedStep};

impl<'a> Outline<'a> {
    /// Reads the outline of a flow from the [shape](super::Plan::shape) of its plan; `None` if the text is not a shape. Only the
    /// first call of a phase that follows directly on another one is known to be asynchronous.
    pub(super) fn from_shape(text: &'a str) -> Option<Outline<'a>> {
        let mut reader = Reader { rest: text, outline: Outline::default() };
        let body = reader.open_body(None);
        reader.pieces(body)?;
        reader.rest.is_empty().then_some(reader.outline)
    }
}

struct Reader<'a> {
    rest: &'a str,
    outline: Outline<'a>,
}

impl<'a> Reader<'a> {
    /// Skips a text, if it is next.
    fn skip(&mut self, text: &str) -> bool {
        let rest = self.rest.strip_prefix(text);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn open_body(&mut self, owner: Option<(CompositeIndex, usize)>) -> BodyIndex {
        self.outline.bodies.push(Body { owner, nodes: Vec::new() });
        BodyIndex(self.outline.bodies.len() - 1)
    }

    /// Segments and the composites between them: `[call a] graph{…} []`.
    fn pieces(&mut self, body: BodyIndex) -> Option<()> {
        let mut after_segment = false;
        loop {
            let is_segment = self.skip("[");
            if is_segment {
                self.nodes(body, "]", after_segment)?;
                self.skip("]").then_some(())?;
            } else {
                self.composite(body, false)?;
            }
            after_segment = is_segment;
            if !self.skip(" ") {
                return Some(());
            }
        }
    }

    /// Steps and composites within a segment: `modifier, call a`.
    fn nodes(&mut self, body: BodyIndex, end: &str, mut is_async: bool) -> Option<()> {
        if self.rest.starts_with(end) {
            return Some(());
        }
        loop {
            if self.skip("modifier") {
                self.step(body, PlannedStep::Modifier);
            } else if self.skip("callback") {
                self.step(body, PlannedStep::Callback);
            } else if self.skip("call ") {
                let function = self.plain()?;
                self.step(body, PlannedStep::Call { function, sync: !is_async });
            } else {
                self.composite(body, true)?;
            }
            is_async = false;
            if !self.skip(", ") {
                return Some(());
            }
        }
    }

    fn step(&mut self, body: BodyIndex, step: PlannedStep<'a>) {
        let node = Node::Step(super::StepIndex(self.outline.steps.len()));
        self.outline.steps.push(step);
        self.outline.bodies[body.0].nodes.push(node);
    }

    fn composite(&mut self, parent: BodyIndex, is_inline: bool) -> Option<()> {
        let kinds = [CompositeKind::Graph, CompositeKind::Choice, CompositeKind::ForEach, CompositeKind::Flow];
        let kind = kinds.into_iter().find(|kind| self.skip(&[super::shape::word(*kind), "{"].concat()))?;
        let index = CompositeIndex(self.outline.composites.len());
        self.outline.composites.push(Composite { kind, parent, branches: Vec::new(), is_inline });
        self.outline.bodies[parent.0].nodes.push(Node::Composite(index));
        let mut after: Vec<Vec<Cow<'a, str>>> = Vec::new();
        loop {
            let name: Arc<str> = self.name()?.into();
            let mut names = Vec::new();
            if self.skip(" after") {
                while self.skip(" ") {
                    names.push(self.name()?);
                }
            }
            after.push(names);
            self.skip(": ").then_some(())?;
            let body = self.open_body(Some((index, after.len() - 1)));
            self.outline.composites[index.0].branches.push(Branch { name, body, after: Vec::new() });
            match is_inline {
                true if self.rest.starts_with("; ") => {}
                true => self.nodes(body, "}", false)?,
                false if self.rest.starts_with(['[', 'g', 'c', 'f']) => self.pieces(body)?,
                false => {}
            }
            if self.skip("}") {
                break;
            }
            self.skip("; ").then_some(())?;
        }
        let branches = &mut self.outline.composites[index.0].branches;
        let names: Vec<Arc<str>> = branches.iter().map(|branch| branch.name.clone()).collect();
        for (branch, after) in branches.iter_mut().zip(after) {
            let number = |name: &Cow<'_, str>| names.iter().position(|other| **other == **name);
            branch.after = after.iter().map(number).collect::<Option<_>>()?;
        }
        Some(())
    }

    /// A name of letters, digits, `-`, `_` and `.`.
    fn plain(&mut self) -> Option<&'a str> {
        let is_plain = |character: char| character.is_ascii_alphanumeric() || "-_.".contains(character);
        let end = self.rest.find(|character| !is_plain(character)).unwrap_or(self.rest.len());
        let (name, rest) = self.rest.split_at(end);
        self.rest = rest;
        (!name.is_empty()).then_some(name)
    }

    /// The name of a branch, which may be in quotes.
    fn name(&mut self) -> Option<Cow<'a, str>> {
        if !self.skip("\"") {
            return self.plain().map(Cow::Borrowed);
        }
        let mut name = String::new();
        loop {
            let mut characters = self.rest.chars();
            let character = characters.next()?;
            self.rest = characters.as_str();
            match character {
                '"' => return Some(Cow::Owned(name)),
                '\\' => name.push(self.escaped()?),
                other => name.push(other),
            }
        }
    }

    /// The character that follows a backslash, as `Debug` writes it.
    fn escaped(&mut self) -> Option<char> {
        let mut characters = self.rest.chars();
        let character = characters.next()?;
        self.rest = characters.as_str();
        Some(match character {
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            '0' => '\0',
            '\\' | '"' | '\'' => character,
            'u' => {
                let (digits, rest) = self.rest.strip_prefix('{')?.split_once('}')?;
                self.rest = rest;
                char::from_u32(u32::from_str_radix(digits, 16).ok()?)?
            }
            _ => return None,
        })
    }
}
