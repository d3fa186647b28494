//! Memory during long loads. It must not grow.

use std::time::{Duration, Instant};

use faasflow_core::headers;

use crate::async_flow::Stand;
use crate::echo::HOLD;
use crate::load::{Connection, Target, closed_loop};
use crate::process::{Process, echo, sync_flow};
use crate::stats::{greater, median};
use crate::table::{Report, Row, Table};
use crate::tracing_cost::SAMPLED;
use crate::{Failure, Scale, block_on};

/// How much more memory the last third may use than the second. The memory that an allocator keeps is never exactly the
/// same.
const FLAT: f64 = 1.05;
/// The number of clients of each load.
const CLIENTS: usize = 8;
/// The number of calls in each flow, and of phases in an asynchronous one.
const CALLS: usize = 5;
/// How long the gateway's queue remembers the id of a call. Until this time has passed, its memory grows even under a
/// steady load.
const REMEMBERED: Duration = Duration::from_secs(600);

pub(crate) fn measure(scale: Scale) -> Result<Report, Failure> {
    block_on(run(scale))
}

async fn run(scale: Scale) -> Result<Report, Failure> {
    let span = match scale.quick {
        true => Span { before: Duration::ZERO, counted: Duration::from_secs(15) },
        false => Span { before: REMEMBERED, counted: Duration::from_secs(600) },
    };
    let (function, traces, dead) = (echo()?, echo()?, echo()?);
    Connection::open(dead.address()).await?.ask(&Target::new(dead.address(), HOLD, 0)).await?;
    let traced = |server: &Process| {
        let server = format!("http://{}", server.address());
        sync_flow(CALLS, &function, &[("enable_tracing", "true"), ("trace_server", &server)])
    };
    let small = sync_flow(CALLS, &function, &[])?;
    let large = sync_flow(CALLS, &function, &[])?;
    let (exported, unexported) = (traced(&traces)?, traced(&dead)?);
    let (phases, large_phases) = (Stand::start(&[CALLS]).await?, Stand::start(&[CALLS]).await?);
    let soaked = tokio::try_join!(
        calls("small calls", &small, 32, span),
        calls("large calls", &large, 1_000_000, span),
        calls("traced calls", &exported, 32, span),
        calls("trace server dead", &unexported, 32, span),
        flows("phases", &phases, 32, span),
        flows("large phases", &large_phases, 100_000, span),
    )?;
    let (small, large, exported, unexported, few, many) = soaked;
    phases.stop().await;
    large_phases.stop().await;
    Ok(report(scale, span, [small, large, exported, unexported, few, many].into_iter().flatten().collect()))
}

/// The duration of each load.
#[derive(Clone, Copy, Debug)]
struct Span {
    /// The warm-up, which does not count.
    before: Duration,
    counted: Duration,
}

/// The memory of a process in bytes.
struct Memory {
    load: &'static str,
    process: &'static str,
    requests: usize,
    start: f64,
    second: Vec<f64>,
    last: Vec<f64>,
}

/// Synchronous calls of a flow. If it traces, the requests are sampled.
async fn calls(load: &'static str, flow: &Process, body: usize, span: Span) -> Result<Vec<Memory>, Failure> {
    let target = Target::new(flow.address(), "/", body).header(headers::TRACEPARENT, SAMPLED);
    let slice = async |length| Ok(closed_loop(&target, CLIENTS, length).await?.latencies_us.len());
    soak(load, &[("flow", flow)], span, slice).await
}

/// Requests of an asynchronous flow, until the final callback.
async fn flows(load: &'static str, stand: &Stand, body: usize, span: Span) -> Result<Vec<Memory>, Failure> {
    let slice = async |length| Ok(stand.load(CALLS, body, CLIENTS, length).await?.latencies_us.len());
    soak(load, &[("flow", &stand.flows[0]), ("gateway", &stand.gateway)], span, slice).await
}

/// Runs a load in slices, and measures memory after each.
async fn soak(
    load: &'static str,
    processes: &[(&'static str, &Process)],
    span: Span,
    slice: impl AsyncFn(Duration) -> Result<usize, Failure>,
) -> Result<Vec<Memory>, Failure> {
    let soaked = processes.iter().map(|&(name, process)| {
        let start = process.resident()?;
        Ok(Memory { load, process: name, requests: 0, start, second: Vec::new(), last: Vec::new() })
    });
    let mut soaked = soaked.collect::<Result<Vec<Memory>, Failure>>()?;
    let begun = Instant::now();
    loop {
        let requests = slice(Duration::from_secs(1)).await?;
        let Some(counted) = begun.elapsed().checked_sub(span.before) else { continue };
        for (&(_, process), soaked) in processes.iter().zip(&mut soaked) {
            soaked.requests += requests;
            match counted.as_secs_f64() / span.counted.as_secs_f64() * 3.0 {
                ..1.0 => {}
                1.0..2.0 => soaked.second.push(process.resident()?),
                _ => soaked.last.push(process.resident()?),
            }
        }
        if counted >= span.counted {
            return Ok(soaked);
        }
    }
}

fn report(scale: Scale, span: Span, soaked: Vec<Memory>) -> Report {
    let mut table = Table::new(&["load", "process", "requests", "start", "second third", "last third", "growth"]);
    let mut rows = Vec::new();
    let mut grown = Vec::new();
    let mut worst = 0.0_f64;
    for Memory { load, process, requests, start, mut second, mut last } in soaked {
        let samples = last.len();
        let (second, last) = (median(&mut second), median(&mut last));
        let ratio = last / second;
        let mb = |bytes: f64| format!("{:.1} MB", bytes / 1e6);
        let cells = [load, process].map(str::to_owned).into_iter();
        let cells = cells.chain([requests.to_string(), mb(start), mb(second), mb(last), format!("{ratio:.3} x")]);
        table.lines.push(cells.collect());
        let name = format!("soak-{}-{process}", load.replace(' ', "-"));
        rows.push(Row { name, value: ratio, unit: "x", floor: Some(1.0), samples });
        worst = greater(worst, ratio);
        if ratio.is_nan() || ratio > FLAT {
            grown.push(format!("{process} under {load}"));
        }
    }
    // A short run proves nothing about growth.
    if !scale.quick {
        rows.push(Row {
            name: "soak-growth".to_owned(),
            value: worst,
            unit: "x",
            floor: Some(1.0),
            samples: rows.len(),
        });
    }
    let seconds = span.counted.as_secs();
    let notes = vec![
        format!("{}: {seconds} s of each load, all at the same time, each from {CLIENTS} clients.", scale.name()),
        "Memory of each process, measured every second: the medians of the second and the last third of that time.".to_owned(),
        match scale.quick {
            true => "A run this short only shows that the loads work: allocators still grow, and the queue remembers ids for ten minutes.",
            false => "The gateway's queue remembers ids for ten minutes, so all loads run for ten minutes before they count.",
        }
        .to_owned(),
        match grown.is_empty() {
            true => format!("Memory is flat: nowhere is the last third more than {FLAT} x the second."),
            false => format!("Memory GROWS: {}.", grown.join(", ")),
        },
    ];
    Report { title: "soak: memory under a long load".to_owned(), tables: vec![table], notes, rows }
}
