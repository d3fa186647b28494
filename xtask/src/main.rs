//! Development tasks. `cargo xtask` lists them.

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

use crate::command::Profile;

const HELP: &str = "\
Usage: cargo xtask COMMAND

  check                        check the invariants of ARCHITECTURE.md
  e2e SUITE                    run a test suite on real servers: image, kubernetes, openfaas, state, tracing, ui
  e2e image --short            the part of the image suite that CI runs
  e2e image --functions        its checks of container functions under `faasflow up`
  e2e image --podman           those of them that run with Podman
  e2e ui --release             the ui suite on release builds, for the times that it prints
  e2e install                  install everything the suites need (each suite also does this itself)
  bench [--quick] [--only NAME...] [--json FILE] [--soak] [--peers]
                               run the benchmarks and print tables; --soak measures memory under long loads; --peers
                               measures Restate and goflow, which it installs with npm and Go into target/tools
  chaos [--graph STORE] [--requests N] [--kills K] [--seed S] [--release]
                               kill the gateway, a flow and a function at random under load, and report what happened
                               to each request
  package [--quick]            package the published crates, build each from its package, and test a new project
                               against them; --quick builds only what that project needs
  platforms                    type-check the library and the command line for macOS and Windows
  release [--draft]            build the archives, checksums, SBOMs and notes of a release, as RELEASE.md describes
  pictures [--check]           run the demo and create the pictures in the README from it; --check compares them with
                               the committed ones
  fuzz [--seconds N]           fuzz the parsers of untrusted input, N seconds for each target (default: 30)

Exit codes: 0 success, 1 failure, 2 the command line is wrong";

/// The suites that need real servers.
const SUITES: [&str; 6] = ["image", "kubernetes", "openfaas", "state", "tracing", "ui"];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        [] | ["help" | "--help" | "-h"] => {
            println!("{HELP}");
            return ExitCode::SUCCESS;
        }
        ["check"] => check::run(&root()),
        ["e2e", suite] if SUITES.contains(suite) || *suite == "install" => e2e(&[suite], Profile::Debug),
        ["e2e", "image", part @ ("--short" | "--functions" | "--podman")] => e2e(&["image", part], Profile::Debug),
        ["e2e", "ui", "--release"] => e2e(&["ui"], Profile::Release),
        ["e2e", ..] => return wrong(&format!("`e2e` needs the name of a suite: {}", SUITES.join(", "))),
        ["bench", rest @ ..] if rest.contains(&"--help") || rest.contains(&"-h") => {
            println!("{}\n\nTables: {}.", bench::HELP, bench::TABLES.join(", "));
            return ExitCode::SUCCESS;
        }
        ["bench", rest @ ..] => match bench::Options::parse(rest) {
            Ok(options) => bench::run(&root(), &options),
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
            Err(_) => return wrong(&format!("`--seconds {seconds}`: expected a whole number")),
        },
        _ => return wrong(&format!("unknown command `{}`", words.join(" "))),
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
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package is in a folder of the repository").to_owned()
}

/// Builds the suites and the command line, and runs a suite.
fn e2e(words: &[&str], profile: Profile) -> Result<(), String> {
    let root = root();
    let program = command::build_e2e(&root, profile)?;
    command::run(Command::new(program).current_dir(&root).args(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The commands that `main` matches, from its source.
    fn commands() -> Vec<&'static str> {
        let (_, arms) = include_str!("main.rs").split_once("match words.as_slice() {").unwrap();
        let (arms, _) = arms.split_once("        _ => ").unwrap();
        arms.lines().filter_map(|line| line.trim().strip_prefix("[\"")?.split('"').next()).collect()
    }

    #[test]
    fn each_command_begins_a_line_of_the_help() {
        let listed: Vec<&str> = HELP.lines().filter_map(|line| line.strip_prefix("  ")?.split(' ').next()).collect();
        let commands = commands();
        assert!(commands.contains(&"check") && commands.contains(&"fuzz"), "{commands:?}");
        for command in &commands {
            assert!(listed.contains(command), "`{command}` begins no line of the help:\n{HELP}");
        }
        for word in listed {
            assert!(word.is_empty() || commands.contains(&word), "the help lists `{word}`, which is no command");
        }
    }
}
