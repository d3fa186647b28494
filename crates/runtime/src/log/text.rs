//! Texts that are safe to show in a line.

use std::borrow::Cow;

/// The text with what would steer a terminal, end its line, or turn about what stands beside it, written as in Rust's strings:
/// who writes a text is not to clear the screen of who reads it, or to write over what its lines are shown under.
#[must_use]
pub fn escaped(text: &str) -> Cow<'_, str> {
    if is_printable_ascii(text) || !text.contains(is_unsafe) {
        return text.into();
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        if is_unsafe(character) { shown.extend(character.escape_default()) } else { shown.push(character) }
    }
    shown.into()
}

/// Whether a text is what most are, which is found faster than that none of its characters is_unsafe: without leaving off
/// early, many bytes are looked at together.
pub(super) fn is_printable_ascii(text: &str) -> bool {
    text.bytes().fold(true, |plain, byte| plain & matches!(byte, b' '..=b'~' | b'\t'))
}

pub(super) fn is_unsafe(character: char) -> bool {
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
