//! The shape of a plan as text, and the shape of the part ahead of each place.

use std::fmt::Write as _;

use super::outline::{BodyIndex, Composite, CompositeIndex, CompositeKind, Node, PlannedStep};
use super::planning::{Cut, Piece};
use super::segment::Follow;

/// The longest shape that an envelope carries and that is read back, in bytes. A flow of a thousand steps must not pay for its
/// shape in every envelope.
pub(crate) const MAX_SHAPE: usize = 4096;

impl Cut<'_> {
    /// The whole shape, such as `[modifier, call a] graph{x: [call b]; y after x: [call c]} []`.
    pub(super) fn shape(&self) -> String {
        let mut text = String::new();
        self.write_pieces(&mut text, &self.pieces[0]);
        text
    }

    /// The shape of everything that a token at a segment has ahead of it. In a branch, these are the rest of the branch, the
    /// names of all branches of the graph, the contents of those that come after it, and everything after the join. A join
    /// also has the number of the phase that forks.
    pub(super) fn ahead(&self, segment: usize) -> String {
        let mut text = String::new();
        if let Some(composite) = self.segments[segment].joins {
            // The keys of what the members have written contain the number of the fork.
            let fork = self.segments.iter().find(|segment| segment.follow == Follow::Fork(composite));
            write!(text, "{} ", fork.map_or(0, |fork| fork.place.phase()))
                .expect("a string takes what is written to it");
            self.write_signature(&mut text, composite, None);
            text.push(' ');
        }
        let body = self.segments[segment].body;
        self.write_rest(&mut text, body, Piece::Segment(segment), 0);
        text
    }

    /// The shape of one piece.
    pub(super) fn piece(&self, piece: Piece) -> String {
        let mut text = String::new();
        self.write_pieces(&mut text, &[piece]);
        text
    }

    /// The shape of a composite without the contents of its branches, except those that come after the branch `from`.
    pub(super) fn signature(&self, composite: CompositeIndex, from: Option<usize>) -> String {
        let mut text = String::new();
        self.write_signature(&mut text, composite, from);
        text
    }

    /// Writes the pieces of a body beginning at `from`, without the first `skip` pieces, and then everything after the body.
    fn write_rest(&self, text: &mut String, body: BodyIndex, from: Piece, skip: usize) {
        let pieces = &self.pieces[body.0];
        let at = pieces.iter().position(|piece| *piece == from).map_or(pieces.len(), |at| at + skip);
        self.write_pieces(text, &pieces[at..]);
        if let Some((composite, branch)) = self.outline.bodies[body.0].owner {
            let outline = &self.outline.composites[composite.0];
            text.push_str(" < ");
            self.write_signature(text, composite, outline.kind.joins().then_some(branch));
            text.push(' ');
            self.write_rest(text, outline.parent, Piece::Composite(composite), 1);
        }
    }

    /// Writes a composite without the contents of its branches, except those that come after the branch `from`.
    fn write_signature(&self, text: &mut String, composite: CompositeIndex, from: Option<usize>) {
        let outline = &self.outline.composites[composite.0];
        text.push_str(word(outline.kind));
        if !outline.kind.joins() {
            return;
        }
        let later = from.map(|branch| later(outline, branch)).unwrap_or_default();
        self.write_branches(text, outline, |index| later.contains(&index));
    }

    fn write_pieces(&self, text: &mut String, pieces: &[Piece]) {
        for (index, piece) in pieces.iter().enumerate() {
            if index > 0 {
                text.push(' ');
            }
            match piece {
                Piece::Segment(segment) => {
                    let segment = &self.segments[*segment];
                    text.push('[');
                    self.write_nodes(text, &self.outline.bodies[segment.body.0].nodes[segment.nodes.clone()]);
                    text.push(']');
                }
                Piece::Composite(composite) => self.write_composite(text, *composite),
            }
        }
    }

    fn write_nodes(&self, text: &mut String, nodes: &[Node]) {
        for (index, node) in nodes.iter().enumerate() {
            if index > 0 {
                text.push_str(", ");
            }
            match node {
                Node::Step(step) => match self.outline.steps[step.0] {
                    PlannedStep::Call { function, .. } => text.extend(["call ", function]),
                    PlannedStep::Modifier => text.push_str("modifier"),
                    PlannedStep::Callback => text.push_str("callback"),
                },
                Node::Composite(composite) => self.write_composite(text, *composite),
            }
        }
    }

    fn write_composite(&self, text: &mut String, composite: CompositeIndex) {
        let outline = &self.outline.composites[composite.0];
        text.push_str(word(outline.kind));
        self.write_branches(text, outline, |_| true);
    }

    fn write_branches(&self, text: &mut String, outline: &Composite, full: impl Fn(usize) -> bool) {
        text.push('{');
        for (index, branch) in outline.branches.iter().enumerate() {
            if index > 0 {
                text.push_str("; ");
            }
            write_name(text, &branch.name);
            for (position, &other) in branch.after.iter().enumerate() {
                text.push_str(if position == 0 { " after " } else { " " });
                write_name(text, &outline.branches[other].name);
            }
            if !full(index) {
                continue;
            }
            text.push_str(": ");
            match outline.is_inline {
                true => self.write_nodes(text, &self.outline.bodies[branch.body.0].nodes),
                false => self.write_pieces(text, &self.pieces[branch.body.0]),
            }
        }
        text.push('}');
    }
}

pub(super) fn word(kind: CompositeKind) -> &'static str {
    match kind {
        CompositeKind::Graph => "graph",
        CompositeKind::Choice => "choice",
        CompositeKind::ForEach => "for_each",
        CompositeKind::Flow => "flow",
    }
}

/// Writes a name, in quotes if it could be mistaken for something else.
fn write_name(text: &mut String, name: &str) {
    match name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)) && name != "after" {
        true => text.push_str(name),
        false => write!(text, "{name:?}").expect("a string takes what is written to it"),
    }
}

/// The branches of a graph that come directly or indirectly after this one.
fn later(graph: &Composite, branch: usize) -> Vec<usize> {
    let mut later: Vec<usize> = graph.successors(branch).collect();
    let mut index = 0;
    while let Some(&next) = later.get(index) {
        for successor in graph.successors(next) {
            if !later.contains(&successor) {
                later.push(successor);
            }
        }
        index += 1;
    }
    later
}
