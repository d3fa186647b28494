//! Reads `docs/reference/errors.md`, for tests in several crates that compare its examples with what programs print.

use std::path::Path;

use faasflow_core::code::Code;

/// The example in the section of a code.
pub(crate) fn example(code: Code) -> String {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/errors.md");
    let page = std::fs::read_to_string(page).expect("the reference of errors should be readable");
    let section = page.split(&format!("\n## {code}: ")).nth(1).unwrap_or_else(|| panic!("no section about {code}"));
    let section = section.split("\n## ").next().unwrap_or_default();
    let example = section.split("```text\n").nth(1).and_then(|rest| rest.split("\n```").next());
    example.unwrap_or_else(|| panic!("no example of {code}")).to_owned()
}

/// Compares examples with what is printed, and reports all that differ.
#[allow(dead_code, reason = "some crates only read examples")]
#[track_caller]
pub(crate) fn compare(printed: impl IntoIterator<Item = (Code, String)>) {
    let differ: Vec<String> = printed
        .into_iter()
        .map(|(code, printed)| (code, example(code), printed))
        .filter(|(_, example, printed)| example != printed)
        .map(|(code, example, printed)| format!("{code}: the reference has\n{example}\nbut it is\n{printed}"))
        .collect();
    assert!(differ.is_empty(), "{}", differ.join("\n\n"));
}
