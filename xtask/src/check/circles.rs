//! Files of a crate must not depend on each other in a circle, because then none of them can be understood first.
//!
//! A file uses another if a path in it leads to an item that the other defines. Re-exports lead to the defining file, so a
//! file that only declares modules and re-exports names is not part of a circle.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::Fault;
use super::source::{Source, Use};

/// The files that each file uses, with the first path that leads there.
type Arrows<'a> = BTreeMap<&'a str, BTreeMap<&'a str, &'a Use>>;

pub(super) fn check(sources: &[Source]) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (_, files) in crates(sources) {
        let arrows = arrows(&files);
        for circle in circles(&arrows) {
            let Some(first) = circle.first() else { continue };
            let way = around(&arrows, &circle, first);
            let steps = way.windows(2).map(|step| {
                let used = arrows[step[0]][step[1]];
                format!("{}:{} uses `{}`", step[0], used.line, used.path)
            });
            let shown = format!("{} (a circle of {} files)", steps.collect::<Vec<_>>().join(", "), circle.len());
            faults.push(Fault { rule: "no circle of files", place: (**first).to_owned(), what: shown });
        }
    }
    faults
}

/// The files of each crate by their module paths, such as `crate::trace::step`.
fn crates(sources: &[Source]) -> BTreeMap<&str, HashMap<String, &Source>> {
    let mut crates: BTreeMap<&str, HashMap<String, &Source>> = BTreeMap::new();
    for source in sources.iter().filter(|source| !source.is_beside_the_product()) {
        let Some((root, inner)) = source.path.split_once("/src/") else { continue };
        if root.starts_with("crates/") {
            crates.entry(root).or_default().insert(module(inner), source);
        }
    }
    crates
}

/// The module path of a file, by its path in `src`.
fn module(inner: &str) -> String {
    let names = inner.trim_end_matches(".rs").split('/').filter(|name| !["lib", "main", "mod"].contains(name));
    ["crate"].into_iter().chain(names).collect::<Vec<_>>().join("::")
}

/// The files that each file uses.
fn arrows<'a>(files: &HashMap<String, &'a Source>) -> Arrows<'a> {
    let mut arrows: Arrows<'_> = BTreeMap::new();
    for (here, source) in files {
        let to = arrows.entry(&source.path).or_default();
        // A name alone may be a variable, and the path of `pub(in super::super)` names nothing.
        let is_path = |used: &&Use| used.path.contains("::") && !used.path.ends_with("super") && !used.passed_on;
        for used in source.uses.iter().filter(is_path) {
            if let Some(file) = definer(files, here, &used.path, 0)
                && file.path != source.path
            {
                to.entry(&file.path).or_insert(used);
            }
        }
    }
    arrows
}

/// The file that defines the item a path in the module `here` leads to, if it is in this crate.
fn definer<'a>(files: &HashMap<String, &'a Source>, here: &str, path: &str, depth: usize) -> Option<&'a Source> {
    let full = absolute(files, here, path)?;
    let (mut module, mut rest) = ("crate".to_owned(), full.split("::").skip(1).peekable());
    while let Some(name) = rest.peek() {
        let inner = format!("{module}::{name}");
        if !files.contains_key(&inner) {
            break;
        }
        module = inner;
        rest.next();
    }
    let file = *files.get(&module)?;
    let Some(name) = rest.next().filter(|_| depth < 8) else { return Some(file) };
    // Re-exported from another file, or defined here.
    match file.passed_on(name) {
        Some(from) if from != full => definer(files, &module, from, depth + 1).or(Some(file)),
        _ => Some(file),
    }
}

/// The path from `crate` on, if it is in this crate.
fn absolute(files: &HashMap<String, &Source>, here: &str, path: &str) -> Option<String> {
    let (first, rest) = path.split_once("::").unwrap_or((path, ""));
    let join = |module: &str| if rest.is_empty() { module.to_owned() } else { format!("{module}::{rest}") };
    match first {
        "crate" => Some(path.to_owned()),
        "self" => Some(join(here)),
        "super" => {
            let parent = here.rsplit_once("::").map_or("crate", |(parent, _)| parent);
            if rest.starts_with("super") { absolute(files, parent, rest) } else { Some(join(parent)) }
        }
        // A module of this one.
        name if files.contains_key(&format!("{here}::{name}")) => Some(format!("{here}::{path}")),
        _ => None,
    }
}

