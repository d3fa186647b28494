/// How many bytes of a text go into a span: of spans that wait and of their events the number is
/// bounded, and so is this of each.
pub(super) const LONGEST_TEXT: usize = 1024;

/// A text of any length, as much of it as a span takes.
pub(crate) fn cut(mut text: String) -> String {
    if text.len() > LONGEST_TEXT {
        text.truncate(text.floor_char_boundary(LONGEST_TEXT));
        text.push('…');
    }
    text
}
