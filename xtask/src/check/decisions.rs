//! Decisions are numbered without gaps and listed in their README.

use std::path::Path;

use super::Fault;

const FOLDER: &str = "docs/decisions/";

pub(super) fn check(root: &Path, files: &[String]) -> Vec<Fault> {
    let list = std::fs::read_to_string(root.join(FOLDER).join("README.md")).unwrap_or_default();
    let mut names: Vec<&str> = files.iter().filter_map(|path| path.strip_prefix(FOLDER)).collect();
    names.retain(|name| *name != "README.md");
    names.sort_unstable();
    faults_in(&names, &list)
}

fn faults_in(names: &[&str], list: &str) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (index, name) in names.iter().enumerate() {
        let mut fault = |what: String| {
            faults.push(Fault { rule: "decisions are numbered and listed", place: format!("{FOLDER}{name}"), what });
        };
        let number = format!("{:04}-", index + 1);
        if !name.starts_with(&number) || !name.ends_with(".md") {
            fault(format!("call it {number}title.md: numbers are unique and have no gaps"));
        }
        if !list.contains(name) {
            fault(format!("{FOLDER}README.md does not list it"));
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_and_unlisted_decisions_are_found() {
        assert_eq!(faults_in(&["0001-a.md", "0002-b.md"], "0001-a.md 0002-b.md"), []);
        assert_eq!(faults_in(&["0001-a.md", "0003-c.md"], "0001-a.md").len(), 2);
    }
}
