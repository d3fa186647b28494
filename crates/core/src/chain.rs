//! An error with its causes, as one line.

use std::error::Error as StdError;
use std::fmt::Write as _;

/// An error and all its causes on one line, for a log, separated by colons. A cause whose text has already appeared is
/// left out, because many errors repeat the text of their source.
///
/// ```
/// let error = std::io::Error::other("disk full");
/// assert_eq!(faasflow_core::chain(&error), "disk full");
/// ```
#[must_use]
pub fn chain(error: &(dyn StdError + 'static)) -> String {
    // An error whose `Display` fails is written as far as it gets.
    let mut text = String::new();
    let _ = write!(text, "{error}");
    let mut cause = error.source();
    while let Some(error) = cause {
        let cause_text = error.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        cause = error.source();
    }
    text
}
