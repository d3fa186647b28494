//! Suites that need real servers: each installs what is missing, starts everything on loopback ports that it picks,
//! and stops it. `cargo xtask e2e NAME` runs them.

mod openfaas;
mod server;
mod state;
mod suite;
mod tools;

use std::process::ExitCode;

use crate::suite::Suite;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["openfaas"] => run("openfaas", openfaas::run),
        ["state"] => run("state", state::run),
        _ => {
            eprintln!("name a suite: openfaas, state");
            ExitCode::from(2)
        }
    }
}

fn run<F: Future<Output = Result<(), String>>>(name: &'static str, suite: impl FnOnce(Suite) -> F) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let book = Suite::new(name);
    let ran = runtime.block_on(suite(book.clone()));
    runtime.shutdown_timeout(std::time::Duration::from_secs(5));
    book.close(ran)
}
