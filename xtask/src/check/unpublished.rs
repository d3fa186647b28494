//! Checks that RELEASE.md lists every place that changes when the crates are published.

use std::collections::BTreeMap;
use std::path::Path;

use super::Fault;

/// The page with the list, and the heading of its section.
const PAGE: &str = "RELEASE.md";
const SECTION: &str = "## After the first release";

/// The marks of a place: words that readers see, or a comment if there are no such words.
const MARKS: [&str; 2] = ["not published yet", "unpublished: see release.md"];

/// Files with this text work around the missing crates. The list names them even if they have no mark.
const PATCH: &str = "[patch.crates-io]";

/// Compares the list with the marks in all files.
pub(super) fn check(root: &Path, files: &[String]) -> Vec<Fault> {
    let read = |path: &str| std::fs::read_to_string(root.join(path)).unwrap_or_default();
    let own = [PAGE, file!()];
    let files = files.iter().filter(|path| !own.contains(&path.as_str()) && !root.join(path).is_symlink());
    let texts: Vec<(&str, String)> = files.map(|path| (path.as_str(), read(path))).collect();
    compare(&read(PAGE), &texts)
}

fn compare(page: &str, files: &[(&str, String)]) -> Vec<Fault> {
    let listed = listed(page);
    let fault = |place: &str, what: String| Fault {
        rule: "RELEASE.md lists what publishing changes",
        place: place.to_owned(),
        what,
    };
    let mut faults = Vec::new();
    for (path, text) in files {
        let marks = text.lines().filter(|line| is_marked(line)).count();
        let found = (marks > 0 || text.contains(PATCH)).then_some(marks);
        match (found, listed.get(path)) {
            (None, None) => {}
            (Some(_), None) => {
                faults.push(fault(path, format!("list it in {PAGE}, with {marks} as its number of places")));
            }
            (None, Some(_)) => faults.push(fault(PAGE, format!("it lists {path}, which has no mark"))),
            (Some(_), Some(places)) if *places == marks => {}
            (Some(_), Some(places)) => {
                let what = format!("the number of places in {path} is {marks}, not {places}");
                faults.push(fault(PAGE, what));
            }
        }
    }
    for path in listed.keys().filter(|path| !files.iter().any(|(file, _)| file == *path)) {
        faults.push(fault(PAGE, format!("it lists {path}, which does not exist")));
    }
    faults
}

fn is_marked(line: &str) -> bool {
    let line = line.to_lowercase();
    MARKS.iter().any(|mark| line.contains(mark))
}

/// Parses the table: each file with its number of places.
fn listed(page: &str) -> BTreeMap<&str, usize> {
    let section = page.split_once(SECTION).map_or("", |(_, section)| section);
    let section = section.split("\n## ").next().unwrap_or_default();
    section.lines().filter_map(row).collect()
}

fn row(line: &str) -> Option<(&str, usize)> {
    let mut cells = line.strip_prefix("| `")?.split(" | ");
    Some((cells.next()?.trim_end_matches('`'), cells.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "# R\n\n## After the first release\n\n| file | places | what |\n|---|---|---|\n| `a.md` | 2 | x |\n| `b.rs` | 0 | y |\n\n## Next\n\n| `c` | 1 | z |\n";

    fn found(files: &[(&str, &str)]) -> Vec<String> {
        let files: Vec<_> = files.iter().map(|(path, text)| (*path, (*text).to_owned())).collect();
        compare(LIST, &files).into_iter().map(|fault| format!("{}: {}", fault.place, fault.what)).collect()
    }

    #[test]
    fn a_list_that_agrees_has_no_fault() {
        let marked = "It is not published yet.\nx\n<!-- unpublished: see RELEASE.md -->\n";
        assert_eq!(found(&[("a.md", marked), ("b.rs", "[patch.crates-io]"), ("c", "published")]), [""; 0]);
    }

    #[test]
    fn unlisted_and_missing_places_are_found() {
        let once = "Not published yet.\n";
        let faults = found(&[("a.md", once), ("b.rs", "nothing"), ("d.rs", "x = \"[patch.crates-io]\"\n")]);
        assert_eq!(
            faults,
            [
                "RELEASE.md: the number of places in a.md is 1, not 2",
                "RELEASE.md: it lists b.rs, which has no mark",
                "d.rs: list it in RELEASE.md, with 0 as its number of places",
            ]
        );
        assert_eq!(found(&[("a.md", &once.repeat(2))]), ["RELEASE.md: it lists b.rs, which does not exist"]);
    }
}
