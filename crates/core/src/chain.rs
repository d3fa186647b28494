//! An error with its causes, as one line.

use std::error::Error as StdError;
use std::fmt::Write as _;

/// An error and all its causes on one line, for a log: each after a colon. A cause that was said already is left out, since
/// many errors repeat the text of their source.
///
/// ```
/// let error = std::io::Error::other("disk full");
/// assert_eq!(faasflow_core::chain(&error), "disk full");
/// ```
#[must_use]
pub fn chain(error: &(dyn StdError + 'static)) -> String {
    // One that cannot show itself is shown as far as it does.
    let mut text = String::new();
    let _ = write!(text, "{error}");
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        cause = error.source();
    }
    text
}
