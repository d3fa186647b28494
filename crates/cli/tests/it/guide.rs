//! Runs what the documentation shows. Every fenced block of every page is held to something:
//!
//! | language | held to |
//! |---|---|
//! | `rust` | compiled and run as a doc test; here it is checked that the page is one, and that nothing is `ignore`d |
//! | `console` | each line after `$ ` is run by bash, and what follows it is compared with what it prints |
//! | `yaml` | read as a stack file, as an environment file where it has no `functions`, or as a manifest of Kubernetes where it begins with `apiVersion` |
//! | `json` | read as JSON |
//! | `text` | nothing: drawings only |
//!
//! Any other language is a failure. In expected output `[..]` stands for anything within a line, and a line `...` for
//! any lines. A page says in a comment what it needs: `<!-- up: NAME -->` runs `faasflow up` on a copy of that
//! example, whose folder the commands then run in; `<!-- in: NAME -->` only copies it. `<!-- run by: FILE -->` before a
//! console block says that FILE runs these commands, because they build everything or call this test.
//!
//! With `<!-- up: . -->` a page makes a project of its own, as the reader does: commands run in an empty folder, a block
//! after `<!-- file: PATH -->` is written to that file, and `faasflow up` starts where the page first says so. It rebuilds
//! what the page changes, so an invocation is repeated until it answers as the page says.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

mod console;
mod gateway;
mod manifest;
mod page;

use self::console::Console;
use self::gateway::Up;
use self::page::{Block, OWN, Page};

/// How many pages run at once. They often wait, for example for a gateway that starts or stops.
const PAGES_AT_ONCE: usize = 2;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the root of the repository")
}

fn pages() -> Vec<Page> {
    let root = root();
    let mut paths = Vec::new();
    for folder in ["", "docs", "docs/guide", "docs/reference", "docs/decisions"] {
        paths.extend(files(&root.join(folder)));
    }
    for example in std::fs::read_dir(root.join("examples")).expect("there are examples").flatten() {
        paths.extend(files(&example.path()));
    }
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "md"));
    paths.sort();
    paths.iter().map(|path| Page::read(&root, path)).collect()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

#[test]
fn every_block_is_in_a_tested_language() {
    let pages = pages();
    assert!(pages.iter().filter(|page| page.name.starts_with("docs/guide/")).count() >= 10, "the guide is not found");
    for block in pages.iter().flat_map(|page| &page.blocks) {
        let known = ["rust", "console", "yaml", "json", "text"];
        assert!(known.contains(&block.language.as_str()), "{}: nothing tests `{}`", block.place, block.language);
    }
}

#[test]
fn every_rust_block_is_a_doc_test() {
    let source = |path: &str| std::fs::read_to_string(root().join(path)).expect("the facade's sources");
    let facade = source("crates/faasflow/src/lib.rs") + &source("crates/faasflow/src/guide.rs");
    for page in pages() {
        // The tests build the file of a project with that project.
        for block in page.blocks.iter().filter(|block| block.language == "rust" && block.file.is_none()) {
            // The facade reads the guide through a link in its own folder.
            let included = format!("/{}\")", page.name.strip_prefix("docs/").unwrap_or(&page.name));
            assert!(facade.contains(&included), "{}: the facade does not include this page", block.place);
            let tested = block.attributes.iter().all(|attribute| ["no_run", "should_panic"].contains(&&**attribute));
            assert!(tested, "{}: only `no_run` and `should_panic` are tests", block.place);
        }
    }
}

/// `faas-cli` takes a stack file of the folder before it looks at the options that describe a single function, so such a
/// command does nothing of what it says in a folder that has one.
#[test]
fn i5_commands_for_one_function_are_used_only_in_folders_without_a_stack_file() {
    let mut found = 0;
    for page in pages() {
        let mut folder = ".".to_owned();
        for block in page.blocks.iter().filter(|block| ["text", "console"].contains(&block.language.as_str())) {
            for line in block.text.lines().map(|line| line.trim_start_matches("$ ")) {
                if let Some(other) = line.strip_prefix("cd ") {
                    folder = other.to_owned();
                }
                if line.starts_with("faas-cli deploy") && line.contains("--image") {
                    found += 1;
                    assert!(folder.starts_with("build/"), "{}: `{line}` is run beside the stack file", block.place);
                }
                // Nor does a file that another step of the page did not write.
                assert!(
                    !line.starts_with("faas-cli up -f"),
                    "{}: which file there is depends on who wrote it",
                    block.place
                );
            }
        }
    }
    assert!(found > 0, "no such command is in the documentation; remove this test");
}

#[test]
fn every_json_block_is_json() {
    for page in pages() {
        for block in page.blocks.iter().filter(|block| block.language == "json") {
            let read = serde_json::from_str::<serde_json::Value>(&block.text);
            assert!(read.is_ok(), "{}: {}", block.place, read.unwrap_err());
        }
    }
}

