//! Targets that `Cargo.toml` excludes from tests, to save linking a program, contain no tests.

use std::path::Path;

use serde_json::Value;

use super::Fault;

pub(super) fn check(metadata: &Value, root: &Path, files: &[String]) -> Vec<Fault> {
    let read = |path: &str| std::fs::read_to_string(root.join(path)).unwrap_or_default();
    let mut faults = Vec::new();
    for package in metadata["packages"].as_array().into_iter().flatten() {
        let targets = package["targets"].as_array().map(Vec::as_slice).unwrap_or_default();
        for target in targets {
            let source = Path::new(target["src_path"].as_str().unwrap_or_default());
            let Ok(named) = source.strip_prefix(root) else {
                let (place, what) = (source.display().to_string(), format!("it is not below {}", root.display()));
                faults.push(Fault { rule: "every test runs", place, what });
                continue;
            };
            let folder = named.parent().unwrap_or(named);
            // A program beside a library has one file; all other files belong to the library.
            let alone = targets.iter().all(|other| {
                other == target || Path::new(other["src_path"].as_str().unwrap_or_default()).parent() != source.parent()
            });
            let is_kind =
                |wanted| target["kind"].as_array().is_some_and(|kinds| kinds.iter().any(|kind| kind == wanted));
            let is_program = is_kind("bin");
            let has_one_file = is_kind("custom-build") || (is_program && !alone);
            let own = files.iter().filter(|file| file.ends_with(".rs")).filter(|file| {
                let file = Path::new(file);
                if has_one_file { file == named } else { file.starts_with(folder) }
            });
            for file in own {
                let text = read(file);
                let mut fault = |what: &str, key: &str| {
                    faults.push(Fault {
                        rule: "every test runs",
                        place: file.clone(),
                        what: format!("it has {what}, but `{key} = false` in its Cargo.toml"),
                    });
                };
                if target["test"] == false && has_test(&text) {
                    fault("a test", "test");
                }
                if target["doctest"] == false && !is_program && has_doc_test(&text) {
                    fault("an example in its documentation", "doctest");
                }
            }
        }
    }
    faults
}

fn has_test(text: &str) -> bool {
    let mut lines = text.lines().map(str::trim_start);
    lines.any(|line| line.starts_with("#[test]") || line.starts_with("#[tokio::test") || line.starts_with("proptest!"))
}

fn has_doc_test(text: &str) -> bool {
    let mut lines = text.lines().map(str::trim_start);
    lines.any(|line| line.starts_with("/// ```") || line.starts_with("//! ```") || line.contains("doc = include_str!"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_of_excluded_targets_are_found() {
        let folder = std::env::temp_dir().join(format!("faasflow-untested-{}", std::process::id()));
        std::fs::create_dir_all(folder.join("src")).unwrap();
        std::fs::write(folder.join("src/lib.rs"), "/// ```\n/// f();\n/// ```\npub fn f() {}\n").unwrap();
        std::fs::write(folder.join("src/main.rs"), "#[test]\nfn works() {}\n").unwrap();
        let target = |kind: &str, file: &str, runs: bool| {
            let path = folder.join("src").join(file);
            serde_json::json!({ "kind": [kind], "src_path": path, "test": runs, "doctest": runs })
        };
        let files = ["src/lib.rs".to_owned(), "src/main.rs".to_owned()];
        let check = |targets: Vec<Value>| {
            let metadata = serde_json::json!({ "packages": [{ "targets": targets }] });
            check(&metadata, &folder, &files).into_iter().map(|fault| fault.place).collect::<Vec<_>>()
        };
        let none = check(vec![target("lib", "lib.rs", true), target("bin", "main.rs", true)]);
        let program = check(vec![target("lib", "lib.rs", true), target("bin", "main.rs", false)]);
        let alone = check(vec![target("bin", "main.rs", false)]);
        std::fs::write(folder.join("src/main.rs"), "fn main() {}\n").unwrap();
        let script = check(vec![target("custom-build", "build.rs", false)]);
        let library = check(vec![target("lib", "lib.rs", false), target("bin", "main.rs", false)]);
        std::fs::remove_dir_all(&folder).unwrap();
        assert!(none.is_empty() && script.is_empty(), "{none:?} {script:?}");
        assert_eq!((program, alone), (vec!["src/main.rs".to_owned()], vec!["src/main.rs".to_owned()]));
        assert_eq!(library, ["src/lib.rs"]);
    }
}
