//! What Faasflow costs: tables in which every figure stands beside its floor, measured in the same run.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

mod async_flow;
mod bare;
mod bare_proxy;
mod echo;
mod gateway;
mod growth;
mod load;
mod local_gateway;
mod payload;
mod peers;
mod pieces;
mod process;
mod queue_store;
mod role;
mod rounds;
mod soak;
mod start;
mod state;
mod stats;
mod sync_chain;
mod table;
mod tracing_cost;

use crate::role::Role;
use crate::table::Report;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Measures Faasflow beside its floors.
#[derive(Debug, Parser)]
#[command(name = "faasflow-benches")]
struct Arguments {
    /// Fewer and shorter rounds: all tables in less than four minutes.
    #[arg(long)]
    quick: bool,
    /// One table only.
    #[arg(long, value_name = "NAME", value_parser = TABLES.map(|(name, _)| name))]
    only: Option<String>,
    /// Instead of the tables: memory under ten minutes of each load, after ten that do not count; with --quick a quarter
    /// of one.
    #[arg(long, conflicts_with = "only")]
    soak: bool,
    /// Instead of the tables: the same chain on Restate and goflow, which are installed for it.
    #[arg(long, conflicts_with_all = ["only", "soak"])]
    peers: bool,
    /// Where to put every figure as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// How long to measure.
#[derive(Clone, Copy, Debug)]
struct Scale {
    quick: bool,
}

impl Scale {
    /// How the run is called below its tables.
    fn name(self) -> &'static str {
        if self.quick { "--quick" } else { "full" }
    }
}

type Measure = fn(Scale) -> Result<Report, Failure>;

/// In the order in which they are printed.
const TABLES: [(&str, Measure); 10] = [
    ("sync-chain", sync_chain::measure),
    ("gateway", gateway::measure),
    ("async-flow", async_flow::measure),
    ("start", start::measure),
    ("payload", payload::measure),
    ("growth", growth::measure),
    ("tracing", tracing_cost::measure),
    ("state", state::measure),
    ("pieces", pieces::measure),
    ("queue-store", queue_store::measure),
];

fn main() -> ExitCode {
    let done = match Role::of_process() {
        Ok(Some(role)) => role.play(),
        Ok(None) => run(&Arguments::parse()),
        Err(error) => Err(error),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("faasflow-benches: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), Failure> {
    let scale = Scale { quick: arguments.quick };
    let mut rows = Vec::new();
    let tables: &[(&str, Measure)] = match arguments {
        Arguments { soak: true, .. } => &[("soak", soak::measure)],
        Arguments { peers: true, .. } => &[("peers", peers::measure)],
        _ => &TABLES,
    };
    for &(name, measure) in tables {
        if arguments.only.as_deref().is_some_and(|only| only != name) {
            continue;
        }
        let report = measure(scale).map_err(|error| format!("the table `{name}` was not measured: {error}"))?;
        print!("{report}");
        rows.extend(report.rows);
    }
    if let Some(file) = &arguments.json {
        let json = serde_json::to_string_pretty(&rows)?;
        std::fs::write(file, json).map_err(|error| format!("cannot write {}: {error}", file.display()))?;
    }
    Ok(())
}

/// Runs what sends the load, on as many threads as there are processors.
fn block_on<T>(running: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(running)
}
