//! Memory under a long load of each kind: it must not grow.

use std::time::{Duration, Instant};

use crate::async_flow::Stand;
use crate::load::{Target, closed_loop};
use crate::process::{Process, echo, sync_flow};
use crate::stats::median;
use crate::table::{Report, Row, Table};
use crate::{Failure, Scale, block_on};

/// How far the last third may lie above the second: what an allocator keeps is never quite the same.
const FLAT: f64 = 1.05;
const CLIENTS: usize = 8;
const PHASES: usize = 5;
/// How long the gateway's queue remembers the id of a call. Until that has gone by, what it keeps of a steady load grows.
const REMEMBERED: Duration = Duration::from_secs(600);

pub(crate) fn measure(scale: Scale) -> Result<Report, Failure> {
    block_on(run(scale))
}

async fn run(scale: Scale) -> Result<Report, Failure> {
    let length = Duration::from_secs(if scale.quick { 15 } else { 600 });
    let mut table = Table::new(&["load", "process", "requests", "start", "second third", "last third", "growth"]);
    let mut rows = Vec::new();
    let mut grown = Vec::new();
    let mut add = |load: &str, requests: usize, soaked: Vec<Soaked>| {
        for Soaked { process, start, mut second, mut last } in soaked {
            let samples = last.len();
            let (second, last) = (median(&mut second), median(&mut last));
            let ratio = last / second;
            let mb = |bytes: f64| format!("{:.1} MB", bytes / 1e6);
            let cells = [load, process].map(str::to_owned).into_iter();
            let cells = cells.chain([requests.to_string(), mb(start), mb(second), mb(last), format!("{ratio:.3} x")]);
            table.lines.push(cells.collect());
            let name = format!("soak-{}-{process}", load.replace(' ', "-"));
            rows.push(Row { name, value: ratio, unit: "x", floor: Some(1.0), samples });
            if ratio > FLAT {
                grown.push(format!("{process} under {load}"));
            }
        }
    };
    let echo = echo()?;
    for (load, body) in [("small calls", 32), ("large calls", 1_000_000)] {
        let flow = sync_flow(5, &echo, &[])?;
        let target = Target::new(flow.address(), "/", body);
        let slice = async |length| Ok(closed_loop(&target, CLIENTS, length).await?.latencies_us.len());
        let (requests, soaked) = soak(&[("flow", &flow)], length, slice).await?;
        add(load, requests, soaked);
    }
    let stand = Stand::start(&[PHASES]).await?;
    for (load, body) in [("phases", 32), ("large phases", 100_000)] {
        let slice = async |length| Ok(stand.load(PHASES, body, CLIENTS, length).await?.latencies_us.len());
        // The same load before, uncounted.
        if !scale.quick {
            stand.load(PHASES, body, CLIENTS, REMEMBERED).await?;
        }
        let (requests, soaked) = soak(&[("flow", &stand.flows[0]), ("gateway", &stand.gateway)], length, slice).await?;
        add(load, requests, soaked);
    }
    stand.stop().await;
    let mut notes = vec![
        format!("{}: {} s of each load, from {CLIENTS} clients.", scale.name(), length.as_secs()),
        "What a process holds, every second: the medians of the second and the last third of that time.".to_owned(),
    ];
    notes.push(match scale.quick {
        true => "A run this short shows that the loads work: allocators still fill, and the queue remembers ids for ten minutes.",
        false => "The gateway's queue remembers ids for ten minutes, so its loads run for ten minutes before they count.",
    }
    .to_owned());
    notes.push(match grown.is_empty() {
        true => format!("Memory is flat: nowhere is the last third more than {FLAT} x the second."),
        false => format!("Memory GROWS: {}.", grown.join(", ")),
    });
    Ok(Report { title: "soak: memory under a long load".to_owned(), tables: vec![table], notes, rows })
}

struct Soaked {
    process: &'static str,
    start: f64,
    second: Vec<f64>,
    last: Vec<f64>,
}

/// Runs a load in slices, and looks at the memory after each.
async fn soak(
    processes: &[(&'static str, &Process)],
    length: Duration,
    slice: impl AsyncFn(Duration) -> Result<usize, Failure>,
) -> Result<(usize, Vec<Soaked>), Failure> {
    let mut soaked: Vec<Soaked> = processes
        .iter()
        .map(|(name, process)| {
            Ok(Soaked { process: name, start: process.resident()?, second: Vec::new(), last: Vec::new() })
        })
        .collect::<Result<_, Failure>>()?;
    let begun = Instant::now();
    let mut requests = 0;
    while begun.elapsed() < length {
        requests += slice(Duration::from_secs(1)).await?;
        let third = begun.elapsed().as_secs_f64() / length.as_secs_f64() * 3.0;
        for ((_, process), soaked) in processes.iter().zip(&mut soaked) {
            match third {
                ..1.0 => {}
                1.0..2.0 => soaked.second.push(process.resident()?),
                _ => soaked.last.push(process.resident()?),
            }
        }
    }
    Ok((requests, soaked))
}
