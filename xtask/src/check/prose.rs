//! Checks prose for phrases that must not come back, code blocks without a language, and sentences that are too long to
//! understand at once.

use std::path::Path;

use super::Fault;

/// This file, which lists the phrases.
const THIS: &str = "xtask/src/check/prose.rs";

/// Phrases that pages must not use, and what to write instead. Code is not checked.
const PHRASES: &[(&str, &str)] = &[
    ("is said", "\"is set\", \"is given\", or who says it"),
    ("are said", "\"are set\", \"are given\", or who says it"),
    ("was said", "\"was set\", \"was given\", or who said it"),
    ("comes of it", "what happens"),
    ("came of it", "what happened"),
    ("goes before", "\"takes precedence over\""),
    ("is weighed", "\"is compared\""),
    ("is no command", "\"is not a command\""),
    ("the blink of an eye", "how long it is"),
    ("such as do", "\"those that\""),
    ("there are that", "\"there are\""),
    ("comes to lie", "where it is written"),
    ("is kept to", "\"is used\" or \"is obeyed\""),
    ("are kept to", "\"are used\" or \"are obeyed\""),
    ("beside these", "\"in addition to these\""),
];

/// Phrases that comments, messages and documentation in sources must not use either. There are fewer, because a source also
/// has words of code.
const PHRASES_IN_SOURCES: &[(&str, &str)] = &[
    ("is said", "\"is set\", \"is reported\", or who says it"),
    ("was said", "\"was set\", \"was reported\", or who said it"),
    ("unless said", "\"the default is\""),
    ("whoever", "who it is, such as \"the caller\""),
    ("is of no use", "\"cannot be used\""),
    ("goes before", "\"takes precedence over\""),
    ("comes to lie", "where it is written"),
    ("is kept to", "\"is used\" or \"is obeyed\""),
];

/// The maximum length of a sentence in words. Longer ones are listed but are not faults, because a list may be one
/// sentence.
const LONG: usize = 40;

/// The faults in the pages.
pub(super) fn check(root: &Path, files: &[String]) -> Vec<Fault> {
    let pages = read(root, files, ".md").flat_map(|(page, text)| [blocks(page, &text), phrases(page, &text)].concat());
    let sources = [".rs", ".sh", ".yml", ".yaml", "Dockerfile"].into_iter().flat_map(|end| read(root, files, end));
    let sources = sources.filter(|(source, _)| *source != THIS);
    pages.chain(sources.flat_map(|(source, text)| source_phrases(source, &text))).collect()
}

/// The sentences that should be shorter. They are not faults.
pub(super) fn long_sentences(root: &Path, files: &[String]) -> Vec<String> {
    read(root, files, ".md")
        .flat_map(|(page, text)| {
            let found = sentences(&text).into_iter().filter(|(_, words)| *words > LONG);
            found.map(|(line, words)| format!("{page}:{line}: this sentence has {words} words")).collect::<Vec<_>>()
        })
        .collect()
}

/// The files with this ending, with their texts.
fn read<'a>(root: &'a Path, files: &'a [String], end: &'a str) -> impl Iterator<Item = (&'a str, String)> {
    let files = files.iter().filter(move |path| path.ends_with(end));
    files.filter_map(|path| Some((path.as_str(), std::fs::read_to_string(root.join(path)).ok()?)))
}

/// The lines outside of fenced blocks, with their numbers from 1. If `fences` is set, also the lines that open a block.
pub(super) fn outside(text: &str, fences: bool) -> impl Iterator<Item = (usize, &str)> {
    let mut in_block = false;
    text.lines().enumerate().filter_map(move |(number, line)| {
        if line.trim_start().starts_with("```") {
            in_block = !in_block;
            return (fences && in_block).then_some((number + 1, line.trim()));
        }
        (!fences && !in_block).then_some((number + 1, line))
    })
}

fn blocks(page: &str, text: &str) -> Vec<Fault> {
    let nameless = outside(text, true).filter(|(_, fence)| fence.trim_start_matches('`').is_empty());
    let fault = |(line, _)| Fault {
        rule: "code blocks name their language",
        place: format!("{page}:{line}"),
        what: "this block names no language: use `text` for plain text".to_owned(),
    };
    nameless.map(fault).collect()
}

