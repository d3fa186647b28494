//! Cuts bodies into segments.

use std::ops::Range;

use super::fingerprint::Fingerprint;
use super::outline::{BodyIndex, CompositeIndex, CompositeKind, Node, Outline};
use super::place::Place;
use super::segment::{Follow, Segment};

/// A part of a body that was cut: a segment, or a composite between segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    Segment(usize),
    Composite(CompositeIndex),
}

/// The segments of all bodies, and how each body is divided.
pub(super) struct Cut<'a> {
    pub(super) outline: &'a Outline<'a>,
    pub(super) segments: Vec<Segment>,
    /// The pieces of each body, in order; none for a body that runs within a segment, and for an empty branch of a choice.
    pub(super) pieces: Vec<Vec<Piece>>,
    /// The segment that follows each composite.
    after: Vec<Option<usize>>,
}

/// A segment that is being filled.
struct Open {
    index: usize,
    nodes: Range<usize>,
    /// Whether an asynchronous call can still join it, because it has no call yet.
    takes_call: bool,
}

impl<'a> Cut<'a> {
    pub(super) fn new(outline: &'a Outline<'a>) -> Cut<'a> {
        let pieces = vec![Vec::new(); outline.bodies.len()];
        let after = vec![None; outline.composites.len()];
        let mut cut = Cut { outline, segments: Vec::new(), pieces, after };
        cut.body(BodyIndex(0));
        for index in 0..cut.segments.len() {
            if cut.segments[index].follow == Follow::End {
                cut.segments[index].follow = cut.end_of(cut.segments[index].body);
            }
        }
        cut
    }

    /// What follows the end of a body.
    pub(super) fn end_of(&self, body: BodyIndex) -> Follow {
        let Some((composite, _)) = self.outline.bodies[body.0].owner else { return Follow::End };
        let outline = &self.outline.composites[composite.0];
        match (outline.kind.joins(), self.after[composite.0]) {
            (true, _) => Follow::Arrive(composite),
            (false, Some(segment)) => Follow::Next(Place::at(segment)),
            (false, None) => self.end_of(outline.parent),
        }
    }

    /// The beginning of each branch of a composite that is not inline: see [`Plan::entry`](super::Plan::entry).
    pub(super) fn entries(&self, composite: CompositeIndex) -> Vec<Follow> {
        let entry = |body: BodyIndex| match self.pieces[body.0].first() {
            Some(Piece::Segment(index)) => Follow::Next(Place::at(*index)),
            _ => self.end_of(body),
        };
        self.outline.composites[composite.0].branches.iter().map(|branch| entry(branch.body)).collect()
    }

    fn body(&mut self, body: BodyIndex) {
        let nodes = &self.outline.bodies[body.0].nodes;
        let mut open = self.open(body, 0, None);
        for (at, &node) in nodes.iter().enumerate() {
            match node {
                Node::Composite(composite) if !self.outline.composites[composite.0].is_inline => {
                    open = self.composite(body, composite, &open, at, at + 1 == nodes.len());
                    continue;
                }
                Node::Step(step) if self.outline.steps[step.0].is_async() && !open.takes_call => {
                    let next = Follow::Next(Place::at(self.segments.len()));
                    self.close(&open, next);
                    open = self.open(body, at, None);
                }
                _ => {}
            }
            open.nodes.end = at + 1;
            open.takes_call &= !self.outline.any_step_of(node, &|step| step.is_call());
        }
        if open.index < self.segments.len() {
            self.close(&open, Follow::End);
        }
    }

    /// Ends the open segment before a composite, cuts the bodies inside it, and opens the segment that follows it.
    fn composite(&mut self, body: BodyIndex, composite: CompositeIndex, open: &Open, at: usize, last: bool) -> Open {
        let kind = self.outline.composites[composite.0].kind;
        let branches = &self.outline.composites[composite.0].branches;
        let inner = Follow::Next(Place::at(self.segments.len()));
        let follow = match kind {
            CompositeKind::Graph | CompositeKind::ForEach => Follow::Fork(composite),
            CompositeKind::Choice => Follow::Choose(composite),
            CompositeKind::Flow => inner,
        };
        self.close(open, follow);
        self.pieces[body.0].push(Piece::Composite(composite));
        for branch in branches {
            // An empty branch of a choice needs no phase: the token continues after the choice.
            if kind.joins() || !self.outline.bodies[branch.body.0].nodes.is_empty() {
                self.body(branch.body);
            }
        }
        if last && !kind.joins() {
            return Open { index: usize::MAX, nodes: at + 1..at + 1, takes_call: false };
        }
        self.after[composite.0] = Some(self.segments.len());
        self.open(body, at + 1, kind.joins().then_some(composite))
    }

    fn open(&mut self, body: BodyIndex, at: usize, joins: Option<CompositeIndex>) -> Open {
        let index = self.segments.len();
        self.segments.push(Segment {
            place: Place::at(index),
            body,
            nodes: at..at,
            steps: 0..0,
            joins,
            follow: Follow::End,
            ahead: Fingerprint::from_shape(""),
        });
        self.pieces[body.0].push(Piece::Segment(index));
        Open { index, nodes: at..at, takes_call: true }
    }

    fn close(&mut self, open: &Open, follow: Follow) {
        let steps = self.steps(self.segments[open.index].body, open.nodes.clone());
        let segment = &mut self.segments[open.index];
        segment.nodes = open.nodes.clone();
        segment.steps = steps;
        segment.follow = follow;
    }

    /// The steps of adjacent nodes. They have consecutive numbers, because steps are numbered depth first.
    fn steps(&self, body: BodyIndex, nodes: Range<usize>) -> Range<usize> {
        let nodes = &self.outline.bodies[body.0].nodes[nodes];
        let mut steps = nodes.iter().filter_map(|&node| self.first_step(node));
        let start = steps.next();
        match start {
            Some(start) => start..nodes.iter().rev().find_map(|&node| self.last_step(node)).unwrap_or(start) + 1,
            None => 0..0,
        }
    }

    fn first_step(&self, node: Node) -> Option<usize> {
        match node {
            Node::Step(step) => Some(step.0),
            Node::Composite(composite) => self.inside(composite).find_map(|node| self.first_step(node)),
        }
    }

    fn last_step(&self, node: Node) -> Option<usize> {
        match node {
            Node::Step(step) => Some(step.0),
            Node::Composite(composite) => self.inside(composite).rev().find_map(|node| self.last_step(node)),
        }
    }

    fn inside(&self, composite: CompositeIndex) -> impl DoubleEndedIterator<Item = Node> {
        let branches = &self.outline.composites[composite.0].branches;
        branches.iter().flat_map(|branch| self.outline.bodies[branch.body.0].nodes.iter().copied())
    }
}
