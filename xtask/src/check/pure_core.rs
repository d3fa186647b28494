//! The core does no I/O and reads no clock: what it needs to know of the world it is told.

use super::Fault;
use super::source::Source;

const FORBIDDEN: [&str; 12] = [
    "std::env",
    "std::fs",
    "std::io::stdin",
    "std::io::stdout",
    "std::net",
    "std::process",
    "std::thread",
    "std::time::Instant",
    "std::time::SystemTime",
    "tokio",
    "println!",
    "eprintln!",
];

pub(super) fn check(source: &Source) -> Vec<Fault> {
    if !source.is_in(&["crates/core/src/"]) {
        return Vec::new();
    }
    let forbidden =
        |path: &str| FORBIDDEN.iter().any(|start| path == *start || path.starts_with(&format!("{start}::")));
    let used = source.uses.iter().filter(|used| forbidden(&used.path));
    used.map(|used| Fault {
        rule: "the core does no I/O and reads no clock",
        place: source.place(used.line),
        what: format!("`{}` is of the world: let the runtime pass it in", used.path),
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
}
