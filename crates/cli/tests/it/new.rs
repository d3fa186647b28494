//! `faasflow new` creates the same project as `faas-cli new` does from the template, and the project runs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Output;

use crate::support::{Up, faasflow, repository, run, share_build};

fn new(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = faasflow();
    command.arg("new").args(arguments).current_dir(folder);
    run(command, b"")
}

/// All files of a folder, by their paths in it, except build output.
fn files(folder: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            let own = path.strip_prefix(folder).unwrap().to_owned();
            match path.is_dir() {
                true if own == Path::new("target") => {}
                true => folders.push(path),
                false if own == Path::new("Cargo.lock") => {}
                false => assert!(found.insert(own, std::fs::read_to_string(path).unwrap()).is_none()),
            }
        }
    }
    found
}

#[test]
fn the_files_are_those_of_the_template() {
    let folder = tempfile::tempdir().unwrap();
    let output = new(folder.path(), &["my-flow"]);
    assert!(output.status.success(), "{output:?}");
    let mut made = files(&folder.path().join("my-flow"));
    let template = files(&repository("template/faasflow/function"));
    // Except for the paths of the crates, which are added. Unpublished: see release.md
    let config = made.get_mut(Path::new(".cargo/config.toml")).unwrap();
    let (same, added) = config.split_once("\n# Written by `faasflow new`.\n").unwrap();
    assert!(
        added.starts_with("[patch.crates-io]\nfaasflow = { path = \"") && added.contains("crates/testkit"),
        "{added}"
    );
    *config = same.to_owned();
    assert_eq!(made, template);

    let ignored = std::fs::read_to_string(folder.path().join(".gitignore")).unwrap();
    assert_eq!(ignored, "/.faasflow\n/build\n/template\n");
    let mut command = faasflow();
    command.arg("config").current_dir(folder.path());
    let output = run(command, b"");
    assert!(output.stdout.starts_with(b"my-flow\n") && output.stderr.is_empty(), "{output:?}");
}

#[test]
fn a_second_flow_is_appended_and_the_rest_of_the_file_stays() {
    let folder = tempfile::tempdir().unwrap();
    assert!(new(folder.path(), &["first"]).status.success());
    let stack = folder.path().join("stack.yml");
    let before = std::fs::read_to_string(&stack).unwrap();
    let again = new(folder.path(), &["second"]);
    assert_eq!(again.status.code(), Some(4));
    assert!(String::from_utf8_lossy(&again.stderr).contains("`--append stack.yml`"), "{again:?}");
    assert!(!folder.path().join("second").exists());

    assert!(new(folder.path(), &["second", "--append", "stack.yml"]).status.success());
    let after = std::fs::read_to_string(&stack).unwrap();
    assert!(after.starts_with(&before) && after[before.len()..].starts_with("  second:\n"), "{after}");
    let again = new(folder.path(), &["second", "--append", "stack.yml"]);
    assert_eq!(again.status.code(), Some(4), "{again:?}");
    // From another folder, the project is still created beside the stack file.
    let elsewhere = tempfile::tempdir().unwrap();
    assert!(new(elsewhere.path(), &["third", "--append", stack.to_str().unwrap()]).status.success());
    assert!(folder.path().join("third/src/lib.rs").is_file());
}

#[test]
fn a_broken_stack_file_is_not_changed() {
    let folder = tempfile::tempdir().unwrap();
    let stack = folder.path().join("stack.yml");
    let before = "functions:\n  a:\n    fprocess: cat\n  broken: [\n";
    std::fs::write(&stack, before).unwrap();
    let output = new(folder.path(), &["f", "--append", "stack.yml"]);
    assert_eq!(output.status.code(), Some(4), "{output:?}");
    assert_eq!(std::fs::read_to_string(&stack).unwrap(), before);
    assert!(!folder.path().join("f").exists());
}

#[test]
fn the_project_builds_and_answers() {
    let folder = tempfile::tempdir().unwrap();
    assert!(new(folder.path(), &["my-flow"]).status.success());
    let _guard = share_build(&folder.path().join("my-flow"));

    let up = Up::start(folder.path(), &folder.path().join("state"));
    let output = up.run(&["invoke", "my-flow"], b"Ada\n");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "Hello, Ada!", "{output:?}");
    assert_eq!(up.stop(), Some(0));
}