/// The circles: sets of files in which each file reaches all others.
fn circles<'a>(arrows: &Arrows<'a>) -> Vec<BTreeSet<&'a str>> {
    let reached: BTreeMap<&str, BTreeSet<&str>> = arrows.keys().map(|file| (*file, reachable(arrows, file))).collect();
    let mut circles: Vec<BTreeSet<&str>> = Vec::new();
    for (file, to) in &reached {
        if !to.contains(file) || circles.iter().any(|circle| circle.contains(file)) {
            continue;
        }
        circles.push(to.iter().copied().filter(|other| reached[other].contains(file)).collect());
    }
    circles
}

fn reachable<'a>(arrows: &Arrows<'a>, from: &str) -> BTreeSet<&'a str> {
    let (mut reached, mut ahead) = (BTreeSet::new(), vec![from]);
    while let Some(file) = ahead.pop() {
        for &to in arrows.get(file).into_iter().flat_map(BTreeMap::keys) {
            if reached.insert(to) {
                ahead.push(to);
            }
        }
    }
    reached
}

/// A shortest way from a file back to itself.
fn around<'a>(arrows: &Arrows<'a>, circle: &BTreeSet<&'a str>, file: &'a str) -> Vec<&'a str> {
    let mut ways = std::collections::VecDeque::from([vec![file]]);
    let mut seen = BTreeSet::new();
    while let Some(way) = ways.pop_front() {
        for &to in arrows[way[way.len() - 1]].keys().filter(|to| circle.contains(*to)) {
            let mut longer = way.clone();
            longer.push(to);
            if to == file {
                return longer;
            }
            if seen.insert(to) {
                ways.push_back(longer);
            }
        }
    }
    vec![file]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(files: &[(&str, &str)]) -> Vec<String> {
        let parse = |(path, text): &(&str, &str)| Source::parse(&format!("crates/x/src/{path}"), text).unwrap();
        let sources: Vec<Source> = files.iter().map(parse).collect();
        check(&sources).into_iter().map(|fault| fault.what.replace("crates/x/src/", "")).collect()
    }

    #[test]
    fn files_that_use_each_other_are_found() {
        let circle = [
            ("lib.rs", "mod a; mod b;"),
            ("a.rs", "use crate::b::B; struct A;"),
            ("b.rs", "use super::a::A; struct B;"),
        ];
        assert_eq!(found(&circle), ["a.rs:1 uses `crate::b::B`, b.rs:1 uses `super::a::A` (a circle of 2 files)"]);
        let long = [
            ("a.rs", "fn f() { crate::b::f(); }"),
            ("b.rs", "pub fn f() { println!(\"{}\", crate::c::C); }"),
            ("c.rs", "use crate::{a, d}; pub const C: u8 = 1;"),
            ("d.rs", ""),
        ];
        let shown =
            "a.rs:1 uses `crate::b::f`, b.rs:1 uses `crate::c::C`, c.rs:1 uses `crate::a` (a circle of 3 files)";
        assert_eq!(found(&long), [shown]);
    }

    #[test]
    fn a_child_that_uses_what_its_parent_defines_and_uses_is_in_a_circle() {
        let circle = [("a.rs", "mod b; use b::B; struct A(B);"), ("a/b.rs", "use super::A; struct B;")];
        assert_eq!(found(&circle), ["a.rs:1 uses `b::B`, a/b.rs:1 uses `super::A` (a circle of 2 files)"]);
    }

    #[test]
    fn a_parent_that_only_re_exports_names_is_in_no_circle() {
        let files = [
            ("lib.rs", "mod a; pub use a::{B, C};"),
            ("a.rs", "mod b; mod c; pub use b::B; pub use c::C;"),
            ("a/b.rs", "use super::C; use crate::a; pub struct B(a::C);"),
            ("a/c.rs", "pub struct C;"),
        ];
        assert_eq!(found(&files), Vec::<String>::new());
    }

    #[test]
    fn tests_and_other_crates_are_not_part_of_a_circle() {
        let files = [
            ("a.rs", "use crate::b::B; use std::b; struct A;"),
            ("b.rs", "pub(super) struct B; pub(in super::super) fn f() {} #[cfg(test)] mod tests { use crate::a::A; }"),
        ];
        assert_eq!(found(&files), Vec::<String>::new());
    }
}
