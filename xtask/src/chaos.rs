//! Builds what the chaos run needs, and becomes it.

use std::path::Path;
use std::process::{Command, ExitCode};

use crate::command;

/// What `chaos --help` says.
pub(crate) const HELP: &str = "\
cargo xtask chaos [--requests N] [--kills K] [--seed S] [--release]

Sends N requests through a flow of six asynchronous phases behind `faasflow up`, kills gateway, flow and function K times at
random with SIGKILL, and tells what became of each request: accepted, ended, lost, ended in two ways, failed by a kill; and how
often a step was executed more than once. docs/reliability.md says what is promised.

  --requests N   how many requests; 1000 unless said
  --kills K      how many kills; 15 unless said
  --seed S       the same kills as another run; another each time unless said
  --release      optimised programs, for long runs

Exit codes: 0 nothing was lost, failed or ended in two ways, 1 something was, or it could not be run, 2 the command line is wrong.";

/// Builds the programs and runs them with the words that are left.
pub(crate) fn run(root: &Path, words: &[&str]) -> ExitCode {
    let release = words.contains(&"--release");
    let words: Vec<&str> = words.iter().copied().filter(|word| *word != "--release").collect();
    let built = (|| {
        let mut cargo = Command::new("cargo");
        cargo.current_dir(root).args(["build", "--quiet", "--package", "faasflow-e2e", "--package", "faasflow-cli"]);
        if release {
            cargo.arg("--release");
        }
        command::run(&mut cargo)?;
        let folder = if release { "release" } else { "debug" };
        Ok::<_, String>(command::target_folder(root)?.join(folder).join("faasflow-e2e"))
    })();
    let status = built.and_then(|program| {
        let mut chaos = Command::new(&program);
        let status = chaos.current_dir(root).arg("chaos").args(words).status();
        status.map_err(|error| format!("{} cannot be run: {error}", program.display()))
    });
    match status {
        // Whoever interrupts it ends it by a signal, which is no code.
        Ok(status) => ExitCode::from(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1)),
        Err(why) => {
            eprintln!("xtask: {why}");
            ExitCode::FAILURE
        }
    }
}
