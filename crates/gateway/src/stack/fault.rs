//! Something in a stack file that cannot be used.

use std::fmt;

use granit_parser::Marker;

use super::kind::StackErrorKind;

/// A place in a file. Both numbers count from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct At {
    pub(crate) line: usize,
    pub(crate) column: usize,
}

impl From<&Marker> for At {
    fn from(marker: &Marker) -> At {
        At { line: marker.line(), column: marker.col() + 1 }
    }
}

/// Something in a file that cannot be used, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) kind: StackErrorKind,
    at: Option<At>,
    what: String,
    /// The line of the file, if that helps.
    excerpt: Option<Box<str>>,
    pub(crate) help: Option<String>,
}

impl Fault {
    /// A fault at a place in a file.
    pub(super) fn new(kind: StackErrorKind, at: At, what: impl Into<String>) -> Fault {
        Fault { at: Some(at), ..Fault::of_function(kind, what) }
    }

    /// A fault in the structure of a file: a missing key, or a value of the wrong type.
    pub(super) fn structure(at: At, what: impl Into<String>) -> Fault {
        Fault::new(StackErrorKind::Structure, at, what)
    }

    /// A fault in the syntax of a file.
    pub(super) fn syntax(at: At, what: impl Into<String>) -> Fault {
        Fault::new(StackErrorKind::Syntax, at, what)
    }

    /// A fault of a function as a whole, which has no place.
    pub(super) fn of_function(kind: StackErrorKind, what: impl Into<String>) -> Fault {
        Fault { kind, at: None, what: what.into(), excerpt: None, help: None }
    }

    /// A value of a function that cannot be used.
    pub(super) fn value(what: impl Into<String>) -> Fault {
        Fault::of_function(StackErrorKind::Value, what)
    }

    /// A function that does not say how it runs, or not in a usable way.
    pub(crate) fn how_to_run(what: impl Into<String>) -> Fault {
        Fault::of_function(StackErrorKind::HowToRun, what)
    }

    /// Adds what to do about it.
    pub(crate) fn help(self, help: impl Into<String>) -> Fault {
        Fault { help: Some(help.into()), ..self }
    }

    /// Adds the line of the file.
    pub(super) fn excerpt(self, line: String) -> Fault {
        Fault { excerpt: Some(line.into()), ..self }
    }

    /// Puts a text such as the name of the function before the fault.
    pub(super) fn context(self, text: &str) -> Fault {
        Fault { what: format!("{text}{}", self.what), ..self }
    }

    /// The fault and what to do about it, as a part of a sentence.
    pub(crate) fn describe(&self) -> String {
        match &self.help {
            Some(help) => format!("{self}; {help}"),
            None => self.to_string(),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(At { line, column }) = self.at {
            write!(formatter, "line {line}, column {column}: ")?;
        }
        formatter.write_str(&self.what)?;
        self.excerpt.as_ref().map_or(Ok(()), |line| write!(formatter, "\n  | {line}"))
    }
}
