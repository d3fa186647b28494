/// Whether a character would spoil a line of text for people: it is a control character, it cannot be seen, or it changes the
/// direction of the text around it. Joiners inside words and emoji are not among them.
#[must_use]
pub fn is_unseen(c: char) -> bool {
    let changes_direction =
        matches!(c, '\u{200e}' | '\u{200f}' | '\u{061c}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let is_blank = matches!(
        c,
        '\u{00ad}' | '\u{115f}' | '\u{1160}' | '\u{180e}' | '\u{200b}' | '\u{2060}'
            ..='\u{2064}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}'
    );
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') || changes_direction || is_blank
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_spoils_a_line_is_told_from_what_people_write() {
        for c in
            "\t\n\u{1b}\u{9b}\u{2028}\u{200f}\u{202e}\u{2066}\u{200b}\u{2060}\u{2063}\u{feff}\u{ad}\u{3164}".chars()
        {
            assert!(is_unseen(c), "{c:?}");
        }
        // A family and a Persian word, whose parts are joined by characters of their own.
        for c in "aé写 ✓👩\u{200d}👧می\u{200c}خواهم".chars() {
            assert!(!is_unseen(c), "{c:?}");
        }
    }
}
