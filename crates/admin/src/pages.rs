//! What the pages of the dashboard need beyond the rest of the API.

use serde::{Deserialize, Serialize};

/// The header that carries the token of [`PAGE_TOKEN`](crate::paths::PAGE_TOKEN). No form can set it.
pub const PAGE_TOKEN_HEADER: &str = "x-faasflow-page-token";

/// The token that a page of the gateway sends with each change: the answer of [`PAGE_TOKEN`](crate::paths::PAGE_TOKEN).
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct PageToken {
    /// The token. Each start of the gateway makes another one.
    pub token: String,
}

impl PageToken {
    /// The answer with this token.
    #[must_use]
    pub fn new(token: String) -> PageToken {
        PageToken { token }
    }
}

impl std::fmt::Debug for PageToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PageToken")
    }
}

/// A flow as a picture: the answer of [`DRAWING`](crate::paths::DRAWING). Lengths are in pixels, and the origin is the upper left
/// corner.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Drawing {
    /// The fingerprint of the flow. The picture changes only with it.
    pub fingerprint: String,
    /// The width of the picture.
    pub width: i32,
    /// The height of the picture.
    pub height: i32,
    /// Frames, boxes and dots. A frame comes before the shapes inside it.
    pub shapes: Vec<DrawnShape>,
    /// The lines between them.
    pub edges: Vec<DrawnEdge>,
}

/// A frame, a box or a dot of a [`Drawing`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct DrawnShape {
    /// What it shows: `end`, `phase`, `graph`, `branch`, `foreach`, `flow`, `call`, `modifier`, `callback`, `choice` or `dot`.
    pub kind: String,
    /// Its left side.
    pub x: i32,
    /// Its upper side.
    pub y: i32,
    /// Its width.
    pub width: i32,
    /// Its height.
    pub height: i32,
    /// Its text, in lines that fit into it.
    pub lines: Vec<String>,
    /// The whole text.
    pub name: String,
    /// The number of its phase, for a phase and for a branch that is one phase.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<usize>,
    /// The number of its step.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<usize>,
    /// The options of a call or callback, such as `timeout 5s`. Values of headers and of the query are left out, because they may be secrets.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<String>,
}

/// A line of a [`Drawing`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct DrawnEdge {
    /// The points that it passes, each as `[x, y]`. Between two points that differ in both coordinates, it is a curve that begins
    /// and ends horizontally.
    pub points: Vec<[i32; 2]>,
    /// Whether the request goes through the queue here.
    pub queue: bool,
    /// Whether it ends with an arrow.
    pub arrow: bool,
}

impl Drawing {
    /// An empty picture of the flow with this fingerprint.
    #[must_use]
    pub fn new(fingerprint: String, width: i32, height: i32) -> Drawing {
        Drawing { fingerprint, width, height, ..Drawing::default() }
    }
}
