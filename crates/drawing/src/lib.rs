//! Drawings of flows: as text, Mermaid, DOT and SVG.
//!
//! All of them start from a [`Description`](faasflow_core::description::Description), which a flow prints with the argument
//! `describe` and serves at `GET /_/flow`. A description may come from any function, so each format escapes every text in it.
//!
//! [`Layout`] has the positions of what the SVG shows, without how it looks, for programs that draw a flow themselves.
//! [`positions`] has the same for the pages of the dashboard.

mod chart;
mod dot;
mod layout;
mod mermaid;
mod positions;
mod svg;
mod text;
mod words;

pub use dot::dot;
pub use layout::{Edge, Kind, Layout, Point, Shape};
pub use mermaid::mermaid;
pub use positions::positions;
pub use svg::svg;
pub use text::text;
