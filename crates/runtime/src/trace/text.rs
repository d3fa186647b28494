/// The most bytes of a text in a span. Together with the limits on spans and events, this bounds the memory of waiting
/// spans.
pub(super) const LONGEST_TEXT: usize = 1024;

/// Cuts a text to the length that a span may have.
pub(crate) fn cut(mut text: String) -> String {
    if text.len() > LONGEST_TEXT {
        text.truncate(text.floor_char_boundary(LONGEST_TEXT));
        text.push('…');
    }
    text
}
