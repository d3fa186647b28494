//! The project's own chores. `cargo xtask` says which.

mod bench;
mod chaos;
mod check;
mod command;
mod fuzz;
mod package;
mod pictures;
mod platforms;
mod release;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

const HELP: &str = "\
cargo xtask COMMAND

  check                        keep the invariants of ARCHITECTURE.md
  e2e SUITE                    run a suite on real servers: image, kubernetes, openfaas, state, tracing
  e2e image --short            of the suite that builds and runs images in a Docker engine, what CI has time for
  e2e image --functions        of the same, functions that are images under faasflow up
  e2e image --podman           of these, the part that runs with Podman
  e2e install                  install what the suites need, which each does by itself too
  bench [--quick] [--only NAME] [--json FILE] [--soak] [--peers]
                               print the benchmark tables; with --soak, what memory does under a long load; with
                               --peers, the same chain on Restate and goflow, installed with npm and Go into target/tools
  chaos [--requests N] [--kills K] [--seed S] [--release]
                               kill gateway, flow and function at random under a load, and tell what became of the requests
  package [--quick]            package the published crates, build each from its package, and test a new project against
                               them; with --quick, build only what that project needs
  platforms                    type-check the library and the command line for macOS and Windows
  release [--draft]            make the archives, checksums, SBOMs and notes of a release, as RELEASE.md says
  pictures [--check]           run the demo and make the pictures in the README from it; with --check, compare them with
                               the committed ones
  fuzz [--seconds N]           fuzz what reads bytes from outside; N for each target, 30 unless said

Exit codes: 0 done, 1 it failed, 2 the command line is wrong.";

/// The suites that need real servers.
const SUITES: [&str; 5] = ["image", "kubernetes", "openfaas", "state", "tracing"];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        [] | ["help" | "--help" | "-h"] => {
            println!("{HELP}");
            return ExitCode::SUCCESS;
        }
        ["check"] => check::run(&root()),
        ["e2e", suite] if SUITES.contains(suite) || *suite == "install" => e2e(&[suite]),
        ["e2e", "image", part @ ("--short" | "--functions" | "--podman")] => e2e(&["image", part]),
        ["e2e", ..] => return wrong(&format!("name one suite: {}", SUITES.join(", "))),
        ["bench", rest @ ..] if rest.contains(&"--help") || rest.contains(&"-h") => {
            println!("{}\n\nTables: {}.", bench::HELP, bench::TABLES.join(", "));
            return ExitCode::SUCCESS;
        }
        ["bench", rest @ ..] => match bench::Asked::parse(rest) {
            Ok(asked) => bench::run(&root(), &asked),
            Err(why) => return wrong(&why),
        },
        ["chaos", rest @ ..] if rest.contains(&"--help") || rest.contains(&"-h") => {
            println!("{}", chaos::HELP);
            return ExitCode::SUCCESS;
        }
        ["chaos", rest @ ..] => return chaos::run(&root(), rest),
        ["package"] => package::run(&root(), false),
        ["package", "--quick"] => package::run(&root(), true),
        ["platforms"] => platforms::run(&root()),
        ["release", "--help" | "-h"] => {
            println!("{}", release::HELP);
            return ExitCode::SUCCESS;
        }
        ["release"] => release::run(&root(), false),
        ["release", "--draft"] => release::run(&root(), true),
        ["pictures"] => pictures::run(&root(), false),
        ["pictures", "--check"] => pictures::run(&root(), true),
        ["fuzz"] => fuzz::run(&root(), 30),
        ["fuzz", "--seconds", seconds] => match seconds.parse() {
            Ok(seconds) => fuzz::run(&root(), seconds),
            Err(_) => return wrong(&format!("`--seconds {seconds}`: write a number of seconds")),
        },
        _ => return wrong(&format!("there is no `{}`", words.join(" "))),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("xtask: {why}");
            ExitCode::FAILURE
        }
    }
}

fn wrong(what: &str) -> ExitCode {
    eprintln!("xtask: {what}\n\n{HELP}");
    ExitCode::from(2)
}

/// The root of the checkout.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Builds the suites, whose servers and flows are programs beside each other, and runs one.
fn e2e(words: &[&str]) -> Result<(), String> {
    let root = root();
    command::run(Command::new("cargo").current_dir(&root).args([
        "build",
        "--quiet",
        "--package",
        "faasflow-e2e",
        "--package",
        "faasflow-cli",
    ]))?;
    let program = command::target_folder(&root)?.join("debug/faasflow-e2e");
    command::run(Command::new(program).current_dir(&root).args(words))
}
