//! Builds the benchmarks, a separate workspace, and runs them.

use std::fs::File;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::command;

/// The text of `bench --help`, before the names of the tables.
pub(crate) const HELP: &str = "\
Usage: cargo xtask bench [--quick] [--only NAME... | --soak | --peers] [--json FILE]

Builds the benchmarks like deployed programs and prints a table for each measurement. Each figure stands beside its floor,
the best that the machine allows. The last table shows which of the promised bounds are met. A missed bound is not an error;
a table that cannot be measured is.

  --quick      fewer sizes and shorter rounds: less than four minutes instead of half an hour, and no static program;
               with --soak, 15 seconds of each load
  --only NAME  print this table; repeat it for several
  --soak       instead, measure memory during ten minutes of each load, after ten minutes of warm-up
  --peers      instead, measure the same chain on Restate and goflow, and the same fan-out on Restate; they are installed
               with npm and Go into target/tools: about 15 minutes
  --json FILE  at the end, write the comparable figures to FILE (overwriting it), as rows of name, value, unit, floor and
               samples

Building takes a few more minutes. Without --quick, it needs rustup's musl target and the Debian package musl-tools; they are
installed if rustup and apt-get are available. Tables name anything else that is missing: Redis, MinIO and OpenFaaS's gateway
are measured if `cargo xtask e2e install` has installed them (the gateway uses ports 8080 and 8082), and instructions are
counted if valgrind is in the path.

Exit codes: 0 success, 1 a table could not be measured, 2 the command line is wrong";

/// The names of the tables, as in the program, so that a wrong name is reported before the build.
pub(crate) const TABLES: [&str; 20] = [
    "sync-chain",
    "instructions",
    "gateway",
    "events",
    "async-flow",
    "parallel",
    "fanout",
    "join",
    "start",
    "payload",
    "growth",
    "tracing",
    "state",
    "records",
    "record-hop",
    "record-redis",
    "adaptive",
    "pieces",
    "queue-store",
    "queue-backlog",
];

/// The options of a run.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    quick: bool,
    only: Vec<String>,
    soak: bool,
    peers: bool,
    json: Option<PathBuf>,
}

impl Options {
    /// Parses the arguments after `bench`, or returns what is wrong with them.
    pub(crate) fn parse(words: &[&str]) -> Result<Options, String> {
        let mut options = Options::default();
        let mut words = words.iter().copied();
        while let Some(word) = words.next() {
            let (option, attached) = word.split_once('=').map_or((word, None), |(option, value)| (option, Some(value)));
            let mut value = |what: &str| {
                // An option is not a value. After `=`, a file may have any name.
                let next = || words.next().filter(|word| !word.starts_with('-'));
                let value = attached.or_else(next).filter(|value| !value.is_empty());
                value.map(str::to_owned).ok_or_else(|| format!("`{option}` needs {what}"))
            };
            match (option, attached) {
                ("--quick", None) => options.quick = true,
                ("--soak", None) => options.soak = true,
                ("--peers", None) => options.peers = true,
                ("--only", _) => options.only.push(table(value("the name of a table")?)?),
                ("--json", _) if options.json.is_none() => options.json = Some(value("the name of a file")?.into()),
                ("--json", _) => return Err("`--json` is set twice".to_owned()),
                _ => return Err(format!("`bench` has no option `{word}`")),
            }
        }
        let instead = [("--only", !options.only.is_empty()), ("--soak", options.soak), ("--peers", options.peers)];
        let instead: Vec<&str> = instead.iter().filter(|(_, given)| *given).map(|&(option, _)| option).collect();
        match instead.as_slice() {
            [one, other, ..] => Err(format!("`{one}` and `{other}` cannot be combined")),
            _ => Ok(options),
        }
    }

    /// Whether deployed programs are started and measured.
    fn starts(&self) -> bool {
        !self.soak && !self.peers && (self.only.is_empty() || self.only.iter().any(|only| only == "start"))
    }
}

