//! Checks the invariants of ARCHITECTURE.md. Each rule is a module, with a test in which it finds a fault.

mod arrows;
mod circles;
mod decisions;
mod environment;
mod files;
mod glossary;
mod http;
mod includes;
mod links;
mod names;
mod pages;
mod prose;
mod pure_core;
mod source;
mod tasks;
mod unpublished;
mod untested;

use std::fmt;
use std::path::Path;

use source::Source;

/// A place that breaks a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Fault {
    rule: &'static str,
    /// The file, and the line if there is one.
    place: String,
    what: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} ({})", self.place, self.what, self.rule)
    }
}

/// Checks all rules and prints every fault.
///
/// # Errors
///
/// If there is a fault, or a file cannot be read.
pub(crate) fn run(root: &Path) -> Result<(), String> {
    let metadata = crate::command::metadata(root)?;
    let files = source::tracked(root)?;
    let sources: Vec<Source> = source::read(root, &files)?;
    let mut faults = Vec::new();
    faults.extend(arrows::check(&metadata));
    faults.extend(circles::check(&sources));
    for source in &sources {
        faults.extend(pure_core::check(source));
        faults.extend(http::check(source));
        faults.extend(environment::check(source));
        faults.extend(tasks::check(source));
        faults.extend(names::check(source));
    }
    faults.extend(files::check(root, &files));
    faults.extend(includes::check(root, &files));
    faults.extend(links::check(root, &files));
    faults.extend(pages::check(root, &files));
    faults.extend(prose::check(root, &files));
    faults.extend(decisions::check(root, &files));
    faults.extend(glossary::check(root, &files));
    faults.extend(unpublished::check(root, &files));
    faults.extend(untested::check(&metadata, root, &files));
    for fault in &faults {
        println!("{fault}");
    }
    for sentence in prose::long_sentences(root, &files) {
        println!("{sentence}; consider splitting it");
    }
    println!(
        "Checked {} sources and {} files: {} fault{}",
        sources.len(),
        files.len(),
        faults.len(),
        if faults.len() == 1 { "" } else { "s" }
    );
    if faults.is_empty() { Ok(()) } else { Err("invariants are broken; ARCHITECTURE.md explains them".to_owned()) }
}
