//! The codes of errors, such as `FF0102`.
//!
//! Every error that a user can meet has a code. It stays the same when the wording changes, so it can be searched for, and
//! `docs/reference/errors.md` has a section about each. `faasflow explain FF0102` prints that section.
//!
//! The first two digits are the area and the last two count within it. A code is never given to another error, and an error
//! never gets another code; a golden file of the tests keeps that.

use std::fmt;

mod table;

pub use table::*;

/// The code of an error.
///
/// ```
/// use faasflow_core::{Flow, code};
///
/// let error = Flow::builder().build().unwrap_err();
/// assert_eq!(error.code(), code::NO_STEP);
/// assert_eq!(error.code().as_str(), "FF0101");
/// ```
#[derive(Clone, Copy)]
pub struct Code(&'static Entry);

struct Entry {
    id: &'static str,
    name: &'static str,
    title: &'static str,
}

impl Code {
    /// The code as it is printed, such as `FF0102`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.0.id
    }

    /// The name of its constant in this module, such as `BAD_FUNCTION_NAME`.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.0.name
    }

    /// What is wrong, in general, as a fragment: the heading of its section in the reference.
    #[must_use]
    pub fn title(self) -> &'static str {
        self.0.title
    }

    /// All codes, in order.
    #[must_use]
    pub fn all() -> &'static [Code] {
        table::ALL
    }

    /// Finds a code by its text. Case does not matter, and the letters may be left out.
    ///
    /// ```
    /// use faasflow_core::code::{self, Code};
    ///
    /// assert_eq!(Code::find("ff0101"), Some(code::NO_STEP));
    /// assert_eq!(Code::find("0101"), Some(code::NO_STEP));
    /// assert_eq!(Code::find("FF0000"), None);
    /// ```
    #[must_use]
    pub fn find(text: &str) -> Option<Code> {
        let digits = match text.trim() {
            text if text.get(..2).is_some_and(|start| start.eq_ignore_ascii_case("ff")) => &text[2..],
            text => text,
        };
        Code::all().iter().copied().find(|code| code.as_str()[2..] == *digits)
    }
}

impl PartialEq for Code {
    fn eq(&self, other: &Code) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Code {}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
