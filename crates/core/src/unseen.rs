//! Characters that texts for people must not have.

/// Whether a character is a control character, or changes the direction of the text around it.
pub(crate) fn is_unseen(c: char) -> bool {
    let changes_direction =
        matches!(c, '\u{200e}' | '\u{200f}' | '\u{061c}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') || changes_direction
}