#[test]
fn every_yaml_block_is_a_stack_an_environment_file_or_a_manifest() {
    for page in pages() {
        for block in page.blocks.iter().filter(|block| block.language == "yaml") {
            match manifest::is_one(block) {
                true => manifest::check(&root(), block),
                false => read_yaml(block),
            }
        }
    }
}

/// Folders that the block names as handlers are made, since only the file is at issue here.
fn read_yaml(block: &Block) {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |path: &str, text: &str| {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().expect("a file is in a folder")).expect("a folder");
        std::fs::write(path, text).expect("a file");
    };
    for line in block.text.lines() {
        if let Some(handler) = line.trim().strip_prefix("handler: ") {
            write(&format!("{handler}/Cargo.toml"), "");
            write(&format!("{handler}/flow.yml"), "environment: {}\n");
        }
    }
    if block.text.lines().any(|line| line == "functions:") {
        write("flow.yml", "environment:\n  gateway: gateway.openfaas:8080\n");
        write("stack.yml", &block.text);
    } else {
        write("flow.yml", &block.text);
        write("stack.yml", "functions:\n  f:\n    fprocess: cat\n    environment_file: [flow.yml]\n");
    }
    let read = faasflow_gateway::Stack::read(folder.path());
    let stack = read.unwrap_or_else(|error| panic!("{}: {error}", block.place));
    // Settings of flows must be ones that a flow would start with.
    for spec in stack.functions.values() {
        let mut words = spec.process.as_deref().unwrap_or_default().split(' ');
        if words.next() == Some("faasflow") {
            manifest::assert_command(&block.place, &words.collect::<Vec<_>>());
        }
        let settings = faasflow_runtime::Config::load(|name| {
            let value = match name {
                "workflow_name" => "f".to_owned(),
                name => spec.environment.get(name)?.clone(),
            };
            Some(faasflow_runtime::config::SettingValue { value, origin: String::new() })
        });
        assert!(settings.is_ok(), "{}: {}", block.place, settings.unwrap_err());
    }
}

#[test]
fn every_command_prints_what_the_page_says() {
    let mut pages = pages();
    pages.retain(|page| page.blocks.iter().any(|block| block.language == "console"));
    // A page that builds its own project takes longest, so it comes first.
    pages.sort_by_key(|page| page.up.as_deref() != Some(OWN));
    let next = AtomicUsize::new(0);
    let work = || {
        let mut failures = Vec::new();
        while let Some(page) = pages.get(next.fetch_add(1, Ordering::Relaxed)) {
            failures.extend(run(page));
        }
        failures
    };
    let failures = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..PAGES_AT_ONCE).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("no page panics")).collect::<Vec<_>>()
    });
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

/// Runs the commands of a page.
fn run(page: &Page) -> Vec<String> {
    let mut failures = Vec::new();
    let mut console = match page.up.as_deref() {
        Some(OWN) => Console::own(),
        Some(example) => Console::up(Up::start(&root(), example)),
        None => Console::new(&root(), page.example.as_deref()),
    };
    for block in &page.blocks {
        match (&block.file, &block.run_by) {
            (Some(file), _) => console.write(file, &block.text),
            _ if block.language != "console" => {}
            (None, Some(file)) => failures.extend(run_elsewhere(block, file)),
            (None, None) => failures.extend(console.run(block)),
        }
    }
    failures
}

fn run_elsewhere(block: &Block, file: &str) -> Vec<String> {
    // A source archive comes without the continuous integration, and nothing runs it there.
    if !root().join(file).parent().is_some_and(Path::is_dir) {
        return Vec::new();
    }
    let Ok(text) = std::fs::read_to_string(root().join(file)) else {
        return vec![format!("{}: {file} is to run this, and is not there", block.place)];
    };
    let commands = block.text.lines().filter_map(|line| line.strip_prefix("$ "));
    let absent = commands.filter(|command| !text.contains(command));
    absent.map(|command| format!("{}: {file} does not run `{command}`", block.place)).collect()
}

/// The reference and the flow function must not drift apart: same settings, same order, same defaults.
#[test]
fn the_reference_has_every_setting_with_its_default() {
    let page = std::fs::read_to_string(root().join("docs/reference/configuration.md")).expect("the reference");
    let table = page.split("|---|---|---|\n").nth(1).expect("the table of settings");
    let written: Vec<(&str, &str)> = table
        .lines()
        .map_while(|line| {
            let mut cells = line.strip_prefix("| ")?.split(" | ");
            Some((cells.next()?.trim_matches('`'), cells.next()?))
        })
        .collect();
    let settings = faasflow_runtime::Config::settings(|_| None);
    let names: Vec<&str> = settings.iter().map(|setting| setting.name).collect();
    assert_eq!(written.iter().map(|(name, _)| *name).collect::<Vec<_>>(), names);
    for (setting, (name, default)) in settings.iter().zip(written) {
        match (name, setting.value.as_str()) {
            // These have no fixed default.
            ("workflow_name" | "RUST_LOG" | "drain_time", _) => {}
            (_, "") => assert_eq!(default, "none", "{name}"),
            (_, value) => assert_eq!(default, format!("`{value}`"), "{name}"),
        }
    }
}
