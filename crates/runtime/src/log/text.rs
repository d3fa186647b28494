//! Escapes texts, so that they are safe in a log line.

use std::borrow::Cow;

use faasflow_core::is_unseen;

/// Escapes characters that could control a terminal, end the line or change the direction of the text, or that cannot be seen, as
/// in Rust string literals. The author of a text must not be able to clear the reader's screen or to overwrite the beginning of the line.
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
    character != '\t' && is_unseen(character)
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
            ("a\u{200b}b\u{200f}c\u{feff}", r"a\u{200b}b\u{200f}c\u{feff}"),
        ] {
            assert_eq!(escaped(text), shown);
        }
    }
}
