//! Runs console blocks and compares.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::MutexGuard;
use std::time::{Duration, Instant};

use super::gateway::{Folder, Up};
use super::page::Block;
use crate::support::share_build;

/// The gateway as pages name it.
const NAMED: &str = "127.0.0.1:8080";
/// How long a command is repeated. What goes through the queue, or is being built, takes a while.
const PATIENCE: Duration = Duration::from_secs(600);

pub(crate) struct Console {
    place: Location,
    /// Whether the page makes its own project.
    own: bool,
    /// While that project runs: keeps other tests from building theirs.
    guard: Option<MutexGuard<'static, ()>>,
}

/// Where commands run.
enum Location {
    /// In the folder of a gateway, which they talk to.
    Up(Up),
    /// In a folder without one.
    Folder(Folder),
}

impl Console {
    /// Commands run in the folder of the gateway.
    pub(crate) fn up(up: Up) -> Console {
        Console { place: Location::Up(up), own: false, guard: None }
    }

    /// Commands run in a copy of the example, or in an empty folder.
    pub(crate) fn new(root: &Path, example: Option<&str>) -> Console {
        let folder = example.map_or_else(Folder::empty, |example| Folder::copy(root, example));
        Console { place: Location::Folder(folder), own: false, guard: None }
    }

    /// Commands run in an empty folder, where the page makes a project and starts a gateway.
    pub(crate) fn own() -> Console {
        Console { place: Location::Folder(Folder::empty()), own: true, guard: None }
    }

    /// Writes a file of the page's project.
    pub(crate) fn write(&self, file: &str, text: &str) {
        assert!(self.own, "{file}: only a page with `up: .` has files");
        std::fs::write(self.folder().join(file), text).expect("the page's file is in a folder that its commands make");
    }

    /// Runs the commands of a block, and returns a message for each whose output differs from the block.
    pub(crate) fn run(&mut self, block: &Block) -> Vec<String> {
        let commands = commands(&block.text);
        if commands.is_empty() {
            return vec![format!("{}: a console block without a line that begins with `$ `", block.place)];
        }
        let mut failures = Vec::new();
        for (command, expected) in commands {
            self.prepare(&command);
            let deadline = Instant::now() + PATIENCE;
            loop {
                let printed = self.execute(&command);
                if matches(&expected, &printed) {
                    break;
                }
                if !self.may_repeat(&command) || Instant::now() > deadline {
                    let place = &block.place;
                    failures.push(format!("{place}: `{command}` should print\n{expected}\nbut prints\n{printed}"));
                    break;
                }
                std::thread::sleep(Duration::from_millis(100));
            }
        }
        failures
    }

    /// In a page that makes its own project: starts the gateway where the page does.
    fn prepare(&mut self, command: &str) {
        let Location::Folder(folder) = &mut self.place else { return };
        if !self.own || command != "faasflow up" {
            return;
        }
        let mut entries = std::fs::read_dir(&folder.path).expect("the folder").flatten().map(|entry| entry.path());
        let project = entries.find(|path| path.join(".cargo/config.toml").is_file());
        self.guard = project.map(|project| share_build(&project));
        let folder = std::mem::replace(folder, Folder::empty());
        self.place = Location::Up(Up::start_in(folder, &[]));
    }

    /// Whether a command may be repeated until it prints what the page shows. That goes for commands that only read, and for
    /// an invocation in the page's own project, which may come before the flow has been rebuilt.
    fn may_repeat(&self, command: &str) -> bool {
        let asking = ["faasflow up", "faasflow logs", "faasflow queue list", "faasflow queue dead-letters", "cat "];
        asking.iter().any(|start| command.starts_with(start))
            || command.contains("/system/")
            || self.own && command.contains("| faasflow invoke ")
    }

    fn folder(&self) -> &Path {
        match &self.place {
            Location::Up(up) => &up.folder.path,
            Location::Folder(folder) => &folder.path,
        }
    }

    /// What a command prints, to both outputs together. `faasflow up` runs already, so it prints what it has written so far.
    fn execute(&self, command: &str) -> String {
        let (address, printed_so_far) = match &self.place {
            Location::Up(up) => (up.address.as_str(), (command == "faasflow up").then(|| up.printed())),
            Location::Folder(_) => ("127.0.0.1:9", None),
        };
        let printed = printed_so_far.unwrap_or_else(|| {
            let program = Path::new(env!("CARGO_BIN_EXE_faasflow"));
            let programs = program.parent().expect("a program is in a folder").display();
            let output = Command::new("bash")
                .args(["-c", &format!("exec 2>&1; PATH={programs}:$PATH\n{}", command.replace(NAMED, address))])
                .current_dir(self.folder())
                .env("OPENFAAS_URL", format!("http://{address}"))
                .stdin(Stdio::null())
                .output()
                .expect("bash runs");
            String::from_utf8_lossy(&output.stdout).into_owned()
        });
        printed.replace(address, NAMED).replace(&format!(" --gateway http://{NAMED}"), "")
    }
}

/// The commands of a block, each with what it is to print.
fn commands(text: &str) -> Vec<(String, String)> {
    let mut commands: Vec<(String, String)> = Vec::new();
    let mut continued = false;
    for line in text.lines() {
        match (line.strip_prefix("$ "), commands.last_mut()) {
            (Some(command), _) => commands.push((command.to_owned(), String::new())),
            (None, Some((command, _))) if continued => command.push_str(&format!("\n{line}")),
            (None, Some((_, expected))) => expected.push_str(&format!("{line}\n")),
            (None, None) => panic!("a console block begins with `$ `: {text}"),
        }
        continued = (continued || line.starts_with("$ ")) && line.ends_with('\\');
    }
    commands
}

/// `[..]` is anything within a line, a line `...` any lines.
fn matches(expected: &str, printed: &str) -> bool {
    let expected: Vec<&str> = expected.trim_end().lines().collect();
    let printed: Vec<&str> = printed.trim_end().lines().collect();
    lines_match(&expected, &printed)
}

fn lines_match(expected: &[&str], printed: &[&str]) -> bool {
    match (expected.split_first(), printed.split_first()) {
        (None, None) => true,
        (Some((&"...", rest)), _) => (0..=printed.len()).any(|skipped| lines_match(rest, &printed[skipped..])),
        (Some((line, rest)), Some((shown, others))) => line_matches(line, shown) && lines_match(rest, others),
        _ => false,
    }
}

fn line_matches(expected: &str, printed: &str) -> bool {
    let printed = printed.trim_end();
    let mut parts = expected.trim_end().split("[..]");
    let Some(mut rest) = printed.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.len() >= last.len() && rest.ends_with(last)
}

#[test]
fn wildcards() {
    for (expected, printed, same) in [
        ("a", "a\n", true),
        ("a", "b", false),
        ("a[..]c", "abc", true),
        ("a[..]c", "abcd", false),
        ("[..]b[..]", "abc", true),
        ("a[..]a", "a", false),
        ("...\nb", "a\na\nb", true),
        ("...\nb", "a\nb\nc", false),
        ("a\n...", "a", true),
        ("", "a", false),
        ("a", "", false),
    ] {
        assert_eq!(matches(expected, printed), same, "{expected:?} {printed:?}");
    }
}
