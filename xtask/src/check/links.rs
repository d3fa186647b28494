//! Every page can be reached from another, and no link or anchor is broken.

use std::collections::HashSet;
use std::path::{Component, Path, PathBuf};

use super::Fault;

pub(super) fn check(root: &Path, files: &[String]) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut reached = HashSet::new();
    let pages: Vec<&String> = files.iter().filter(|path| path.ends_with(".md")).collect();
    for page in &pages {
        let Ok(text) = std::fs::read_to_string(root.join(page)) else { continue };
        for (line, target) in links(&text) {
            if target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            let (target, anchor) = target.split_once('#').unwrap_or((&target, ""));
            let from = Path::new(page).parent().unwrap_or(Path::new(""));
            let path = if target.is_empty() { PathBuf::from(page) } else { normal(&from.join(target)) };
            if !anchor.is_empty()
                && path.extension().is_some_and(|extension| extension == "md")
                && let Ok(there) = std::fs::read_to_string(root.join(&path))
                && !anchors(&there).contains(anchor)
            {
                let what = format!("{} has no heading #{anchor}", path.display());
                faults.push(Fault { rule: "no broken links", place: format!("{page}:{line}"), what });
            }
            if path == Path::new(page.as_str()) {
                // A link of a page to itself does not count.
            } else if root.join(&path).exists() {
                reached.insert(path);
            } else {
                let what = format!("the link to {target} is broken");
                faults.push(Fault { rule: "no broken links", place: format!("{page}:{line}"), what });
            }
        }
    }
    for page in pages.iter().filter(|page| page.starts_with("docs/")) {
        let folder = Path::new(page.as_str()).parent().map(Path::to_owned).unwrap_or_default();
        let through_folder = page.ends_with("README.md") && reached.contains(&folder);
        if !through_folder && !reached.contains(Path::new(page.as_str())) {
            let what = "no page links to it".to_owned();
            faults.push(Fault { rule: "every page can be reached", place: (*page).clone(), what });
        }
    }
    faults
}

/// The targets of links, `[text](target)` and `[name]: target`, with their lines; not those in blocks of code.
fn links(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut in_code = false;
    for (number, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        }
        if in_code {
            continue;
        }
        let mut rest = line;
        while let Some((_, after)) = rest.split_once("](") {
            let (target, after) = after.split_once(')').unwrap_or((after, ""));
            found.push((number + 1, target.to_owned()));
            rest = after;
        }
        if let Some((name, target)) = line.split_once("]: ")
            && name.starts_with('[')
        {
            found.push((number + 1, target.trim().to_owned()));
        }
    }
    found
}

/// The anchors of a page's headings, as GitHub makes them.
fn anchors(text: &str) -> HashSet<String> {
    let mut found: HashSet<String> = HashSet::new();
    let mut in_code = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        }
        let heading = line.trim_start_matches('#');
        if in_code || heading.len() == line.len() || !heading.starts_with(' ') {
            continue;
        }
        let anchor: String = heading
            .trim()
            .to_lowercase()
            .chars()
            .filter(|c| c.is_alphanumeric() || matches!(c, '-' | '_' | ' '))
            .map(|c| if c == ' ' { '-' } else { c })
            .collect();
        // Repeated headings get a number.
        let numbered = (1..).map(|number| format!("{anchor}-{number}"));
        let free = std::iter::once(anchor.clone()).chain(numbered).find(|anchor| !found.contains(anchor));
        found.extend(free);
    }
    found
}

fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                normal.pop();
            }
            Component::CurDir => {}
            part => normal.push(part),
        }
    }
    normal
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_found_outside_of_code() {
        let text = "see [a](a.md#x) and [b](../b.md)\n```text\n[c](c.md)\n```\n[d]: d.md\n";
        let found: Vec<String> = links(text).into_iter().map(|(_, target)| target).collect();
        assert_eq!(found, ["a.md#x", "../b.md", "d.md"]);
        assert_eq!(normal(Path::new("docs/guide/../x.md")), Path::new("docs/x.md"));
    }

    #[test]
    fn anchors_are_those_of_headings() {
        let text = "# The `up` command\n## 4a. Why, and how?\n## Twice\n## Twice\n```console\n# no heading\n```\n#no\n";
        let expected = ["the-up-command", "4a-why-and-how", "twice", "twice-1"].map(str::to_owned);
        assert_eq!(anchors(text), expected.into());
    }

    #[test]
    fn a_page_that_nobody_links_to_is_found() {
        let folder = std::env::temp_dir().join(format!("xtask-links-{}", std::process::id()));
        std::fs::create_dir_all(folder.join("docs")).unwrap();
        std::fs::write(folder.join("README.md"), "[a](docs/a.md#here) [gone](docs/gone.md) [lost](docs/a.md#lost)")
            .unwrap();
        std::fs::write(folder.join("docs/a.md"), "# Here").unwrap();
        std::fs::write(folder.join("docs/b.md"), "[b](b.md)").unwrap();
        let files = ["README.md", "docs/a.md", "docs/b.md"].map(str::to_owned);
        let found = check(&folder, &files);
        std::fs::remove_dir_all(&folder).unwrap();
        assert_eq!(found.len(), 3, "{found:?}");
    }
}
