//! The command line of Faasflow.

/// Writes a line to standard output. If the reader has closed the pipe, the command ends, which is not an error.
macro_rules! say {
    ($($words:tt)*) => {{
        use std::io::Write as _;
        writeln!(std::io::stdout(), $($words)*)?;
    }};
}

mod args;
mod check;
mod checkout;
mod client;
mod completions;
mod config;
mod demo;
mod environment;
mod error;
#[cfg(test)]
mod error_examples;
mod explain;
mod flow_failure;
mod gateway_error;
mod graph;
mod health;
mod invoke;
mod logs;
mod man;
mod new;
mod progress;
mod queue;
mod requests;
mod screen;
mod signing_key;
mod ui;
mod up;

use std::process::ExitCode;

use clap::Parser as _;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::prelude::*;

use crate::args::{Arguments, Command};
use crate::error::Failure;

/// For the gateway of `faasflow up`; flows use the same allocator.
#[cfg(target_os = "linux")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let lines =
        tracing_subscriber::fmt::layer().with_writer(screen::LogLine::default).without_time().with_target(false);
    tracing_subscriber::registry().with(lines.with_filter(filter(&arguments.command))).init();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return Failure::from(error).report(),
    };
    let done = runtime.block_on(async {
        match arguments.command {
            Command::Demo(demo) => demo::run(demo).await,
            Command::Up(up) => up::run(up).await,
            Command::Ui(ui) => ui::run(ui).await,
            Command::New(new) => new::run(&new),
            Command::Invoke(invoke) => invoke::run(invoke).await,
            Command::Logs(logs) => logs::run(logs).await,
            Command::Requests(requests) => requests::run(*requests).await,
            Command::Graph(graph) => graph::run(graph).await,
            Command::Config(config) => config::run(&config),
            Command::Check(check) => check::run(check).await,
            Command::Queue(queue) => queue::run(queue).await,
            Command::Health(health) => health::run(health.gateway).await,
            Command::Explain(explain) => explain::run(&explain),
            Command::Completions(completions) => completions::run(&completions),
            Command::Man(man) => man::run(&man),
        }
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

/// Which log lines are shown beside the output of the command.
fn filter(command: &Command) -> Targets {
    let warnings = Targets::new().with_default(LevelFilter::WARN);
    match command {
        // The pipeline refuses two photos, which become dead letters. The demo reports them itself.
        Command::Demo(_) => warnings.with_target("faasflow::dead_letters", LevelFilter::OFF),
        _ => warnings,
    }
}
