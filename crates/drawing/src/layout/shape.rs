//! The parts of a picture.

/// A frame, a box or a dot.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Shape {
    /// What it shows.
    pub kind: Kind,
    /// Its left side.
    pub x: i32,
    /// Its upper side.
    pub y: i32,
    /// Its width.
    pub width: i32,
    /// Its height.
    pub height: i32,
    /// Its text, in lines that fit into it. The text of a frame is at its upper side.
    pub lines: Vec<String>,
    /// The whole text. The lines leave out the middle of long names.
    pub name: String,
    /// The number of its phase, for a phase and for a branch that is one phase.
    pub phase: Option<usize>,
    /// The number of its step.
    pub step: Option<usize>,
}

/// What a shape shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// A box: the request or the response.
    End,
    /// A frame: the steps that one invocation of the flow runs.
    Phase,
    /// A frame: a graph with options.
    Graph,
    /// A frame: a branch of a graph or choice.
    Branch,
    /// A frame: the flow that runs for each item of a list.
    ForEach,
    /// A frame: a sub-flow.
    Flow,
    /// A box: a function is called.
    Call,
    /// A box: code inside the flow.
    Modifier,
    /// A box: the payload is sent to a URL.
    Callback,
    /// A diamond: one of several branches is chosen.
    Choice,
    /// A dot: branches begin or come together.
    Dot,
}

impl Kind {
    /// The name in the admin API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::End => "end",
            Kind::Phase => "phase",
            Kind::Graph => "graph",
            Kind::Branch => "branch",
            Kind::ForEach => "foreach",
            Kind::Flow => "flow",
            Kind::Call => "call",
            Kind::Modifier => "modifier",
            Kind::Callback => "callback",
            Kind::Choice => "choice",
            Kind::Dot => "dot",
        }
    }
}

/// A line from one shape to another.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Edge {
    /// The points that it passes. Between two points that differ in both coordinates, it is a curve that begins and ends
    /// horizontally.
    pub points: Vec<Point>,
    /// Whether the request goes through the queue here.
    pub queue: bool,
    /// Whether it ends with an arrow.
    pub arrow: bool,
}

/// A point of the picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Point {
    /// The distance from the left side.
    pub x: i32,
    /// The distance from the upper side.
    pub y: i32,
}
