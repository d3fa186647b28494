//! Places the elements of a flow in a picture.
//!
//! A request moves from left to right. Branches that can run at the same time are below each other, and the steps of a phase are
//! stacked in its frame.

mod block;
mod build;
mod layers;
mod shape;

use faasflow_core::description::Description;

pub use shape::{Edge, Kind, Point, Shape};

/// The positions of the elements of a flow in a picture. Lengths are in pixels, and the origin is the upper left corner.
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
    /// Frames, boxes and dots. A frame comes before the shapes inside it.
    pub shapes: Vec<Shape>,
    /// The lines between them.
    pub edges: Vec<Edge>,
}

impl Layout {
    /// Places the elements of a flow.
    #[must_use]
    pub fn new(flow: &Description) -> Layout {
        let block = build::flow(flow);
        Layout { width: block.width, height: block.height, shapes: block.shapes, edges: block.edges }
    }
}
