//! The segments of a flow and what follows each: a pure function of its steps.

use std::ops::Range;

use super::fingerprint::Fingerprint;
use super::place::Place;

/// What a plan needs to know about a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PlannedStep<'a> {
    /// Inline code.
    Modifier,
    /// The payload is sent to a URL.
    Callback,
    /// A function is called.
    Call {
        /// Its name.
        function: &'a str,
        /// Whether it is called within the phase of the step before.
        sync: bool,
    },
}

/// The position of a step in the definition of its flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StepIndex(usize);

impl StepIndex {
    /// Its index in the flow's list of steps.
    #[must_use]
    pub fn index(self) -> usize {
        self.0
    }

    /// The number of the step, from 1, as messages show it.
    #[must_use]
    pub fn number(self) -> usize {
        self.0 + 1
    }
}

/// The steps that one phase executes, and what follows them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    place: Place,
    steps: Range<usize>,
    next: Option<Place>,
}

impl Segment {
    /// The place at which a request executes it.
    #[must_use]
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Its steps, in order.
    pub fn steps(&self) -> impl DoubleEndedIterator<Item = StepIndex> + ExactSizeIterator + use<> {
        self.steps.clone().map(StepIndex)
    }

    /// The place to which the request goes next; `None` at the end of the flow.
    #[must_use]
    pub fn next(&self) -> Option<&Place> {
        self.next.as_ref()
    }
}

/// The segments of a flow, what follows each, and a fingerprint of their shape.
///
/// Steps are divided into segments by these rules. A flow starts with an empty first segment. A modifier, a callback or
/// a `sync` call joins the current segment. An asynchronous call starts a new segment, unless the first segment has no
/// call yet. In that case, it joins the first segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    segments: Vec<Segment>,
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
        let steps: Vec<PlannedStep<'_>> = steps.into_iter().collect();
        let segments = segments(&steps);
        let shape = shape(&steps, &segments);
        let fingerprint = Fingerprint::from_shape(&shape);
        Plan { segments, shape, fingerprint }
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
        self.segments.get(place.index()?)
    }

    /// The segments, in the order in which a request passes through them.
    pub fn segments(&self) -> impl DoubleEndedIterator<Item = &Segment> + ExactSizeIterator {
        self.segments.iter()
    }

    /// The text from which the fingerprint is computed: the kinds of the steps and the names of the functions, phase by
    /// phase, such as `[modifier, call facedetect] [call compress, callback]`. Options, URLs and the names of modifiers
    /// are not part of it, because they may change while requests are in progress.
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

fn segments(steps: &[PlannedStep<'_>]) -> Vec<Segment> {
    let mut ends = Vec::new();
    let mut called = false;
    for (index, step) in steps.iter().enumerate() {
        if matches!(step, PlannedStep::Call { sync: false, .. }) && called {
            ends.push(index);
        }
        called |= matches!(step, PlannedStep::Call { .. });
    }
    ends.push(steps.len());
    let starts = std::iter::once(0).chain(ends.iter().copied());
    let ranges = starts.zip(ends.iter().copied()).map(|(start, end)| start..end);
    let segment = |(index, steps): (usize, Range<usize>)| {
        let next = (index + 1 < ends.len()).then(|| Place::at(index + 1));
        Segment { place: Place::at(index), steps, next }
    };
    ranges.enumerate().map(segment).collect()
}

fn shape(steps: &[PlannedStep<'_>], segments: &[Segment]) -> String {
    let mut shape = String::new();
    for segment in segments {
        let words: Vec<String> = segment
            .steps()
            .map(|step| match steps[step.index()] {
                PlannedStep::Call { function, .. } => format!("call {function}"),
                PlannedStep::Modifier => "modifier".to_owned(),
                PlannedStep::Callback => "callback".to_owned(),
            })
            .collect();
        if !shape.is_empty() {
            shape.push(' ');
        }
        shape.push_str(&format!("[{}]", words.join(", ")));
    }
    shape
}
