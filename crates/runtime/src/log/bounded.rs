//! Text of bounded length.

use std::fmt::{self, Write};

use faasflow_core::line::note;

use super::text::{is_printable_ascii, is_unsafe};

/// Appends to a text up to a maximum length, and counts the bytes that do not fit.
pub(super) struct BoundedText<'a> {
    text: &'a mut String,
    /// The maximum length of the text in bytes.
    end: usize,
    left_out: usize,
}

impl<'a> BoundedText<'a> {
    pub(super) fn new(text: &'a mut String, end: usize) -> BoundedText<'a> {
        BoundedText { text, end, left_out: 0 }
    }

    /// Appends a value as one line, and escapes characters that could control a terminal. If the value's `Display` fails,
    /// the part before the failure is kept.
    pub(super) fn show(&mut self, value: fmt::Arguments<'_>) {
        let start = self.text.len();
        let _ = self.write_fmt(value);
        // A duration has `µs`, so that many lines are not ASCII.
        if is_printable_ascii(&self.text[start..]) || !self.text[start..].contains(is_unsafe) {
            return;
        }
        if self.left_out == 0 {
            let end = start + self.text[start..].trim_end_matches(['\n', '\r']).len();
            self.text.truncate(end);
        }
        if !is_printable_ascii(&self.text[start..]) {
            let raw = self.text.split_off(start);
            self.escape(&raw);
        }
    }

    fn escape(&mut self, raw: &str) {
        let mut characters = raw.char_indices().peekable();
        while let Some((at, character)) = characters.next() {
            if character == '\r' && characters.peek().is_some_and(|&(_, next)| next == '\n') {
                continue;
            }
            let length = if is_unsafe(character) { character.escape_default().len() } else { character.len_utf8() };
            if self.text.len() + length > self.end {
                self.left_out += raw.len() - at;
                return;
            }
            if is_unsafe(character) {
                self.text.extend(character.escape_default());
            } else {
                self.text.push(character);
            }
        }
    }

    /// Appends the note about omitted bytes, if there are any.
    pub(super) fn finish(self) {
        note(self.text, self.left_out);
    }
}

impl Write for BoundedText<'_> {
    #[inline]
    fn write_str(&mut self, added: &str) -> fmt::Result {
        // As a rule, there is room for all of it.
        if self.left_out == 0 && added.len() <= self.end.saturating_sub(self.text.len()) {
            self.text.push_str(added);
            return Ok(());
        }
        let room = if self.left_out > 0 { 0 } else { self.end.saturating_sub(self.text.len()) };
        let taken = &added[..added.floor_char_boundary(room)];
        self.text.push_str(taken);
        self.left_out += added.len() - taken.len();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bounded(end: usize, values: &[&str]) -> String {
        let mut text = "> ".to_owned();
        let mut bounded = BoundedText::new(&mut text, end);
        values.iter().for_each(|value| bounded.show(format_args!("{value}")));
        bounded.finish();
        text
    }

    #[test]
    fn r3_text_is_cut_between_characters_and_the_rest_is_counted() {
        for (end, values, expected) in [
            (10, &["12345678"][..], "> 12345678"),
            (10, &["123456789"], "> 12345678… (1 bytes left out)"),
            (10, &["1234567é"], "> 1234567… (2 bytes left out)"),
            (10, &["1234567é", "next"], "> 1234567… (6 bytes left out)"),
            (20, &["one\r\ntwo\r\n"], "> one\\ntwo"),
            // Escaping makes a text longer.
            (10, &["1234\u{1b}5"], "> 1234… (2 bytes left out)"),
            (10, &["12\n\n\n\n\nx"], "> 12\\n\\n\\n… (3 bytes left out)"),
            (2, &["x"], "> … (1 bytes left out)"),
        ] {
            assert_eq!(bounded(end, values), expected, "{values:?}");
        }
    }
}
