//! The page of errors has a section for each code, and nothing else; and each code is used.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use faasflow_core::code::Code;

const PAGE: &str = "docs/reference/errors.md";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The headings of the sections about codes, each with the text below it.
fn sections() -> Vec<(String, String)> {
    let page = std::fs::read_to_string(root().join(PAGE)).expect("the page of errors");
    let mut sections = Vec::<(String, String)>::new();
    for line in page.lines() {
        match (line.strip_prefix("## "), line.starts_with("# "), sections.last_mut()) {
            (Some(heading), ..) => sections.push((heading.to_owned(), String::new())),
            // The text before the sections of an area.
            (None, true, _) => sections.push((String::new(), String::new())),
            (None, false, Some((_, text))) => {
                text.push_str(line);
                text.push('\n');
            }
            (None, false, None) => {}
        }
    }
    sections.retain(|(heading, _)| !heading.is_empty());
    sections
}

#[test]
fn the_page_has_a_section_for_each_code_in_their_order() {
    let headings: Vec<String> = sections().into_iter().map(|(heading, _)| heading).collect();
    let expected: Vec<String> = Code::all().iter().map(|code| format!("{code}: {}", code.title())).collect();
    for heading in &expected {
        assert!(headings.contains(heading), "{PAGE} has no section `## {heading}`");
    }
    for heading in &headings {
        assert!(expected.contains(heading), "{PAGE}: `## {heading}` is not a code with its title");
    }
    assert_eq!(headings, expected, "{PAGE}: the sections are not in the order of the codes, or one stands there twice");
}

#[test]
fn each_section_shows_the_error_and_says_what_to_do() {
    for (heading, text) in sections() {
        let (code, _) = heading.split_once(": ").expect("a code and its title");
        let example = text.split("```text\n").nth(1).and_then(|rest| rest.split("\n```").next());
        let example = example.unwrap_or_else(|| panic!("{PAGE}: {code} shows no example"));
        assert!(example.contains(code), "{PAGE}: the example of {code} does not have the code:\n{example}");
        let (why, remedy) = text.split_once("\n**What to do:** ").unwrap_or_else(|| panic!("{code} has no remedy"));
        let why = why.rsplit("```\n").next().unwrap_or_default().trim();
        assert!(why.len() > 60 && remedy.trim().len() > 20, "{PAGE}: {code} explains too little");
    }
}

#[test]
fn each_code_is_used_unless_it_is_retired() {
    let mut used = BTreeSet::new();
    for name in std::fs::read_dir(root().join("crates")).expect("the crates").flatten() {
        gather(&name.path().join("src"), &mut used);
    }
    for code in Code::all() {
        let (name, is_used) = (code.name(), used.contains(code.name()));
        assert!(is_used || code.is_retired(), "no error has the code {code}, `code::{name}`: mark it `retired`");
        assert!(!is_used || !code.is_retired(), "an error has the retired code {code}, `code::{name}`");
    }
}

/// The names that stand behind `code::` in the sources below a folder.
fn gather(folder: &Path, used: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            gather(&path, used);
        } else if path.extension().is_some_and(|extension| extension == "rs") && !path.ends_with("code.rs") {
            let text = std::fs::read_to_string(&path).expect("a source is text");
            let names = text.split("code::").skip(1).map(|rest| {
                rest.chars().take_while(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || *c == '_').collect()
            });
            used.extend(names);
        }
    }
}
