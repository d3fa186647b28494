//! Builds the benchmarks, a workspace of their own, and becomes them.

use std::fs::File;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::command;

/// What `bench --help` says, before the names of the tables.
pub(crate) const HELP: &str = "\
cargo xtask bench [--quick] [--only NAME | --soak | --peers] [--json FILE]

Builds the benchmarks as programs are built that are deployed, and prints a table for each thing that is measured, every
figure beside its floor, and at last which of the promised bounds are met. A missed bound is no error; a table that cannot
be measured is.

  --quick      fewer sizes and shorter rounds: less than four minutes instead of half an hour, and no static program;
               with --soak a quarter of a minute of each load
  --only NAME  one table
  --soak       instead, what memory does under ten minutes of each load, after ten that do not count
  --peers      instead, the same chain on Restate and goflow, installed with npm and Go into target/tools: a quarter of an
               hour
  --json FILE  at the end, writes the figures that are compared to FILE, over what is in it, as rows of name, value, unit,
               floor and samples

To build them takes minutes besides. Without --quick that needs rustup's target for musl and the Debian package musl-tools,
which are installed where rustup and apt-get can. What else the machine lacks is said below a table: Redis, MinIO and OpenFaaS's
gateway are measured where `cargo xtask e2e install` has put them, the latter on ports 8080 and 8082, instructions where
valgrind is in the path.

Exit codes: 0 done, 1 a table could not be measured, 2 the command line is wrong.";

/// The tables, as the program has them: what is wrong is to be said before it is built.
pub(crate) const TABLES: [&str; 12] = [
    "sync-chain",
    "instructions",
    "gateway",
    "async-flow",
    "start",
    "payload",
    "growth",
    "tracing",
    "state",
    "pieces",
    "queue-store",
    "queue-backlog",
];

/// What is to be measured.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Asked {
    quick: bool,
    only: Option<String>,
    soak: bool,
    peers: bool,
    json: Option<PathBuf>,
}

impl Asked {
    /// Reads the words after `bench`; or says what is wrong with them.
    pub(crate) fn parse(words: &[&str]) -> Result<Asked, String> {
        let mut asked = Asked::default();
        let mut words = words.iter().copied();
        while let Some(word) = words.next() {
            let (option, attached) = word.split_once('=').map_or((word, None), |(option, value)| (option, Some(value)));
            let mut value = |what: &str| {
                // A word that is an option is none; with `=`, a file may have any name.
                let next = || words.next().filter(|word| !word.starts_with('-'));
                let value = attached.or_else(next).filter(|value| !value.is_empty());
                value.map(str::to_owned).ok_or_else(|| format!("`{option}` needs {what}"))
            };
            match (option, attached) {
                ("--quick", None) => asked.quick = true,
                ("--soak", None) => asked.soak = true,
                ("--peers", None) => asked.peers = true,
                ("--only", _) if asked.only.is_none() => asked.only = Some(table(value("the name of a table")?)?),
                ("--json", _) if asked.json.is_none() => asked.json = Some(value("the name of a file")?.into()),
                ("--only" | "--json", _) => return Err(format!("`{option}` is there twice")),
                _ => return Err(format!("`bench` does not know `{word}`")),
            }
        }
        let instead = [("--only", asked.only.is_some()), ("--soak", asked.soak), ("--peers", asked.peers)];
        let instead: Vec<&str> = instead.iter().filter(|(_, given)| *given).map(|&(option, _)| option).collect();
        match instead.as_slice() {
            [one, other, ..] => Err(format!("`{one}` and `{other}` do not go together")),
            _ => Ok(asked),
        }
    }

    /// Whether programs are started and weighed as they would be deployed.
    fn starts(&self) -> bool {
        !self.soak && !self.peers && self.only.as_deref().is_none_or(|only| only == "start")
    }
}

fn table(name: String) -> Result<String, String> {
    if TABLES.contains(&name.as_str()) {
        return Ok(name);
    }
    Err(format!("there is no table `{name}`; there are {}", TABLES.join(", ")))
}

