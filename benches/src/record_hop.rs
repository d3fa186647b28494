//! A hop of an asynchronous flow that remembers its requests in the local gateway's store, and of one that does not.

use std::time::Duration;

use crate::async_flow::{Piece, Pieces, Stand};
use crate::join::Writes;
use crate::load::Target;
use crate::process::Process;
use crate::role::Role;
use crate::rounds::Rounds;
use crate::stats::{greater, median, noise, percent, spread};
use crate::table::{Report, Row, Table, bytes};
use crate::{Failure, Scale, block_on};

/// The time of a hop is the difference between flows with these numbers of phases.
const FEW: usize = 2;
const MANY: usize = 10;
/// What the processor time of a hop is measured with.
const CLIENTS: usize = 8;

pub(crate) fn measure(scale: Scale) -> Result<Report, Failure> {
    block_on(run(scale))
}

/// The flows: one with few phases and one with many, each with and without records.
const FLOWS: [(&str, usize, bool); 4] =
    [("on-few", FEW, true), ("on-many", MANY, true), ("off-few", FEW, false), ("off-many", MANY, false)];

async fn run(scale: Scale) -> Result<Report, Failure> {
    let rounds = Rounds::new(scale, (9, 250), (15, 700));
    let bodies: &[usize] = if scale.quick { &[32] } else { &[32, 10_000] };
    let role =
        |(name, calls, records): (&str, usize, bool)| (name.to_owned(), Role::Stored { calls, sync: false, records });
    let stand = Stand::with(FLOWS.map(role).into()).await?;
    let mut table = Table::new(&[
        "body",
        "with records",
        "of without",
        "without",
        "write alone",
        "enqueue alone",
        "flush alone",
        "cpu with",
        "cpu without",
        "spread",
    ]);
    let (mut rows, mut spreads, mut worst) = (Vec::new(), Vec::new(), f64::NEG_INFINITY);
    for &body in bodies {
        let hops = measure_body(&stand, body, rounds).await?;
        let [cpu_on, cpu_off] = processor(&stand, body, rounds.slice).await?;
        let us = |value: f64| format!("{value:.0} us");
        table.lines.push(vec![
            bytes(body),
            us(hops.on),
            format!("{:.2} x", hops.ratio),
            us(hops.off),
            us(hops.write),
            us(hops.enqueue),
            us(hops.flush),
            us(cpu_on),
            us(cpu_off),
            percent(hops.spread),
        ]);
        spreads.push(hops.spread);
        worst = greater(hops.ratio, worst);
        let mut row = |what: &str, value, unit, floor| {
            rows.push(Row { name: format!("record-hop-{body}b-{what}"), value, unit, floor, samples: rounds.count });
        };
        row("p50", hops.on, "us", Some(hops.off));
        row("ratio", hops.ratio, "x", Some(1.0));
        row("write", hops.write, "us", Some(hops.flush));
        row("cpu", cpu_on, "us", Some(cpu_off));
    }
    stand.stop().await;
    let (name, samples) = ("record-hop-ratio".to_owned(), rounds.count);
    rows.push(Row { name, value: worst, unit: "x", floor: Some(1.0), samples });
    let notes = vec![
        format!("{}: {rounds}.", scale.name()),
        "A hop: as in `async-flow`, the difference of flows with ten and two phases. All flows have the gateway's store; with records,".to_owned(),
        "each phase reads there whether it may begin and writes its result. The write, the enqueue and a flush of 4 KiB are measured".to_owned(),
        format!("alone in the same rounds, one at a time. cpu: processor time of the gateway and the flow for a hop, with {CLIENTS} clients."),
        format!("At worst {worst:.2} x the hop without records (at most 1.35)."),
        noise(&spreads),
    ];
    let title = "record-hop: a hop of a request that is remembered".to_owned();
    Ok(Report { title, tables: vec![table], notes, rows })
}

/// Medians over the rounds, in microseconds.
struct Hops {
    on: f64,
    off: f64,
    ratio: f64,
    write: f64,
    enqueue: f64,
    flush: f64,
    spread: f64,
}

async fn measure_body(stand: &Stand, body: usize, rounds: Rounds) -> Result<Hops, Failure> {
    let targets = FLOWS.map(|(name, ..)| target(stand, name, body));
    let pieces = Pieces::new(stand, body).await?;
    let writes = Writes::new(stand, "on-few", body).await?;
    let (mut ons, mut offs, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    let mut alone: [Vec<f64>; 3] = Default::default();
    for round in 0..=rounds.count {
        let (mut took, mut parts) = ([f64::NAN; FLOWS.len()], [f64::NAN; 3]);
        for turn in 0..FLOWS.len() + parts.len() {
            let arm = (round + turn) % (FLOWS.len() + parts.len());
            if let Some(target) = targets.get(arm) {
                took[arm] = median(&mut stand.load_of(target, 1, rounds.slice).await?.latencies_us);
                continue;
            }
            let length = rounds.slice / 2;
            let part = arm - FLOWS.len();
            parts[part] = median(&mut match part {
                0 => writes.at_once(1, length).await?,
                1 => pieces.alone(Piece::Enqueue, length).await?,
                _ => pieces.alone(Piece::Flush, length).await?,
            });
        }
        // The first round does not count, because files grow and caches fill.
        if round == 0 {
            continue;
        }
        let [on, off] = [0, 2].map(|few| (took[few + 1] - took[few]) / (MANY - FEW) as f64);
        ons.push(on);
        offs.push(off);
        ratios.push(on / off);
        alone.iter_mut().zip(parts).for_each(|(all, part)| all.push(part));
    }
    let spread = spread(&ratios);
    let [write, enqueue, flush] = alone.map(|mut alone| median(&mut alone));
    let (on, off, ratio) = (median(&mut ons), median(&mut offs), median(&mut ratios));
    Ok(Hops { on, off, ratio, write, enqueue, flush, spread })
}

/// The processor time of the gateway and the flow for a hop, with records and without, in microseconds.
async fn processor(stand: &Stand, body: usize, slice: Duration) -> Result<[f64; 2], Failure> {
    let mut each = [0.0; FLOWS.len()];
    for (at, (name, ..)) in FLOWS.into_iter().enumerate() {
        let processes = [&stand.gateway, &stand.flows[at]];
        let seconds = || processes.into_iter().map(Process::processor_time).sum::<Result<f64, Failure>>();
        let before = seconds()?;
        let sample = stand.load_of(&target(stand, name, body), CLIENTS, slice * 2).await?;
        each[at] = (seconds()? - before) / sample.latencies_us.len() as f64 * 1e6;
    }
    Ok([0, 2].map(|few| (each[few + 1] - each[few]) / (MANY - FEW) as f64))
}

fn target(stand: &Stand, name: &str, body: usize) -> Target {
    stand.target(name, vec![b'x'; body].into())
}
