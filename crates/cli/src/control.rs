//! Characters that steer a terminal, in what somebody else wrote.

use std::borrow::Cow;
use std::fmt::Write as _;

/// The text with what would steer a terminal, or turn about what stands beside it, written as in Rust's strings: a
/// function is not to clear the screen, or to write over the name that its lines are shown under.
pub(crate) fn escaped(text: &str) -> Cow<'_, str> {
    if !text.contains(steers) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        if steers(character) {
            let _ = write!(shown, "{}", character.escape_default());
        } else {
            shown.push(character);
        }
    }
    Cow::Owned(shown)
}

fn steers(character: char) -> bool {
    match character {
        '\t' => false,
        // Ends of lines and of paragraphs, and what changes the direction of writing.
        '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => true,
        character => character.is_control(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steers_a_terminal_is_shown_and_the_rest_is_left() {
        for (text, shown) in [
            ("Grüße\t„…“ 漢字 🦀 \\n", "Grüße\t„…“ 漢字 🦀 \\n"),
            ("\u{1b}]0;title\u{7}", r"\u{1b}]0;title\u{7}"),
            ("one\rtwo\n\u{0}\u{8}\u{7f}\u{9b}2J", r"one\rtwo\n\u{0}\u{8}\u{7f}\u{9b}2J"),
            (
                "a\u{2028}b\u{2029}c\u{202a}\u{202e}\u{2066}\u{2069}",
                r"a\u{2028}b\u{2029}c\u{202a}\u{202e}\u{2066}\u{2069}",
            ),
        ] {
            assert_eq!(escaped(text), shown);
        }
    }
}