fn table(name: String) -> Result<String, String> {
    if TABLES.contains(&name.as_str()) {
        return Ok(name);
    }
    Err(format!("there is no table `{name}`; the tables are {}", TABLES.join(", ")))
}

/// Builds the benchmarks and replaces this process with them, so that signals and the exit code are theirs.
///
/// # Errors
///
/// If the file for the figures cannot be written, or the program cannot be built or run.
pub(crate) fn run(root: &Path, options: &Options) -> Result<(), String> {
    // Relative to the current folder; the program runs in the root.
    let json = options.json.as_deref().map(writable).transpose()?;
    let mut cannot = Vec::new();
    let mut fixed = None;
    // All dependencies are compiled again for this, which takes longer than the quick benchmarks.
    if options.starts() && !options.quick {
        match build_static(root) {
            Ok(folder) => fixed = Some(folder),
            Err(why) => cannot.extend(["--no-static".to_owned(), why]),
        }
    }
    // Built separately: only this run needs the dependencies of a peer's SDK, and built together they would enable
    // features of the measured crates.
    if options.peers
        && let Err(why) = build(root, &["--package", "faasflow-benches-peers"])
    {
        cannot.extend(["--no-restate".to_owned(), why]);
    }
    let mut ours = vec!["--package", "faasflow-benches"];
    if options.starts() {
        ours.extend(["--package", "faasflow-benches-deployed"]);
    }
    build(root, &ours).map_err(|why| {
        // Remove the file that was only created to test that it can be written.
        if let Some(file) = json.as_ref().filter(|file| file.metadata().is_ok_and(|file| file.len() == 0)) {
            let _ = std::fs::remove_file(file);
        }
        format!("the benchmarks cannot be built: {why}")
    })?;
    let mut program = Command::new(target_folder(root)?.join("release/faasflow-benches"));
    program.current_dir(root).args(cannot);
    for (option, given) in [("--quick", options.quick), ("--soak", options.soak), ("--peers", options.peers)] {
        program.args(given.then_some(option));
    }
    for (option, file) in [("--json", &json), ("--static", &fixed)] {
        program.args(file.as_ref().map(|_| option)).args(file);
    }
    program.args(options.only.iter().flat_map(|table| ["--only", table]));
    Err(format!("the benchmarks cannot be run: {}", program.exec()))
}

/// The absolute path of a file, if it can be written. Its content stays until there are new figures.
fn writable(file: &Path) -> Result<PathBuf, String> {
    let failed = |error: std::io::Error| format!("{} cannot be written: {error}", file.display());
    let file = std::path::absolute(file).map_err(failed)?;
    File::options().create(true).append(true).open(&file).map_err(failed)?;
    Ok(file)
}

