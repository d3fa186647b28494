//! The core does no I/O and reads no clock; its callers pass in everything it needs.

use super::Fault;
use super::source::Source;

const FORBIDDEN: [&str; 16] = [
    "std::env",
    "std::fs",
    "std::io::stderr",
    "std::io::stdin",
    "std::io::stdout",
    "std::net",
    "std::os",
    "std::process",
    "std::thread",
    "std::time::Instant",
    "std::time::SystemTime",
    "tokio",
    "eprint!",
    "eprintln!",
    "print!",
    "println!",
];

pub(super) fn check(source: &Source) -> Vec<Fault> {
    if !source.is_in(&["crates/core/src/"]) {
        return Vec::new();
    }
    let forbidden = |path: &str| {
        FORBIDDEN.iter().any(|start| {
            // `use std::time::*` would hide the name.
            let hidden = path.strip_suffix('*').is_some_and(|folder| start.starts_with(folder));
            path == *start || path.starts_with(&format!("{start}::")) || hidden
        })
    };
    let used = source.uses.iter().filter(|used| forbidden(&used.path));
    used.map(|used| Fault {
        rule: "the core does no I/O and reads no clock",
        place: source.place(used.line),
        what: format!("`{}`: let the runtime pass the value in", used.path),
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_in_the_core_is_found() {
        let text = "use std::time::{Duration, SystemTime};\nfn f(_: Duration) { SystemTime::now(); }";
        let found = check(&Source::parse("crates/core/src/x.rs", text).unwrap());
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(check(&Source::parse("crates/runtime/src/x.rs", text).unwrap()).is_empty());
    }

    #[test]
    fn a_clock_behind_a_glob_or_in_a_macro_is_found() {
        let found = |text| check(&Source::parse("crates/core/src/x.rs", text).unwrap()).len();
        assert_eq!(found("use std::time::*;"), 1);
        assert_eq!(found("fn f() { format!(\"{:?}\", std::time::SystemTime::now()); }"), 1);
        assert_eq!(found("fn f() { print!(\"a\"); }"), 1);
        assert_eq!(found("use super::*;\nuse std::fmt::*;"), 0);
    }
}
