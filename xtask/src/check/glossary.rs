//! The glossary in CONTRIBUTING.md explains every term that the pages use in a sense of their own.
//!
//! A term is one of the list below, or anything that a page sets in italics, which is how pages introduce a term.

use std::path::Path;

use super::Fault;
use super::prose::{has_words, outside, without_code};

/// The page with the glossary.
const PAGE: &str = "CONTRIBUTING.md";

const RULE: &str = "the glossary has every term";

/// Terms of the product. One that pages use must be in the glossary, whether or not a page sets it in italics.
const TERMS: &[&str] = &[
    "call id",
    "callback",
    "container engine",
    "context",
    "dead letter",
    "definition",
    "delivery",
    "envelope",
    "extractor",
    "failure handler",
    "fake",
    "fingerprint",
    "flow",
    "flow function",
    "fresh request",
    "hop",
    "local gateway",
    "modifier",
    "outage",
    "outcome",
    "payload",
    "phase",
    "problem",
    "provider",
    "redrive",
    "report",
    "request id",
    "shape",
    "signing key",
    "stack file",
    "state",
    "state manager",
    "step",
    "test kit",
    "watchdog",
];

/// Pages for readers. The decisions keep the words of their time, and use italics for emphasis.
pub(super) fn check(root: &Path, files: &[String]) -> Vec<Fault> {
    let read = |path: &str| std::fs::read_to_string(root.join(path)).unwrap_or_default();
    let pages = files.iter().filter(|path| {
        path.ends_with(".md")
            && (*path == "README.md" || path.starts_with("docs/"))
            && !path.starts_with("docs/decisions/")
    });
    let pages: Vec<(&str, String)> = pages.map(|path| (path.as_str(), read(path))).collect();
    faults_in(&read(PAGE), &pages)
}

fn faults_in(contributing: &str, pages: &[(&str, String)]) -> Vec<Fault> {
    let explained = explained(contributing);
    let known = |term: &str| explained.iter().any(|(_, known)| known == term);
    let mut faults = Vec::new();
    // Where each term is used first, so that a term fails once and not in every line.
    let mut missing: Vec<String> = Vec::new();
    let mut used = vec![false; explained.len()];
    for (page, text) in pages {
        for (line, words) in outside(text, false) {
            let prose = without_code(words);
            let lower = prose.to_lowercase();
            let listed = TERMS.iter().filter(|term| has_term(&lower, term)).map(|term| (*term).to_owned());
            for term in listed.chain(in_italics(&prose).map(singular)) {
                if !known(&term) && !missing.contains(&term) {
                    let what = format!("the glossary of {PAGE} does not explain \"{term}\"");
                    faults.push(Fault { rule: RULE, place: format!("{page}:{line}"), what });
                    missing.push(term);
                }
            }
            for (used, (_, term)) in used.iter_mut().zip(&explained) {
                *used |= has_term(&lower, term);
            }
        }
    }
    for (used, (line, term)) in used.iter().zip(&explained) {
        if !used {
            let what = format!("no page uses \"{term}\"");
            faults.push(Fault { rule: RULE, place: format!("{PAGE}:{line}"), what });
        }
    }
    faults
}

/// The terms of the table below the heading "Glossary", with their lines.
fn explained(contributing: &str) -> Vec<(usize, String)> {
    let lines = contributing.lines().enumerate().skip_while(|(_, line)| *line != "## Glossary").skip(1);
    lines
        .take_while(|(_, line)| !line.starts_with("## "))
        .filter_map(|(number, line)| {
            let (term, _) = line.strip_prefix("| ")?.split_once(" | ")?;
            (term != "term").then(|| (number + 1, term.to_lowercase()))
        })
        .collect()
}

/// Words between single asterisks, if they begin with a lower-case letter; others are titles and the like.
fn in_italics(line: &str) -> impl Iterator<Item = &str> {
    let line = line.trim_start();
    let line = line.strip_prefix("* ").unwrap_or(line);
    // Pairs of asterisks are bold.
    let mut parts = line.split("**").step_by(2);
    std::iter::from_fn(move || parts.next()).flat_map(|plain| {
        let italic = plain.split('*').skip(1).step_by(2);
        italic.filter(|words| words.starts_with(|c: char| c.is_lowercase()) && words.split(' ').count() <= 3)
    })
}

fn singular(term: &str) -> String {
    term.strip_suffix('s').unwrap_or(term).to_owned()
}

/// Whether a line has the term, or more than one of it.
fn has_term(line: &str, term: &str) -> bool {
    let many = match term.strip_suffix('y') {
        Some(stem) => format!("{stem}ies"),
        None => format!("{term}s"),
    };
    has_words(line, term) || has_words(line, &many)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GLOSSARY: &str = "## Glossary\n\n| term | meaning |\n|---|---|\n| phase | what runs at once |\n| arm | a program |\n\n## Next\n| step | not the glossary |\n";

    fn found(pages: &[(&str, &str)]) -> Vec<String> {
        let pages: Vec<(&str, String)> = pages.iter().map(|(page, text)| (*page, (*text).to_owned())).collect();
        faults_in(GLOSSARY, &pages).into_iter().map(|fault| format!("{}: {}", fault.place, fault.what)).collect()
    }

    #[test]
    fn terms_that_are_not_explained_are_found_once() {
        let text = "Two phases and two *arms*.\nA Step, in `delivery`, with a **bold** word.\n```text\nan envelope\n```\nSteps\n";
        assert_eq!(found(&[("a.md", text)]), ["a.md:2: the glossary of CONTRIBUTING.md does not explain \"step\""]);
    }

    #[test]
    fn words_in_italics_are_terms() {
        let text = "A phase of an arm is a *new word*, and *Not* one of it.\n";
        assert_eq!(found(&[("a.md", text)]), ["a.md:1: the glossary of CONTRIBUTING.md does not explain \"new word\""]);
    }

    #[test]
    fn unused_terms_are_found() {
        assert_eq!(found(&[("a.md", "a phase\n")]), ["CONTRIBUTING.md:6: no page uses \"arm\""]);
    }
}
