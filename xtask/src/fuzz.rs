//! Fuzzes what reads bytes from outside, by cargo-fuzz where it can be had.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::command;

const CARGO_FUZZ: &str = "0.13.2";
const TARGETS: [&str; 2] = ["envelope", "signature"];

/// Runs every target for so many seconds.
///
/// # Errors
///
/// If a target finds something, or nothing can be run.
pub(crate) fn run(root: &Path, seconds: u64) -> Result<(), String> {
    match tool(root) {
        Ok(cargo_fuzz) => {
            println!("Fuzzing by cargo-fuzz {CARGO_FUZZ}, guided by coverage: {seconds} s for each target.");
            for target in TARGETS {
                let limit = format!("-max_total_time={seconds}");
                let mut fuzz = Command::new("rustup");
                fuzz.current_dir(root).args(["run", "nightly"]).arg(&cargo_fuzz);
                // The folder of seeds comes second: what is found new goes to the first.
                let (corpus, seeds) = (format!("fuzz/corpus/{target}"), format!("fuzz/seeds/{target}"));
                std::fs::create_dir_all(root.join(&corpus)).map_err(|error| format!("{corpus}: {error}"))?;
                fuzz.args([
                    "run",
                    "--features",
                    "fuzzer",
                    target,
                    &corpus,
                    &seeds,
                    "--",
                    &limit,
                    "-print_final_stats=1",
                ]);
                command::run(&mut fuzz)?;
            }
            Ok(())
        }
        Err(why) => {
            println!("cargo-fuzz cannot be had here: {why}.");
            println!("Instead, the same targets run on mutated seeds, without guidance by coverage.");
            let mut smash = Command::new("cargo");
            smash.current_dir(root).args(["run", "--release", "--quiet", "--manifest-path", "fuzz/Cargo.toml"]);
            command::run(smash.args(["--bin", "smash", "--", "--seconds", &seconds.to_string()]))
        }
    }
}

/// cargo-fuzz and a nightly toolchain, installed if need be; or why they cannot be had.
fn tool(root: &Path) -> Result<PathBuf, String> {
    let nightly = || command::output(Command::new("rustup").args(["run", "nightly", "rustc", "--version"]));
    if nightly().is_err() {
        println!("Installing a nightly toolchain, which cargo-fuzz needs.");
        command::output(Command::new("rustup").args(["toolchain", "install", "nightly", "--profile", "minimal"]))?;
        nightly()?;
    }
    let place = command::target_folder(root)?.join(format!("tools/cargo-fuzz-{CARGO_FUZZ}"));
    let program = place.join("bin/cargo-fuzz");
    if !program.is_file() {
        println!("Installing cargo-fuzz {CARGO_FUZZ}.");
        let mut install = Command::new("cargo");
        install
            .args(["install", "--locked", "--quiet", "--debug", "cargo-fuzz", "--version", CARGO_FUZZ, "--root"])
            .arg(&place);
        command::output(&mut install)?;
    }
    Ok(program)
}
