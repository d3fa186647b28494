//! Benchmarks of Faasflow: tables in which every figure is next to its floor, measured in the same run.

use std::fs::File;
use std::io::Write as _;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;

mod adaptive;
mod async_flow;
mod bare;
mod bare_proxy;
mod bounds;
mod echo;
mod ending;
mod events;
mod fanout;
mod gateway;
mod growth;
mod instructions;
mod join;
mod load;
mod local_gateway;
mod parallel;
mod payload;
mod peers;
mod pieces;
mod process;
mod queue_backlog;
mod queue_store;
mod record_hop;
mod record_redis;
mod records;
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
use crate::table::{Report, Row};

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Compares Faasflow with its floors
#[derive(Debug, Parser)]
#[command(name = "faasflow-benches")]
struct Arguments {
    /// Use fewer and shorter rounds, so that all tables take less than four minutes
    #[arg(long)]
    quick: bool,
    /// Measure only this table, and others that are named in the same way
    #[arg(long, value_name = "NAME", value_parser = TABLES.map(|(name, _)| name))]
    only: Vec<String>,
    /// Instead of the tables, measure memory during ten minutes of each load, after ten minutes of warm-up; with
    /// --quick, a quarter of a minute
    #[arg(long, conflicts_with = "only")]
    soak: bool,
    /// Instead of the tables, run the same chain on Restate and goflow, which are installed for this, and the same
    /// fan-out on Restate
    #[arg(long, conflicts_with_all = ["only", "soak"])]
    peers: bool,
    /// Write every figure as JSON to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// The folder of the static programs, which were built just now.
    #[arg(long, hide = true)]
    r#static: Option<PathBuf>,
    /// Why there are no static programs.
    #[arg(long, hide = true, conflicts_with = "static")]
    no_static: Option<String>,
    /// Why the service of Restate could not be built.
    #[arg(long, hide = true)]
    no_restate: Option<String>,
}

/// How long to measure, and what was built for this run. Results of earlier builds are ignored.
#[derive(Clone, Copy, Debug)]
struct Scale {
    quick: bool,
    /// The folder of the static programs, or why there are none.
    fixed: Result<&'static Path, &'static str>,
    /// Whether the service for Restate exists, or why not.
    restate: Result<(), &'static str>,
}

impl Scale {
    /// Paths and reasons live as long as the program.
    fn new(arguments: &Arguments) -> Scale {
        let reason = |why: &Option<String>| why.clone().map(|why| &*why.leak());
        let fixed = match (&arguments.r#static, reason(&arguments.no_static)) {
            (Some(folder), _) => Ok(&*folder.clone().leak()),
            (None, Some(why)) => Err(why),
            (None, None) => Err("Only `cargo xtask bench` without --quick builds it"),
        };
        Scale { quick: arguments.quick, fixed, restate: reason(&arguments.no_restate).map_or(Ok(()), Err) }
    }

    /// The name of the run below its tables.
    fn name(self) -> &'static str {
        if self.quick { "--quick" } else { "full" }
    }
}

type Measure = fn(Scale) -> Result<Report, Failure>;

/// The tables, in the order in which they are printed.
const TABLES: [(&str, Measure); 20] = [
    ("sync-chain", sync_chain::measure),
    ("instructions", instructions::measure),
    ("gateway", gateway::measure),
    ("events", events::measure),
    ("async-flow", async_flow::measure),
    ("parallel", parallel::measure),
    ("fanout", fanout::measure),
    ("join", join::measure),
    ("start", start::measure),
    ("payload", payload::measure),
    ("growth", growth::measure),
    ("tracing", tracing_cost::measure),
    ("state", state::measure),
    ("records", records::measure),
    ("record-hop", record_hop::measure),
    ("record-redis", record_redis::measure),
    ("adaptive", adaptive::measure),
    ("pieces", pieces::measure),
    ("queue-store", queue_store::measure),
    ("queue-backlog", queue_backlog::measure),
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
    let scale = Scale::new(arguments);
    // Fail before minutes of measuring, not after them.
    let json = arguments.json.as_deref().map(Figures::create).transpose()?;
    ending::begin()?;
    let tables: &[(&str, Measure)] = match arguments {
        Arguments { soak: true, .. } => &[("soak", soak::measure)],
        Arguments { peers: true, .. } => &[("peers", peers::measure)],
        _ => &TABLES,
    };
    let asked = |name: &str| arguments.only.is_empty() || arguments.only.iter().any(|only| only == name);
    let (mut rows, mut failed) = (Vec::new(), Vec::new());
    let begun = Instant::now();
    for (at, &(name, measure)) in tables.iter().filter(|(name, _)| asked(name)).enumerate() {
        if at > 0 {
            println!();
        }
        match attempt(measure, scale) {
            Ok(report) => {
                print!("{report}");
                rows.extend(report.rows);
            }
            Err(error) => {
                ending::unless_ending();
                let what = format!("the table `{name}` was not measured: {error}");
                println!("{name}: FAILED: {what}");
                failed.push(what);
            }
        }
    }
    let asked: Vec<&str> = tables.iter().map(|&(name, _)| name).filter(|name| asked(name)).collect();
    if let Some(bounds) = bounds::table(&rows, &asked) {
        print!("\nbounds: what was promised\n\n{bounds}");
    }
    println!("\n{}", process::machine());
    println!("{}: measured in {:.1} minutes.", scale.name(), begun.elapsed().as_secs_f64() / 60.0);
    if let Some(json) = json {
        json.write(&rows)?;
    }
    if failed.is_empty() { Ok(()) } else { Err(failed.join("\n").into()) }
}

/// If a table fails or panics, the others are still measured.
fn attempt(measure: Measure, scale: Scale) -> Result<Report, Failure> {
    catch_unwind(|| measure(scale)).unwrap_or_else(|_| Err("it panicked, as said above".into()))
}

/// The file for the figures. Its old content stays until there are new figures.
struct Figures<'a> {
    path: &'a Path,
    file: File,
}

impl Figures<'_> {
    fn create(path: &Path) -> Result<Figures<'_>, Failure> {
        let file = File::options()
            .create(true)
            .write(true)
            .truncate(false)
            .open(path)
            .map_err(|error| format!("cannot write {}: {error}", path.display()))?;
        Ok(Figures { path, file })
    }

    fn write(mut self, rows: &[Row]) -> Result<(), Failure> {
        let json = serde_json::to_string_pretty(rows)?;
        let path = self.path.display();
        let written = self.file.set_len(0).and_then(|()| self.file.write_all(json.as_bytes()));
        Ok(written.map_err(|error| format!("cannot write {path}: {error}"))?)
    }
}

/// Runs the load on as many threads as there are processors.
fn block_on<T>(running: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(running)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_that_panics_is_a_failure() {
        let scale = Scale { quick: true, fixed: Err("none"), restate: Ok(()) };
        assert!(attempt(|_| panic!("of the test"), scale).is_err());
    }
}
