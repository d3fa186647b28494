//! The steps that one phase executes, and what follows them.

use std::ops::Range;

use super::fingerprint::Fingerprint;
use super::outline::{BodyIndex, CompositeIndex, StepIndex};
use super::place::Place;

/// The steps that one phase executes, and what follows them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    pub(super) place: Place,
    pub(super) body: BodyIndex,
    pub(super) nodes: Range<usize>,
    pub(super) steps: Range<usize>,
    pub(super) joins: Option<CompositeIndex>,
    pub(super) follow: Follow,
    pub(super) ahead: Fingerprint,
}

/// What follows a segment.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Follow {
    /// The end of the request.
    End,
    /// The same token continues at another segment.
    Next(Place),
    /// A graph or for-each begins, and each member gets its own token.
    Fork(CompositeIndex),
    /// A choice is made, and the same token continues in the chosen branch.
    Choose(CompositeIndex),
    /// A branch or item of this graph or for-each has ended.
    Arrive(CompositeIndex),
}

impl Segment {
    /// The place at which a request executes it, without its path.
    #[must_use]
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// All of its steps, in order, including those of flows inside it.
    pub fn steps(&self) -> impl DoubleEndedIterator<Item = StepIndex> + ExactSizeIterator + use<> {
        self.steps.clone().map(StepIndex)
    }

    /// The body that it is a part of.
    #[must_use]
    pub fn body(&self) -> BodyIndex {
        self.body
    }

    /// The nodes of its body that it executes. A composite among them runs within the phase.
    #[must_use]
    pub fn nodes(&self) -> Range<usize> {
        self.nodes.clone()
    }

    /// The graph or for-each whose members are joined here, before the first step.
    #[must_use]
    pub fn joins(&self) -> Option<CompositeIndex> {
        self.joins
    }

    /// What follows it.
    #[must_use]
    pub fn follow(&self) -> &Follow {
        &self.follow
    }

    /// The next place of the same token; `None` if a fork, a choice, a join or the end of the flow follows.
    #[must_use]
    pub fn next(&self) -> Option<&Place> {
        match &self.follow {
            Follow::Next(place) => Some(place),
            _ => None,
        }
    }

    /// A fingerprint of everything that a token at this place has ahead of it: this segment, and all that can follow. It does
    /// not change if a deployment changes only earlier parts of the flow.
    #[must_use]
    pub fn ahead(&self) -> Fingerprint {
        self.ahead
    }
}
