//! Codes of errors are for ever: people search for them, and programs compare them.

use std::collections::BTreeSet;

use faasflow_core::code::Code;

/// A code that is not used any more stays in the table and in the reference. Append a line for a new code; change none.
#[test]
fn no_code_is_ever_removed_or_given_to_another_error() {
    let golden = include_str!("../golden/codes.txt");
    let golden: BTreeSet<&str> = golden.lines().collect();
    let named: Vec<String> = Code::all().iter().map(|code| format!("{code} {}", code.name())).collect();
    let table: BTreeSet<&str> = named.iter().map(String::as_str).collect();
    let gone: Vec<_> = golden.difference(&table).collect();
    assert!(gone.is_empty(), "these were released and must stay in `code.rs`: {gone:?}");
    let new: Vec<_> = table.difference(&golden).collect();
    assert!(new.is_empty(), "append these to `golden/codes.txt`: {new:?}");
}

#[test]
fn codes_are_in_order_and_their_titles_are_fragments() {
    let ids: Vec<&str> = Code::all().iter().map(|code| code.as_str()).collect();
    assert!(ids.is_sorted_by(|one, next| one < next), "{ids:?}");
    for code in Code::all() {
        let digits = code.as_str().strip_prefix("FF").unwrap_or_default();
        assert!(digits.len() == 4 && digits.bytes().all(|byte| byte.is_ascii_digit()), "{code}");
        let title = code.title();
        assert!(!title.ends_with('.') && title.len() <= 80 && !title.contains('\n'), "{code}: {title}");
        assert_eq!(Code::find(&code.as_str().to_lowercase()), Some(*code));
    }
    for text in ["", "FF", "FF01", "FF9999", "E0101", "FF01010", "FÄ"] {
        assert_eq!(Code::find(text), None, "{text}");
    }
}
