//! Only certain modules read environment variables.

use super::Fault;
use super::source::Source;

/// The modules that may.
const PLACES: [&str; 4] = [
    "crates/cli/src/environment.rs",
    "crates/gateway/src/environment.rs",
    "crates/runtime/src/config.rs",
    "crates/state/src/settings.rs",
];

pub(super) fn check(source: &Source) -> Vec<Fault> {
    if source.is_in(&PLACES) || source.is_beside_the_product() {
        return Vec::new();
    }
    let reads = |path: &str| path.starts_with("std::env::") && path.contains("var");
    let used = source.uses.iter().filter(|used| reads(&used.path));
    used.map(|used| Fault {
        rule: "few files read the environment",
        place: source.place(used.line),
        what: format!("`{}`: read it in one of {}, and pass the value on", used.path, PLACES.join(", ")),
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_read_elsewhere_is_found() {
        let text = "use std::env;\nfn f() { env::var(\"A\"); std::env::args(); }";
        assert_eq!(check(&Source::parse("crates/core/src/x.rs", text).unwrap()).len(), 1);
        assert!(check(&Source::parse("crates/runtime/src/config.rs", text).unwrap()).is_empty());
    }
}
