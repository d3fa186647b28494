//! Escapes texts, so that they are safe in a log line.

use std::borrow::Cow;

/// Escapes characters that could control a terminal, end the line or change the direction of the text, as in Rust string
/// literals. The author of a text must not be able to clear the reader's screen or to overwrite the beginning of the line.
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

/// Whether a text consists only of printable ASCII characters and tabs, as most do. As the loop does not stop early, it
/// checks many bytes at once, which is faster than looking for an unsafe character.
pub(super) fn is_printable_ascii(text: &str) -> bool {
    text.bytes().fold(true, |plain, byte| plain & matches!(byte, b' '..=b'~' | b'\t'))
}

pub(super) fn is_unsafe(character: char) -> bool {
    match character {
        '\t' => false,
        // Line and paragraph separators, and characters that change the direction of the text.
        '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => true,
        character => character.is_control(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unsafe_characters_are_escaped_and_others_are_not() {
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