fn phrases(page: &str, text: &str) -> Vec<Fault> {
    let lines = outside(text, false).map(|(number, line)| (number, without_code(line)));
    lines.flat_map(|(number, line)| in_line(page, number, &line, PHRASES)).collect()
}

fn source_phrases(source: &str, text: &str) -> Vec<Fault> {
    let lines = text.lines().enumerate();
    lines.flat_map(|(index, line)| in_line(source, index + 1, line, PHRASES_IN_SOURCES)).collect()
}

fn in_line(path: &str, number: usize, line: &str, phrases: &[(&str, &str)]) -> Vec<Fault> {
    let line = line.to_lowercase();
    let found = phrases.iter().filter(|(phrase, _)| has_words(&line, phrase));
    let fault = |(phrase, instead): &(&str, &str)| Fault {
        rule: "plain English",
        place: format!("{path}:{number}"),
        what: format!("\"{phrase}\": write {instead}"),
    };
    found.map(fault).collect()
}

/// A line without the code in backticks. Code that begins with two backticks ends with two, and may contain one.
pub(super) fn without_code(line: &str) -> String {
    let (mut left, mut rest) = (String::new(), line);
    while let Some(at) = rest.find('`') {
        let fence = &rest[at..at + rest[at..].bytes().take_while(|&byte| byte == b'`').count()];
        left.push_str(&rest[..at]);
        left.push('`');
        let after = &rest[at + fence.len()..];
        rest = after.split_once(fence).map_or("", |(_, outside)| outside);
    }
    left + rest
}

/// Whether a text contains these whole words.
pub(super) fn has_words(text: &str, words: &str) -> bool {
    text.match_indices(words).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let after = text[at + words.len()..].chars().next();
        ![before, after].into_iter().flatten().any(char::is_alphanumeric)
    })
}

/// The first line of each sentence, and its number of words. Tables, headings and lists end a sentence.
fn sentences(text: &str) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let (mut begun, mut words) = (0, 0);
    let mut end = |begun: &mut usize, words: &mut usize| {
        if *words > 0 {
            found.push((*begun, std::mem::take(words)));
        }
    };
    for (number, line) in outside(text, false) {
        let line = line.trim();
        if line.is_empty() || line.starts_with(['|', '#', '<', '-', '*']) {
            end(&mut begun, &mut words);
        }
        if line.starts_with(['|', '#', '<']) {
            continue;
        }
        for word in line.split_whitespace().filter(|word| word.contains(char::is_alphanumeric)) {
            if words == 0 {
                begun = number;
            }
            words += 1;
            if word.trim_end_matches([')', '"', '*', '_']).ends_with(['.', '?', '!', ':', ';']) {
                end(&mut begun, &mut words);
            }
        }
    }
    end(&mut begun, &mut words);
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phrase_is_found_outside_of_code() {
        let text = "A call is asynchronous unless `sync` is said.\n`is said` this said is saidit\n`` `x` is said `` too\n```text\nis said\n```\n";
        let found = phrases("a.md", text);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].place, "a.md:1");
    }

    #[test]
    fn a_phrase_is_found_in_comments_names_and_messages() {
        let text = "/// Ten, unless said otherwise.\nlet whoever_asks = 1;\nformat!(\"`{x}` is of no use\");\n";
        let found = source_phrases("a.rs", text);
        assert_eq!(
            found.iter().map(|fault| fault.place.as_str()).collect::<Vec<_>>(),
            ["a.rs:1", "a.rs:2", "a.rs:3"],
            "{found:?}"
        );
    }

    #[test]
    fn a_block_without_a_language_is_found() {
        let found = blocks("a.md", "```\nx\n```\n```text\ny\n```\n");
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].place, "a.md:1");
    }

    #[test]
    fn sentences_are_counted_over_lines() {
        let text = "# A heading\n\nOne two\nthree. Four (five).\n\n- six\n- seven eight\n\n| a | table |\n";
        assert_eq!(sentences(text), [(3, 3), (4, 2), (6, 1), (7, 2)]);
    }
}