/// Builds what is needed, and becomes the program that measures: a signal is its own to see to, and so is the exit code.
///
/// # Errors
///
/// If the file of the figures cannot be written, or the program not be built or run.
pub(crate) fn run(root: &Path, asked: &Asked) -> Result<(), String> {
    // Relative to whoever asks: the program runs in the root.
    let json = asked.json.as_deref().map(writable).transpose()?;
    let mut cannot = Vec::new();
    let mut fixed = None;
    // All that they need is compiled once more for it, which takes longer than the quick benchmarks.
    if asked.starts() && !asked.quick {
        match build_static(root) {
            Ok(folder) => fixed = Some(folder),
            Err(why) => cannot.extend(["--no-static".to_owned(), why]),
        }
    }
    // What a peer's SDK brings with it, nobody else compiles; and built together, it would switch on features of what
    // is measured.
    if asked.peers
        && let Err(why) = build(root, &["--package", "faasflow-benches-peers"])
    {
        cannot.extend(["--no-restate".to_owned(), why]);
    }
    let mut ours = vec!["--package", "faasflow-benches"];
    if asked.starts() {
        ours.extend(["--package", "faasflow-benches-deployed"]);
    }
    build(root, &ours).map_err(|why| {
        // What was only made to see whether it can be written.
        if let Some(file) = json.as_ref().filter(|file| file.metadata().is_ok_and(|file| file.len() == 0)) {
            let _ = std::fs::remove_file(file);
        }
        format!("the benchmarks cannot be built: {why}")
    })?;
    let mut program = Command::new(target_folder(root)?.join("release/faasflow-benches"));
    program.current_dir(root).args(cannot);
    for (option, given) in [("--quick", asked.quick), ("--soak", asked.soak), ("--peers", asked.peers)] {
        program.args(given.then_some(option));
    }
    for (option, file) in [("--json", &json), ("--static", &fixed)] {
        program.args(file.as_ref().map(|_| option)).args(file);
    }
    program.args(asked.only.as_ref().map(|_| "--only")).args(&asked.only);
    Err(format!("the benchmarks cannot be run: {}", program.exec()))
}

/// The same file by its whole path, if it can be written. What is in it stays until there is something else to write.
fn writable(file: &Path) -> Result<PathBuf, String> {
    let failed = |error: std::io::Error| format!("{} cannot be written: {error}", file.display());
    let file = std::path::absolute(file).map_err(failed)?;
    File::options().create(true).append(true).open(&file).map_err(failed)?;
    Ok(file)
}

/// Builds what is started and weighed as a deployed program like one, which is static; the folder it is in, or why
/// there is none.
fn build_static(root: &Path) -> Result<PathBuf, String> {
    let target = format!("{}-unknown-linux-musl", std::env::consts::ARCH);
    let rustup = || {
        let mut rustup = Command::new("rustup");
        rustup.current_dir(root).arg("target");
        rustup
    };
    // Without rustup, the toolchain may have the target all the same.
    if let Ok(installed) = command::output(rustup().args(["list", "--installed"]))
        && !installed.lines().any(|line| line == target)
    {
        println!("Installing the target {target} with rustup.");
        command::output(rustup().args(["add", &target]))
            .map_err(|_| format!("the target {target} is not there, and `rustup target add {target}` fails"))?;
    }
    // What it is compiled with, as a rule.
    if which("musl-gcc").is_none() && which("apt-get").is_some() {
        println!("Installing the Debian package musl-tools.");
        let install = |words: &[&str]| {
            let waiting = ["-o", "DPkg::Lock::Timeout=300"];
            command::output(Command::new("apt-get").args(words).args(waiting).env("DEBIAN_FRONTEND", "noninteractive"))
        };
        // Without it, the build says what is missing.
        if let Err(why) = install(&["-qq", "update"]).and_then(|_| install(&["-qq", "install", "-y", "musl-tools"])) {
            println!("It cannot be installed: {why}");
        }
    }
    let strip = ["--config", "profile.release.strip=true"];
    let words = [["--package", "faasflow-benches-deployed"], ["--target", &target], strip].concat();
    build(root, &words).map_err(|why| {
        format!(
            "{why}; it needs the target {target}, and a C compiler for it, such as the Debian package musl-tools has"
        )
    })?;
    Ok(target_folder(root)?.join(target).join("release"))
}