/// Builds the static programs whose start and size are measured. Returns their folder, or why there is none.
fn build_static(root: &Path) -> Result<PathBuf, String> {
    let target = format!("{}-unknown-linux-musl", std::env::consts::ARCH);
    let rustup = || {
        let mut rustup = Command::new("rustup");
        rustup.current_dir(root).arg("target");
        rustup
    };
    // Without rustup, the toolchain may still have the target.
    if let Ok(installed) = command::output(rustup().args(["list", "--installed"]))
        && !installed.lines().any(|line| line == target)
    {
        println!("Installing the target {target} with rustup");
        command::output(rustup().args(["add", &target]))
            .map_err(|_| format!("the target {target} is not installed, and `rustup target add {target}` failed"))?;
    }
    // The usual C compiler for this target.
    if which("musl-gcc").is_none() && which("apt-get").is_some() {
        println!("Installing the Debian package musl-tools");
        let install = |words: &[&str]| {
            let waiting = ["-o", "DPkg::Lock::Timeout=300"];
            command::output(Command::new("apt-get").args(words).args(waiting).env("DEBIAN_FRONTEND", "noninteractive"))
        };
        // If this fails, the build reports what is missing.
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

/// Builds packages of the benchmarks and prints cargo's output. The error is cargo's first one, on one line.
fn build(root: &Path, words: &[&str]) -> Result<(), String> {
    let mut cargo = crate::command::cargo();
    cargo
        .current_dir(root)
        .args(["build", "--quiet", "--color", "never", "--release", "--manifest-path", "benches/Cargo.toml"])
        .args(words);
    let output = cargo.stdout(Stdio::inherit()).output().map_err(|error| format!("cargo cannot be run: {error}"))?;
    let printed = String::from_utf8_lossy(&output.stderr);
    eprint!("{printed}");
    if output.status.success() { Ok(()) } else { Err(first_error(&printed)) }
}

fn first_error(printed: &str) -> String {
    let error = printed.lines().find(|line| line.starts_with("error"));
    error.map_or("cargo gave no reason".to_owned(), |line| line.trim_start_matches("error: ").to_owned())
}

fn target_folder(root: &Path) -> Result<PathBuf, String> {
    command::target_folder(&root.join("benches"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The source of the program, which has the names of the tables.
    const PROGRAM: &str = include_str!("../../benches/src/main.rs");

    #[test]
    fn each_table_is_a_program() {
        let theirs = PROGRAM.split_once("const TABLES").and_then(|(_, rest)| rest.split_once("];")).unwrap().0;
        let theirs = theirs.lines().filter_map(|line| line.trim().strip_prefix("(\"")?.split('"').next());
        assert_eq!(theirs.collect::<Vec<_>>(), TABLES);
    }

    #[test]
    fn arguments_are_parsed() {
        let options = Options::parse(&["--quick", "--only", "start", "--json=there.json"]).unwrap();
        let expected = Options {
            quick: true,
            only: vec!["start".to_owned()],
            json: Some("there.json".into()),
            ..Options::default()
        };
        assert_eq!(options, expected);
        assert_eq!(Options::parse(&[]), Ok(Options::default()));
    }

    #[test]
    fn wrong_arguments_are_refused_before_anything_is_built() {
        for (words, why) in [
            (&["--bad-option"][..], "`bench` has no option `--bad-option`"),
            (&["--quick=yes"], "`bench` has no option `--quick=yes`"),
            (&["start"], "`bench` has no option `start`"),
            (&["--json"], "`--json` needs the name of a file"),
            (&["--json", "--quick"], "`--json` needs the name of a file"),
            (&["--only="], "`--only` needs the name of a table"),
            (&["--only", "pieces", "--soak"], "`--only` and `--soak` cannot be combined"),
            (&["--json", "one", "--json", "two"], "`--json` is set twice"),
            (&["--peers", "--soak"], "`--soak` and `--peers` cannot be combined"),
        ] {
            assert_eq!(Options::parse(words), Err(why.to_owned()));
        }
        assert!(
            Options::parse(&["--only", "nosuch"]).unwrap_err().contains("the tables are sync-chain, instructions, ")
        );
    }

    #[test]
    fn only_tables_that_start_programs_need_them() {
        for (words, starts) in [
            (&[][..], true),
            (&["--only", "start"], true),
            (&["--only", "pieces"], false),
            (&["--soak"], false),
            (&["--peers"], false),
        ] {
            assert_eq!(Options::parse(words).unwrap().starts(), starts, "{words:?}");
        }
    }

    #[test]
    fn the_first_error_is_a_line() {
        let printed = "warning: odd\nerror[E0463]: can't find crate for `core`\n  |\nerror: aborting\n";
        assert_eq!(first_error(printed), "error[E0463]: can't find crate for `core`");
        assert_eq!(first_error("error: linker `musl-gcc` not found\n"), "linker `musl-gcc` not found");
    }

    #[test]
    fn an_unwritable_file_is_reported_before_the_measurement() {
        assert!(writable(Path::new("no-such-folder/figures.json")).unwrap_err().contains("cannot be written"));
    }
}
