//! An earlier definition of a flow, beside the one that is deployed.

use super::outline::{BodyIndex, Branch, CompositeIndex, CompositeKind, Node, Outline, PlannedStep, StepIndex};
use super::place::Place;
use super::plan::Plan;
use super::planning::{Cut, Piece};
use super::segment::Segment;
use super::shape::MAX_SHAPE;

/// An earlier definition of a flow, with which requests in progress began, and where its parts are in the definition that is
/// deployed.
///
/// A request keeps the numbers of the definition that it began with, because keys in the store, call ids and idempotency keys
/// contain them. So its tokens move on the [plan](Earlier::plan) of that definition, and the [`segment`](Earlier::segment) of the
/// deployed one is executed where everything ahead is the same in both.
///
/// ```
/// use faasflow_core::graph::{Earlier, Place, Plan, PlannedStep};
///
/// let call = |function| PlannedStep::Call { function, sync: false };
/// let deployed = Plan::linear(["facedetect", "classify", "compress"].map(call));
/// let earlier = Earlier::new("[call facedetect] [call compress]", &deployed).unwrap();
/// // The second phase is the third one now.
/// assert_eq!(earlier.segment(&Place::from(2)).unwrap().place().phase(), 3);
/// // The first one is followed by other phases now.
/// assert_eq!(earlier.segment(&Place::from(1)), None);
/// ```
#[derive(Debug)]
pub struct Earlier {
    plan: Plan,
    /// The deployed segment for each segment after which everything is the same. Its place has the number that it has in the
    /// deployed plan.
    segments: Vec<Option<Segment>>,
    bodies: Vec<Option<BodyIndex>>,
    composites: Vec<Option<CompositeIndex>>,
    /// For each step of the deployed definition, its index in the earlier one.
    steps: Vec<Option<StepIndex>>,
    same_phases: usize,
    /// The names of the steps of the earlier definition.
    names: Vec<String>,
}

impl Earlier {
    /// Compares the definition with this [shape](Plan::shape) with the deployed one. `None` if the text is not a whole shape, or
    /// is longer than 4,096 bytes.
    #[must_use]
    pub fn new(shape: &str, deployed: &Plan) -> Option<Earlier> {
        if shape.len() > MAX_SHAPE {
            return None;
        }
        let (old, new) = (Outline::from_shape(shape)?, Outline::from_shape(deployed.shape())?);
        let (old_cut, new_cut) = (Cut::new(&old), Cut::new(&new));
        if old_cut.shape() != shape || new_cut.segments.len() != deployed.phase_count() {
            return None;
        }
        let mut comparison = Comparison {
            segments: vec![None; old_cut.segments.len()],
            bodies: vec![None; old.bodies.len()],
            composites: vec![None; old.composites.len()],
            steps: vec![None; new.steps.len()],
            old: &old_cut,
            new: &new_cut,
        };
        comparison.bodies(BodyIndex(0), BodyIndex(0), true);
        let same_phases = comparison.same_phases();
        let Comparison { segments, bodies, composites, steps, .. } = comparison;
        let all: Vec<&Segment> = deployed.segments().collect();
        let segments = segments.into_iter().map(|index| index.map(|index| all[index].clone())).collect();
        let names = old.steps.iter().map(|step| match step {
            PlannedStep::Modifier => "modifier".to_owned(),
            PlannedStep::Callback => "callback".to_owned(),
            PlannedStep::Call { function, .. } => format!("function `{function}`"),
        });
        let names = names.collect();
        Some(Earlier { segments, bodies, composites, steps, same_phases, names, plan: Plan::new(old) })
    }

    /// Its plan.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The segment of the deployed definition that a token at this place executes; `None` if something ahead of it has changed,
    /// or if the earlier plan has no such place.
    #[must_use]
    pub fn segment(&self, place: &Place) -> Option<&Segment> {
        self.plan.segment(place)?;
        self.segments[place.index()?].as_ref()
    }

    /// The same body in the deployed definition; `None` if there is none.
    #[must_use]
    pub fn body(&self, body: BodyIndex) -> Option<BodyIndex> {
        self.bodies.get(body.index()).copied().flatten()
    }

    /// The body of which this one is the same in the deployed definition; `None` if there is none.
    #[must_use]
    pub fn body_before(&self, deployed: BodyIndex) -> Option<BodyIndex> {
        self.bodies.iter().position(|body| *body == Some(deployed)).map(BodyIndex)
    }

    /// The same graph, choice, for-each or sub-flow in the deployed definition; `None` if there is none.
    #[must_use]
    pub fn composite(&self, composite: CompositeIndex) -> Option<CompositeIndex> {
        self.composites.get(composite.index()).copied().flatten()
    }

    /// The number of a step of the deployed definition in the earlier one; `None` if that had no such step.
    #[must_use]
    pub fn step_number(&self, deployed: StepIndex) -> Option<usize> {
        self.steps.get(deployed.index()).copied().flatten().map(StepIndex::number)
    }

    /// Whether the phase with this number, and all phases with higher numbers, are the same in the deployed definition, and
    /// everything ahead of them. `false` if there is no such phase.
    #[must_use]
    pub fn is_same_from(&self, phase: usize) -> bool {
        let phases = phase.checked_sub(1).and_then(|index| self.segments.get(index..));
        phases.is_some_and(|phases| !phases.is_empty() && phases.iter().all(Option::is_some))
    }

    /// What is known of the name of a step of the earlier definition, such as ``function `resize` ``, `modifier` or `callback`.
    ///
    /// # Panics
    ///
    /// If the index is of another plan.
    #[must_use]
    pub fn step_name(&self, step: StepIndex) -> &str {
        &self.names[step.index()]
    }

