//! Builds the chaos test and runs it.

use std::path::Path;
use std::process::{Command, ExitCode};

use crate::command::{self, Profile};

/// The text of `chaos --help`.
pub(crate) const HELP: &str = "\
Usage: cargo xtask chaos [--graph STORE | --records STORE] [--requests N] [--kills K] [--seed S] [--release]

Sends N requests through a flow with six asynchronous phases behind `faasflow up`, and kills the gateway, the flow and a
function K times at random with SIGKILL. Then it reports how many requests were accepted, ended, were lost, ended twice
with different results, or failed because of a kill, and how often steps ran more than once. Each repetition of a step must
have a kill of its own between the first execution and the last; without a store, a kill may explain two.
docs/reliability.md states what is guaranteed.

  --graph STORE    use a flow that forks into eight branches instead. One of them has a for-each of 20 items. The store
                   for its joins is `gateway`, the store of `faasflow up`, or `redis` or `s3` (MinIO), which are installed
  --records STORE  remember the requests of the flow in one of these stores
  --requests N     the number of requests (default: 1000; with --graph, 60)
  --kills K        the number of kills (default: 15; with --graph, 8)
  --seed S         repeat the kills of an earlier run (default: a new seed each time)
  --release        use release builds, for long runs

Exit codes: 0 no request was lost, failed or ended twice, and no step was repeated without a kill; 1 otherwise, or if the test
could not run; 2 the command line is wrong";

/// Builds the programs, and runs the test with the remaining arguments.
pub(crate) fn run(root: &Path, words: &[&str]) -> ExitCode {
    let profile = if words.contains(&"--release") { Profile::Release } else { Profile::Debug };
    let words: Vec<&str> = words.iter().copied().filter(|word| *word != "--release").collect();
    let built = command::build_e2e(root, profile);
    let status = built.and_then(|program| {
        let mut chaos = Command::new(&program);
        let status = chaos.current_dir(root).arg("chaos").args(words).status();
        status.map_err(|error| format!("`{}` cannot be run: {error}", program.display()))
    });
    match status {
        // If a signal ended it, there is no code.
        Ok(status) => ExitCode::from(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1)),
        Err(why) => {
            eprintln!("xtask: {why}");
            ExitCode::FAILURE
        }
    }
}
