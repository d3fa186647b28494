//! Fuzzes the parsers of untrusted input, with cargo-fuzz if it can be installed.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::command;

const CARGO_FUZZ: &str = "0.13.2";
const TARGETS: [&str; 2] = ["envelope", "signature"];

/// Runs each target for this many seconds.
///
/// # Errors
///
/// If a target finds a fault, or cannot be run.
pub(crate) fn run(root: &Path, seconds: u64) -> Result<(), String> {
    match tool(root) {
        Ok(cargo_fuzz) => {
            println!("Fuzzing with cargo-fuzz {CARGO_FUZZ}, {seconds} s for each target");
            for target in TARGETS {
                let limit = format!("-max_total_time={seconds}");
                let mut fuzz = Command::new("rustup");
                fuzz.current_dir(root).args(["run", "nightly"]).arg(&cargo_fuzz);
                // New inputs are written to the first folder, so the seeds come second.
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
            println!("cargo-fuzz cannot be used here: {why}");
            println!("Running the same targets on mutated seeds instead, without coverage guidance");
            let mut smash = crate::command::cargo();
            smash.current_dir(root).args(["run", "--release", "--quiet", "--manifest-path", "fuzz/Cargo.toml"]);
            command::run(smash.args(["--bin", "smash", "--", "--seconds", &seconds.to_string()]))
        }
    }
}

/// Installs cargo-fuzz and a nightly toolchain if needed; returns the program, or why it cannot be installed.
fn tool(root: &Path) -> Result<PathBuf, String> {
    let nightly = || command::output(Command::new("rustup").args(["run", "nightly", "rustc", "--version"]));
    if nightly().is_err() {
        println!("Installing a nightly toolchain for cargo-fuzz");
        command::output(Command::new("rustup").args(["toolchain", "install", "nightly", "--profile", "minimal"]))?;
        nightly()?;
    }
    let place = command::target_folder(root)?.join(format!("tools/cargo-fuzz-{CARGO_FUZZ}"));
    let program = place.join("bin/cargo-fuzz");
    if !program.is_file() {
        println!("Installing cargo-fuzz {CARGO_FUZZ}");
        let mut install = crate::command::cargo();
        install
            .args(["install", "--locked", "--quiet", "--debug", "cargo-fuzz", "--version", CARGO_FUZZ, "--root"])
            .arg(&place);
        command::output(&mut install)?;
    }
    Ok(program)
}