    /// How many phases are the same from the first one on, and have the same numbers.
    #[must_use]
    pub fn same_phases(&self) -> usize {
        self.same_phases
    }
}

struct Comparison<'a> {
    old: &'a Cut<'a>,
    new: &'a Cut<'a>,
    segments: Vec<Option<usize>>,
    bodies: Vec<Option<BodyIndex>>,
    composites: Vec<Option<CompositeIndex>>,
    steps: Vec<Option<StepIndex>>,
}

impl Comparison<'_> {
    /// Compares two bodies from their ends. What follows them is the same if `same`.
    fn bodies(&mut self, old: BodyIndex, new: BodyIndex, same: bool) {
        self.bodies[old.0] = Some(new);
        let (old_cut, new_cut) = (self.old, self.new);
        let pieces = old_cut.pieces[old.0].iter().rev().zip(new_cut.pieces[new.0].iter().rev());
        for (old, new) in pieces {
            let goes_on = match (*old, *new) {
                (Piece::Segment(old), Piece::Segment(new)) => self.segment(old, new, same),
                (Piece::Composite(old), Piece::Composite(new)) => self.composite(old, new, same),
                _ => false,
            };
            if !goes_on {
                return;
            }
        }
    }

    /// Returns whether the segments are the same, so that those before them are compared too.
    fn segment(&mut self, old: usize, new: usize, same: bool) -> bool {
        if self.old.piece(Piece::Segment(old)) != self.new.piece(Piece::Segment(new)) {
            return false;
        }
        let (old_segment, new_segment) = (&self.old.segments[old], &self.new.segments[new]);
        for (old, new) in old_segment.steps.clone().zip(new_segment.steps.clone()) {
            self.steps[new] = Some(StepIndex(old));
        }
        let joins = old_segment.joins.zip(new_segment.joins);
        let is_same_join = old_segment.joins.is_some() == new_segment.joins.is_some()
            && joins.is_none_or(|(old, new)| self.old.signature(old, None) == self.new.signature(new, None));
        if same && is_same_join {
            self.segments[old] = Some(new);
        }
        self.inside(old_segment.body, old_segment.nodes.clone(), new_segment.body, new_segment.nodes.clone());
        true
    }

    /// Notes the composites within a phase. They are known to be the same.
    fn inside(&mut self, old: BodyIndex, from: std::ops::Range<usize>, new: BodyIndex, to: std::ops::Range<usize>) {
        let (old_outline, new_outline) = (self.old.outline, self.new.outline);
        let nodes = old_outline.bodies[old.0].nodes[from].iter().zip(&new_outline.bodies[new.0].nodes[to]);
        for (old, new) in nodes {
            let (Node::Composite(old), Node::Composite(new)) = (*old, *new) else { continue };
            self.composites[old.0] = Some(new);
            let branches = old_outline.composites[old.0].branches.iter().zip(&new_outline.composites[new.0].branches);
            for (old, new) in branches {
                self.bodies[old.body.0] = Some(new.body);
                let (from, to) = (&old_outline.bodies[old.body.0].nodes, &new_outline.bodies[new.body.0].nodes);
                self.inside(old.body, 0..from.len(), new.body, 0..to.len());
            }
        }
    }

    /// Returns whether the composites are the same.
    fn composite(&mut self, old: CompositeIndex, new: CompositeIndex, same: bool) -> bool {
        let (old_cut, new_cut) = (self.old, self.new);
        let (old_outline, new_outline) = (&old_cut.outline.composites[old.0], &new_cut.outline.composites[new.0]);
        let is_same = old_cut.piece(Piece::Composite(old)) == new_cut.piece(Piece::Composite(new));
        if old_outline.kind != new_outline.kind {
            return false;
        }
        if old_outline.kind.joins() && old_cut.signature(old, None) != new_cut.signature(new, None) {
            return false;
        }
        self.composites[old.0] = Some(new);
        for (index, branch) in old_outline.branches.iter().enumerate() {
            // The branches of a graph are the same, in the same order. A token in a branch of a choice does not care which
            // others there are.
            let other = match old_outline.kind {
                CompositeKind::Choice => {
                    let named = |name: &str| new_outline.branches.iter().position(|other| &*other.name == name);
                    let is_renamed = |other: &&Branch| old_outline.branches.iter().all(|old| old.name != other.name);
                    named(&branch.name).or_else(|| new_outline.branches.get(index).filter(is_renamed).map(|_| index))
                }
                _ => Some(index),
            };
            let Some(other) = other else { continue };
            let are_later_same =
                !old_outline.kind.joins() || old_cut.signature(old, Some(index)) == new_cut.signature(new, Some(other));
            self.bodies(branch.body, new_outline.branches[other].body, same && are_later_same);
        }
        is_same
    }

    /// How many phases are the same from the first one on.
    fn same_phases(&self) -> usize {
        let (old, new) = (&self.old.pieces[0], &self.new.pieces[0]);
        let is_same = |(old, new): &(&Piece, &Piece)| self.old.piece(**old) == self.new.piece(**new);
        let same = old.iter().zip(new).take_while(is_same).count();
        match (old.get(same), same.checked_sub(1).map(|last| old[last])) {
            (None, _) => self.old.segments.len(),
            (Some(Piece::Segment(next)), _) => *next,
            (Some(Piece::Composite(_)), Some(Piece::Segment(fork))) => fork + 1,
            // A composite comes after a segment.
            (Some(Piece::Composite(_)), _) => 0,
        }
    }
}
