//! What is wrong in a file, and where.

use std::fmt;

use granit_parser::Marker;

/// A place in a file; both count from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::stack) struct At {
    pub(in crate::stack) line: usize,
    pub(in crate::stack) column: usize,
}

impl From<&Marker> for At {
    fn from(marker: &Marker) -> At {
        At { line: marker.line(), column: marker.col() + 1 }
    }
}

/// What is wrong in a file, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::stack) struct Fault {
    pub(in crate::stack) at: At,
    pub(in crate::stack) what: String,
}

impl Fault {
    pub(in crate::stack) fn new(at: At, what: impl Into<String>) -> Fault {
        Fault { at, what: what.into() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "line {}, column {}: {}", self.at.line, self.at.column, self.what)
    }
}
