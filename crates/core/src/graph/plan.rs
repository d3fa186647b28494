//! The segments of a flow and how they follow each other: a pure function of its definition.

use super::fingerprint::Fingerprint;
use super::outline::{Body, BodyIndex, Composite, CompositeIndex, CompositeKind, Outline, PlannedStep};
use super::place::Place;
use super::planning::Cut;
use super::segment::{Follow, Segment};

/// The segments of a flow, how they follow each other, and a fingerprint of their shape.
///
/// Steps are divided into segments by these rules. A flow starts with an empty first segment. A modifier, a callback or
/// a `sync` call joins the current segment. An asynchronous call starts a new segment, unless the first segment has no
/// call yet. In that case, it joins the first segment.
///
/// A graph, choice, for-each or sub-flow whose calls are all `sync` joins the current segment. Any other one ends the current
/// segment. Each of its branches starts with an empty first segment, and so do the steps after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    segments: Vec<Segment>,
    bodies: Vec<Body>,
    composites: Vec<Composite>,
    /// The beginning of each branch of each composite.
    entries: Vec<Vec<Follow>>,
    /// What follows the end of each body.
    ends: Vec<Follow>,
    shape: String,
    fingerprint: Fingerprint,
}

impl Plan {
    /// Plans a sequence of steps.
    ///
    /// ```
    /// use faasflow_core::graph::{Plan, PlannedStep};
    ///
    /// let call = |function| PlannedStep::Call { function, sync: false };
    /// let plan = Plan::linear([PlannedStep::Modifier, call("facedetect"), call("compress")]);
    /// assert_eq!(plan.shape(), "[modifier, call facedetect] [call compress]");
    /// ```
    #[must_use]
    pub fn linear<'a>(steps: impl IntoIterator<Item = PlannedStep<'a>>) -> Plan {
        Plan::new(Outline::linear(steps))
    }

    /// Plans a flow with flows inside it.
    pub(crate) fn new(outline: Outline<'_>) -> Plan {
        let mut cut = Cut::new(&outline);
        for index in 0..cut.segments.len() {
            cut.segments[index].ahead = Fingerprint::from_shape(&cut.ahead(index));
        }
        let entries = (0..outline.composites.len()).map(|index| cut.entries(CompositeIndex(index))).collect();
        let ends = (0..outline.bodies.len()).map(|index| cut.end_of(BodyIndex(index))).collect();
        let shape = cut.shape();
        let segments = cut.segments;
        let Outline { bodies, composites, .. } = outline;
        Plan { fingerprint: Fingerprint::from_shape(&shape), segments, bodies, composites, entries, ends, shape }
    }

    /// The number of phases, which is at least one.
    #[must_use]
    pub fn phase_count(&self) -> usize {
        self.segments.len()
    }

    /// The place where every request begins.
    #[must_use]
    pub fn start(&self) -> Place {
        Place::at(0)
    }

    /// The segment to execute at a place; `None` if the flow has no such place.
    #[must_use]
    pub fn segment(&self, place: &Place) -> Option<&Segment> {
        let segment = self.segments.get(place.index()?)?;
        self.fits(segment, place).then_some(segment)
    }

    /// Whether the path of the place leads to the segment.
    fn fits(&self, segment: &Segment, place: &Place) -> bool {
        let mut body = segment.body;
        let mut path = place.path().iter().rev();
        while let Some((composite, branch)) = self.bodies[body.index()].owner {
            let outline = &self.composites[composite.index()];
            if outline.kind.joins() {
                let Some(member) = path.next() else { return false };
                let fork = usize::try_from(member.fork).ok().and_then(|fork| self.segments.get(fork.checked_sub(1)?));
                let forks = fork.is_some_and(|fork| fork.follow == Follow::Fork(composite));
                let is_branch = outline.kind == CompositeKind::ForEach || usize::try_from(member.index) == Ok(branch);
                if !forks || !is_branch {
                    return false;
                }
            }
            body = outline.parent;
        }
        path.next().is_none()
    }

    /// The segments. Without branches, a request passes through them in this order.
    pub fn segments(&self) -> impl DoubleEndedIterator<Item = &Segment> + ExactSizeIterator {
        self.segments.iter()
    }

    /// A flow or a flow inside it.
    ///
    /// # Panics
    ///
    /// If the index is of the plan of another flow.
    #[must_use]
    pub fn body(&self, index: BodyIndex) -> &Body {
        &self.bodies[index.index()]
    }

    /// The flow and the flows inside it, in the order of their indexes.
    pub fn bodies(&self) -> impl ExactSizeIterator<Item = &Body> {
        self.bodies.iter()
    }

    /// A graph, choice, for-each or sub-flow.
    ///
    /// # Panics
    ///
    /// If the index is of the plan of another flow.
    #[must_use]
    pub fn composite(&self, index: CompositeIndex) -> &Composite {
        &self.composites[index.index()]
    }

    /// The composites, in order.
    pub fn composites(&self) -> impl ExactSizeIterator<Item = &Composite> {
        self.composites.iter()
    }

    /// The beginning of a branch of a composite that is not inline. An empty branch of a choice has no segment, so this is
    /// what follows the choice.
    ///
    /// # Panics
    ///
    /// If the composite has no such branch.
    #[must_use]
    pub fn entry(&self, composite: CompositeIndex, branch: usize) -> &Follow {
        &self.entries[composite.index()][branch]
    }

    /// What follows the end of a body.
    ///
    /// # Panics
    ///
    /// If the index is of the plan of another flow.
    #[must_use]
    pub fn end_of(&self, body: BodyIndex) -> &Follow {
        &self.ends[body.index()]
    }

    /// The segment that joins the members of a graph or for-each.
    ///
    /// # Panics
    ///
    /// If it runs within a phase, or is a choice or a sub-flow.
    #[must_use]
    pub fn join(&self, composite: CompositeIndex) -> &Segment {
        let join = self.segments.iter().find(|segment| segment.joins == Some(composite));
        join.expect("a graph or for-each of several phases has a join")
    }

    /// The segment that begins a graph or for-each after its steps.
    ///
    /// # Panics
    ///
    /// If it runs within a phase, or is a choice or a sub-flow.
    #[must_use]
    pub fn fork(&self, composite: CompositeIndex) -> &Segment {
        let fork = self.segments.iter().find(|segment| segment.follow == Follow::Fork(composite));
        fork.expect("a graph or for-each of several phases has a fork")
    }

    /// Whether a for-each of several phases comes after a place.
    #[must_use]
    pub fn begins_items(&self, place: &Place) -> bool {
        match self.segment(place).map(Segment::follow) {
            Some(Follow::Fork(composite)) => self.composite(*composite).kind() == CompositeKind::ForEach,
            _ => false,
        }
    }

    /// The body that contains a composite.
    ///
    /// # Panics
    ///
    /// If the index is of the plan of another flow.
    #[must_use]
    pub fn parent(&self, composite: CompositeIndex) -> BodyIndex {
        self.composites[composite.index()].parent
    }

    /// Whether the flow contains only steps, and no flows inside it.
    #[must_use]
    pub fn is_linear(&self) -> bool {
        self.composites.is_empty()
    }

    /// Whether its requests need a store that all instances share and that supports conditional writes. They do if the flow has
    /// a graph, for-each or choice with phases of its own.
    #[must_use]
    pub fn needs_store(&self) -> bool {
        self.segments.iter().any(|segment| matches!(segment.follow, Follow::Fork(_) | Follow::Choose(_)))
    }

    /// The text from which the fingerprint is computed: the kinds of the steps and the names of the functions, phase by
    /// phase, such as `[modifier, call facedetect] [call compress, callback]`. Options, URLs and the names of modifiers
    /// are not part of it, because they may change while requests are in progress.
    ///
    /// Graphs have their branches in braces, such as `[] graph{a: [call f]; b after a: [call g]} []`.
    #[must_use]
    pub fn shape(&self) -> &str {
        &self.shape
    }

    /// A hash that changes if and only if the shape does.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }
}
