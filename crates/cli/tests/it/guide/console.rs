//! Runs console blocks and compares.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::gateway::{Up, copy};
use super::page::Block;

/// The gateway as pages name it.
const NAMED: &str = "127.0.0.1:8080";
/// What works through a queue may take a while to come out as the page says: until then a command is run again.
const PATIENCE: Duration = Duration::from_secs(600);

pub(crate) struct Console<'a> {
    up: Option<&'a Up>,
    folder: Option<TempDir>,
}

impl<'a> Console<'a> {
    /// Commands run in the folder of the gateway, in a copy of the example, or in an empty folder.
    pub(crate) fn new(root: &Path, up: Option<&'a Up>, example: Option<&str>) -> Console<'a> {
        let folder = match (up, example) {
            (Some(_), _) => None,
            (None, Some(example)) => Some(copy(root, example)),
            (None, None) => Some(tempfile::tempdir().expect("a folder")),
        };
        Console { up, folder }
    }

    /// Returns what went otherwise than the block says.
    pub(crate) fn run(&self, block: &Block) -> Vec<String> {
        let commands = commands(&block.text);
        if commands.is_empty() {
            return vec![format!("{}: a console block without a line that begins with `$ `", block.place)];
        }
        let mut failures = Vec::new();
        for (command, expected) in commands {
            let deadline = Instant::now() + PATIENCE;
            loop {
                let printed = self.execute(&command);
                if matches(&expected, &printed) {
                    break;
                }
                // Only what asks may be asked again.
                let asking =
                    ["faasflow up", "faasflow logs", "faasflow queue list", "faasflow queue dead-letters", "cat "];
                let asks = asking.iter().any(|start| command.starts_with(start)) || command.contains("/system/");
                if !asks || Instant::now() > deadline {
                    let place = &block.place;
                    failures.push(format!("{place}: `{command}` is to print\n{expected}\nand prints\n{printed}"));
                    break;
                }
                std::thread::sleep(Duration::from_millis(100));
            }
        }
        failures
    }

    /// What a command prints, both outputs together. `faasflow up` runs already: it is what that has said.
    fn execute(&self, command: &str) -> String {
        let address = self.up.map_or("127.0.0.1:9", |up| &up.address);
        let printed = match (command, self.up) {
            ("faasflow up", Some(up)) => up.said(),
            _ => {
                let program = Path::new(env!("CARGO_BIN_EXE_faasflow"));
                let programs = program.parent().expect("a program is in a folder").display();
                let folder = self.up.map(|up| &up.folder).or(self.folder.as_ref()).expect("there is a folder");
                let output = Command::new("bash")
                    .args(["-c", &format!("exec 2>&1; PATH={programs}:$PATH\n{}", command.replace(NAMED, address))])
                    .current_dir(folder.path())
                    .env("OPENFAAS_URL", format!("http://{address}"))
                    .stdin(Stdio::null())
                    .output()
                    .expect("bash runs");
                String::from_utf8_lossy(&output.stdout).into_owned()
            }
        };
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
