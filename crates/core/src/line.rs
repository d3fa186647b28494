//! Log lines, as flows write them and the local gateway passes them on.
//!
//! A program that reads a log line by line may give up at a line that is too long. The reader of of-watchdog ends at 64
//! KiB, and from then on nothing that the function logs is read.

use std::borrow::Cow;
use std::fmt::Write as _;

/// The largest size of a line in bytes, including its end.
pub const LONGEST: usize = 16 * 1024;

/// The room for the [`note`] that says how much was left out, in bytes.
pub const NOTE: usize = 48;

/// Adds to the end of a text how many bytes were left out, if any were.
pub fn note(text: &mut String, left_out: usize) {
    if left_out > 0 {
        let _ = write!(text, "… ({left_out} bytes left out)");
    }
}

/// Shortens a text that becomes one line of a log: what exceeds 16 KiB is left out, and the text says how much that is.
///
/// ```
/// use faasflow_core::line::cut;
///
/// assert_eq!(cut("short"), "short");
/// assert!(cut(&"long".repeat(5_000)).ends_with("bytes left out)"));
/// ```
#[must_use]
pub fn cut(text: &str) -> Cow<'_, str> {
    if text.len() < LONGEST {
        return text.into();
    }
    let kept = text.floor_char_boundary(LONGEST - NOTE - 1);
    let mut shown = text[..kept].to_owned();
    note(&mut shown, text.len() - kept);
    shown.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r3_the_note_has_room_for_any_count() {
        let mut text = String::new();
        note(&mut text, usize::MAX);
        assert!(text.len() <= NOTE, "{text}");
    }
}