/// The file of a program, if there is one.
fn which(program: &str) -> Option<PathBuf> {
    let found = command::output(Command::new("sh").args(["-c", r#"command -v "$0""#, program])).ok()?;
    Some(found.trim().into())
}

/// Builds packages of the benchmarks. What cargo says is shown; an error is its first, in a line.
fn build(root: &Path, words: &[&str]) -> Result<(), String> {
    let mut cargo = Command::new("cargo");
    cargo
        .current_dir(root)
        .args(["build", "--quiet", "--color", "never", "--release", "--manifest-path", "benches/Cargo.toml"])
        .args(words);
    let output = cargo.stdout(Stdio::inherit()).output().map_err(|error| format!("cargo cannot be run: {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    eprint!("{said}");
    if output.status.success() { Ok(()) } else { Err(first_error(&said)) }
}

fn first_error(said: &str) -> String {
    let error = said.lines().find(|line| line.starts_with("error"));
    error.map_or("cargo does not say why".to_owned(), |line| line.trim_start_matches("error: ").to_owned())
}

fn target_folder(root: &Path) -> Result<PathBuf, String> {
    command::target_folder(&root.join("benches"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The program's own source, which says what it takes.
    const PROGRAM: &str = include_str!("../../benches/src/main.rs");

    #[test]
    fn the_tables_are_the_programs() {
        let theirs = PROGRAM.split_once("const TABLES").and_then(|(_, rest)| rest.split_once("];")).unwrap().0;
        let theirs = theirs.lines().filter_map(|line| line.trim().strip_prefix("(\"")?.split('"').next());
        assert_eq!(theirs.collect::<Vec<_>>(), TABLES);
    }

    #[test]
    fn words_are_read() {
        let asked = Asked::parse(&["--quick", "--only", "start", "--json=there.json"]).unwrap();
        let expected =
            Asked { quick: true, only: Some("start".to_owned()), json: Some("there.json".into()), ..Asked::default() };
        assert_eq!(asked, expected);
        assert_eq!(Asked::parse(&[]), Ok(Asked::default()));
    }

    #[test]
    fn wrong_words_are_refused_before_anything_is_built() {
        for (words, why) in [
            (&["--bad-option"][..], "`bench` does not know `--bad-option`"),
            (&["--quick=yes"], "`bench` does not know `--quick=yes`"),
            (&["start"], "`bench` does not know `start`"),
            (&["--json"], "`--json` needs the name of a file"),
            (&["--json", "--quick"], "`--json` needs the name of a file"),
            (&["--only="], "`--only` needs the name of a table"),
            (&["--only", "pieces", "--soak"], "`--only` and `--soak` do not go together"),
            (&["--only", "pieces", "--only", "state"], "`--only` is there twice"),
            (&["--peers", "--soak"], "`--soak` and `--peers` do not go together"),
        ] {
            assert_eq!(Asked::parse(words), Err(why.to_owned()));
        }
        assert!(Asked::parse(&["--only", "nosuch"]).unwrap_err().contains("there are sync-chain, instructions, "));
    }

    #[test]
    fn only_what_starts_programs_needs_them() {
        for (words, starts) in [
            (&[][..], true),
            (&["--only", "start"], true),
            (&["--only", "pieces"], false),
            (&["--soak"], false),
            (&["--peers"], false),
        ] {
            assert_eq!(Asked::parse(words).unwrap().starts(), starts, "{words:?}");
        }
    }

    #[test]
    fn the_first_error_is_a_line() {
        let said = "warning: odd\nerror[E0463]: can't find crate for `core`\n  |\nerror: aborting\n";
        assert_eq!(first_error(said), "error[E0463]: can't find crate for `core`");
        assert_eq!(first_error("error: linker `musl-gcc` not found\n"), "linker `musl-gcc` not found");
    }

    #[test]
    fn a_file_that_cannot_be_written_is_known_at_once() {
        assert!(writable(Path::new("no-such-folder/figures.json")).unwrap_err().contains("cannot be written"));
    }
}
