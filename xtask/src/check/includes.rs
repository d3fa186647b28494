//! Files that a crate includes are in its folder, because a package contains nothing else. Files from elsewhere are symbolic
//! links there.

use std::path::Path;

use super::Fault;

pub(super) fn check(root: &Path, files: &[String]) -> Vec<Fault> {
    let sources = files.iter().filter(|path| path.starts_with("crates/") && path.ends_with(".rs"));
    let read = sources.filter_map(|path| Some((path, std::fs::read_to_string(root.join(path)).ok()?)));
    read.flat_map(|(path, text)| faults_in(path, &text)).collect()
}

fn faults_in(path: &str, text: &str) -> Vec<Fault> {
    let Some((_, inner)) = path.split_once("/src/") else { return Vec::new() };
    // The number of folders up to the folder of the crate.
    let depth = inner.matches('/').count() + 1;
    let mut faults = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let included = ["include_str!(\"", "include_bytes!(\""].iter().filter_map(|open| line.split_once(open));
        for (_, target) in included {
            let target = target.split('"').next().unwrap_or_default();
            if target.split('/').take_while(|part| *part == "..").count() > depth {
                let what = format!(
                    "{target} is outside of the crate, so its package would not contain it: add a symbolic link in the crate's folder"
                );
                faults.push(Fault { rule: "packages are whole", place: format!("{path}:{}", number + 1), what });
            }
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn includes_from_outside_the_crate_are_found() {
        let text =
            "include_str!(\"../README.md\"); include_bytes!(\"../../README.md\")\nlet x = include_str!(\"a.txt\");\n";
        let found = faults_in("crates/core/src/lib.rs", text);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].place, "crates/core/src/lib.rs:1");
        assert!(faults_in("crates/core/src/a/b.rs", text).is_empty());
        assert!(faults_in("crates/core/tests/a.rs", text).is_empty());
    }
}
