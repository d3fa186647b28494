//! Reads `docs/reference/errors.md`, for tests in several crates that compare its examples with what programs print.

use std::path::Path;

use faasflow_core::code::Code;

/// The first example in the section of a code.
#[allow(dead_code, reason = "some crates only compare examples")]
pub(crate) fn example(code: Code) -> String {
    examples(code).swap_remove(0)
}

/// The examples in the section of a code: at least one.
fn examples(code: Code) -> Vec<String> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/errors.md");
    let page = std::fs::read_to_string(page).expect("the reference of errors should be readable");
    let section = page.split(&format!("\n## {code}: ")).nth(1).unwrap_or_else(|| panic!("no section about {code}"));
    let section = section.split("\n## ").next().unwrap_or_default();
    let examples = section.split("```text\n").skip(1).filter_map(|rest| rest.split("\n```").next());
    let examples: Vec<String> = examples.map(str::to_owned).collect();
    assert!(!examples.is_empty(), "no example of {code}");
    examples
}

/// Compares examples with what is printed, and reports all that differ.
#[allow(dead_code, reason = "some crates only read examples")]
#[track_caller]
pub(crate) fn compare(printed: impl IntoIterator<Item = (Code, String)>) {
    let differ: Vec<String> = printed
        .into_iter()
        .map(|(code, printed)| (code, examples(code), printed))
        .filter(|(_, examples, printed)| !examples.contains(printed))
        .map(|(code, examples, printed)| {
            format!("{code}: the reference has\n{}\nbut it is\n{printed}", examples.join("\n"))
        })
        .collect();
    assert!(differ.is_empty(), "{}", differ.join("\n\n"));
}
