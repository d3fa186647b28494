//! Files are short and contain no paths of one machine; each crate has the lints of the workspace.

use std::path::Path;

use super::Fault;

/// The maximum number of lines of a source file.
const LONGEST: usize = 600;

pub(super) fn check(root: &Path, files: &[String]) -> Vec<Fault> {
    let mut faults = Vec::new();
    for path in files {
        let Ok(text) = std::fs::read_to_string(root.join(path)) else { continue };
        faults.extend(faults_in(path, &text));
    }
    faults
}

fn faults_in(path: &str, text: &str) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut fault =
        |rule, line: usize, what: String| faults.push(Fault { rule, place: format!("{path}:{line}"), what });
    let lines = text.lines().count();
    if path.ends_with(".rs") && lines > LONGEST {
        fault("files are short", lines, format!("{lines} lines, more than {LONGEST}: split the file"));
    }
    // Cargo writes the registry into lock files.
    if !path.ends_with(".lock") {
        // Written in parts, so that this file does not contain the marks itself.
        let marks = [["/home", "/"], ["/root", "/"], ["/wor", "k/"], ["index.crates", ".io"], ["static.crates", ".io"]];
        for (number, line) in text.lines().enumerate() {
            for mark in marks.map(|parts| parts.concat()) {
                if line.contains(&mark) {
                    fault(
                        "no paths of one machine",
                        number + 1,
                        format!("remove `{mark}`, which belongs to one machine or registry"),
                    );
                }
            }
        }
    }
    let member = path.ends_with("Cargo.toml") && !path.starts_with("fuzz/") && !path.starts_with("benches/");
    if member && (path.starts_with("crates/") || path.starts_with("xtask/") || path.starts_with("e2e/")) {
        if !text.contains("[lints]\nworkspace = true") {
            fault("every crate has the lints of the workspace", 1, "add `[lints]` with `workspace = true`".to_owned());
        }
        if !text.contains("\ndescription = ") {
            fault("every crate has a description", 1, "add a `description`".to_owned());
        }
    }
    if path.ends_with("Cargo.toml") && text.contains("= \"*\"") {
        fault("dependencies have versions", 1, "`*` allows any version: name one".to_owned());
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forbidden_text_in_files_is_found() {
        let long = "\n".repeat(LONGEST + 1);
        assert_eq!(faults_in("crates/core/src/x.rs", &long).len(), 1);
        assert_eq!(faults_in("docs/x.md", &["see /home", "/x"].concat()).len(), 1);
        assert_eq!(faults_in("crates/x/Cargo.toml", "[package]\nname = \"x\"\n[dependencies]\na = \"*\"\n").len(), 3);
    }
}
