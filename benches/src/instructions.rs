//! How many instructions a request takes, in the process that makes the calls: a figure that no neighbour disturbs.

use std::path::Path;
use std::process::Command;

use faasflow_core::headers;

use crate::ending::{Folder, die_with_us};
use crate::load::{Connection, Target};
use crate::process::{Process, by_hand_command, echo, sync_flow_command, under};
use crate::table::{Report, Row, Table};
use crate::tracing_cost::SAMPLED;
use crate::{Failure, Scale, block_on};

/// How many requests come before those that are counted: connections are made, and what is made once is made.
const BEFORE: usize = 100;

pub(crate) fn measure(scale: Scale) -> Result<Report, Failure> {
    block_on(run(scale))
}

async fn run(scale: Scale) -> Result<Report, Failure> {
    let title = "instructions: what a request takes, by itself".to_owned();
    if Command::new("valgrind").arg("--version").output().is_err() {
        let notes =
            vec!["Not measured: `valgrind` is not installed; Debian has it in a package of that name.".to_owned()];
        return Ok(Report { title, tables: Vec::new(), notes, rows: Vec::new() });
    }
    let (few, requests) = if scale.quick { (10, 200) } else { (1, 1000) };
    let (function, traces) = (echo()?, echo()?);
    let traces = format!("http://{}", traces.address());
    let traced = [("enable_tracing", "true"), ("trace_server", &traces)];
    let mut table = Table::new(&["calls", "arm", "a request", "a call more", "of floor"]);
    let mut rows = Vec::new();
    let mut fewest: Vec<f64> = Vec::new();
    for calls in if few < 10 { vec![few, 10] } else { vec![10] } {
        let arms = [
            ("by hand: axum", "by-hand-axum", by_hand_command(calls, &function, false)?),
            ("by hand: hyper", "by-hand-hyper", by_hand_command(calls, &function, true)?),
            ("flow", "flow", sync_flow_command(calls, &function, &[])?),
            ("flow, no log", "flow-no-log", sync_flow_command(calls, &function, &[("RUST_LOG", "off")])?),
            ("flow, traced", "flow-traced", sync_flow_command(calls, &function, &traced)?),
        ];
        let mut floor = None;
        for (at, (name, slug, (command, port))) in arms.into_iter().enumerate() {
            let each = counted(&command, port, requests).await? / requests as f64;
            let floor = *floor.get_or_insert(each);
            let more = fewest.get(at).map(|fewer| (each - fewer) / (calls - few) as f64);
            table.lines.push(vec![
                calls.to_string(),
                name.to_owned(),
                thousands(each),
                more.map_or_else(|| "-".to_owned(), thousands),
                format!("{:.3} x", each / floor),
            ]);
            let row = |name, value, floor| Row { name, value, unit: "instructions", floor, samples: requests };
            rows.push(row(format!("instructions-{slug}-{calls}"), each, Some(floor)));
            if calls == few {
                fewest.push(each);
            }
        }
    }
    let notes = vec![
        format!(
            "{}: {requests} requests of 32 B, one after the other, after {BEFORE} that do not count.",
            scale.name()
        ),
        "Counted by callgrind in the process that makes the calls; the kernel's work for it is not among them."
            .to_owned(),
        "The floor is `by hand: axum`. By hand there is no log.".to_owned(),
    ];
    Ok(Report { title, tables: vec![table], notes, rows })
}

/// The instructions of so many requests.
async fn counted(command: &Command, port: u16, requests: usize) -> Result<f64, Failure> {
    let folder = Folder::new()?;
    let out = folder.path().join("counts");
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--tool=callgrind", "--quiet"]).arg(format!("--callgrind-out-file={}", out.display()));
    let process = Process::run(under(valgrind, command), port)?;
    let target = Target::new(process.address(), "/", 32).header(headers::TRACEPARENT, SAMPLED);
    let mut connection = Connection::open(process.address()).await?;
    for _ in 0..BEFORE {
        connection.ask(&target).await?;
    }
    control(&process, "--zero")?;
    for _ in 0..requests {
        connection.ask(&target).await?;
    }
    control(&process, "--dump")?;
    total(&out.with_extension("1"))
}

fn control(process: &Process, what: &str) -> Result<(), Failure> {
    let mut command = Command::new("callgrind_control");
    die_with_us(&mut command);
    let output = command.arg(what).arg(process.id().to_string()).output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("callgrind_control {what} failed: {}", String::from_utf8_lossy(&output.stderr)).into())
}

/// What callgrind has counted in all, as its file says.
fn total(file: &Path) -> Result<f64, Failure> {
    let text =
        std::fs::read_to_string(file).map_err(|error| format!("callgrind wrote no {}: {error}", file.display()))?;
    let total = text.lines().find_map(|line| line.strip_prefix("totals: ")?.trim().parse().ok());
    total.ok_or_else(|| format!("callgrind says no total in {}", file.display()).into())
}

fn thousands(count: f64) -> String {
    format!("{:.1} k", count / 1000.0)
}
