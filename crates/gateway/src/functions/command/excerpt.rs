//! An excerpt of an output, for the report of a failure.

use std::collections::VecDeque;

/// How many bytes of the beginning are kept. They show what the program was about to do.
const HEAD: usize = 4 * 1024;
/// How many bytes of the end are kept. They show why it failed.
const TAIL: usize = 12 * 1024;

/// The beginning and the end of an output. The bytes between are counted.
#[derive(Debug, Default)]
pub(super) struct Excerpt {
    head: Vec<u8>,
    tail: VecDeque<u8>,
    left_out: u64,
}

impl Excerpt {
    pub(super) fn new(output: &[u8]) -> Excerpt {
        let mut excerpt = Excerpt::default();
        excerpt.push(output);
        excerpt
    }

    pub(super) fn push(&mut self, written: &[u8]) {
        let (head, rest) = written.split_at(written.len().min(HEAD - self.head.len()));
        self.head.extend_from_slice(head);
        let skipped = rest.len().saturating_sub(TAIL);
        self.tail.extend(&rest[skipped..]);
        let over = self.tail.len().saturating_sub(TAIL);
        self.tail.drain(..over);
        self.left_out += (skipped + over) as u64;
    }

    /// The text, which ends with a line break unless it is empty. Bytes that are not UTF-8 are replaced.
    pub(super) fn text(&self) -> String {
        let tail: Vec<u8> = self.tail.iter().copied().collect();
        let mut text = if self.left_out == 0 {
            String::from_utf8_lossy(&[&*self.head, &*tail].concat()).into_owned()
        } else {
            let (head, tail) = (String::from_utf8_lossy(&self.head), String::from_utf8_lossy(&tail));
            format!("{head}\n[{} bytes left out]\n{tail}", self.left_out)
        };
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        text
    }

    /// The last line that is not empty, cut to a length that fits into a sentence.
    pub(super) fn last_line(&self) -> Option<String> {
        const LONGEST: usize = 200;
        let text = self.text();
        let line = text.lines().rev().map(str::trim).find(|line| !line.is_empty())?;
        let cut = line.char_indices().nth(LONGEST).map_or(line.len(), |(at, _)| at);
        Some(if cut < line.len() { format!("{}…", &line[..cut]) } else { line.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h6_an_excerpt_has_the_beginning_and_the_end() {
        assert_eq!(Excerpt::default().text(), "");
        assert_eq!(Excerpt::new(b"short").text(), "short\n");
        assert_eq!(Excerpt::new(b"\xff\n").text(), "\u{fffd}\n");
        let whole = vec![b'x'; HEAD + TAIL];
        assert_eq!(Excerpt::new(&whole).text().len(), HEAD + TAIL + 1);

        // It does not matter in how many pieces it comes.
        let long: Vec<u8> = (0..100_000u32).flat_map(|line| format!("line {line}\n").into_bytes()).collect();
        for size in [1, 1000, 8192, long.len()] {
            let mut excerpt = Excerpt::default();
            long.chunks(size).for_each(|written| excerpt.push(written));
            let text = excerpt.text();
            let left_out = long.len() - HEAD - TAIL;
            assert!(text.starts_with("line 0\n") && text.ends_with("line 99999\n"), "{size}");
            assert!(text.contains(&format!("\n[{left_out} bytes left out]\n")), "{size}");
            assert!(text.len() < 17 * 1024);
            assert_eq!(excerpt.last_line().unwrap(), "line 99999");
        }
    }

    #[test]
    fn h6_a_last_line_fits_into_a_sentence() {
        assert_eq!(Excerpt::new(b"first\n  last \n\n \n").last_line().unwrap(), "last");
        assert_eq!(Excerpt::new(b" \n\n").last_line(), None);
        let line = Excerpt::new("é".repeat(1000).as_bytes()).last_line().unwrap();
        assert_eq!(line.chars().count(), 201);
    }
}
