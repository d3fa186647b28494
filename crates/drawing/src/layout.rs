//! Where the elements of a flow are in a picture.
//!
//! A request moves from left to right. What can run at the same time is below each other, and the steps of a phase are stacked
//! in its frame.

mod block;
mod build;
mod layers;

use faasflow_core::description::Description;

/// Where the elements of a flow are in a picture. Lengths are in pixels, and the origin is the upper left corner.
///
/// ```
/// use faasflow_core::{Flow, description::Description};
/// use faasflow_drawing::{Kind, Layout};
///
/// let flow = Flow::builder().apply("resize").apply("colorify").build().unwrap();
/// let layout = Layout::new(&Description::new(&flow, "photos"));
/// let steps = layout.shapes.iter().filter(|shape| shape.kind == Kind::Call);
/// assert_eq!(steps.map(|shape| shape.step).collect::<Vec<_>>(), [Some(1), Some(2)]);
/// assert_eq!(layout.edges.iter().filter(|edge| edge.queue).count(), 1, "between the two phases");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Layout {
    /// The width of the picture.
    pub width: i32,
    /// The height of the picture.
    pub height: i32,
    /// Frames and boxes. A frame comes before what is inside it.
    pub shapes: Vec<Shape>,
    /// What leads from one to another.
    pub edges: Vec<Edge>,
}

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
    /// Its text, in lines that fit into it. That of a frame is at its upper side.
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
    /// A frame: what runs in one request to the flow.
    Phase,
    /// A frame: a graph with options.
    Graph,
    /// A frame: a branch of a graph or choice.
    Branch,
    /// A frame: what happens to each item of a list.
    ForEach,
    /// A frame: a flow by value.
    Flow,
    /// A box: a function is called.
    Call,
    /// A box: inline code.
    Modifier,
    /// A box: the payload is sent to a URL.
    Callback,
    /// A diamond: one of several branches is chosen.
    Choice,
    /// A dot: branches begin or come together.
    Dot,
}

/// A line from one shape to another.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Edge {
    /// Where it passes. Between two points that are neither beside nor below each other, it is a curve that begins and ends
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
    /// How far it is from the left side.
    pub x: i32,
    /// How far it is from the upper side.
    pub y: i32,
}

impl Layout {
    /// Places the elements of a flow.
    #[must_use]
    pub fn new(flow: &Description) -> Layout {
        let block = build::flow(flow);
        Layout { width: block.width, height: block.height, shapes: block.shapes, edges: block.edges }
    }
}
