//! A flow with several phases, from the call to the final callback, through the durable queue of the local gateway.

use std::time::Duration;

use crate::process::Machine;
use crate::rounds::Rounds;
use crate::stats::{median, noise, percent, percentile, spread};
use crate::table::{Report, Row, Table, bytes};
use crate::{Failure, Scale, block_on};

mod pieces;
mod stand;

pub(crate) use crate::async_flow::pieces::{Piece, Pieces};
pub(crate) use crate::async_flow::stand::{Stand, token_file};

/// The time of a hop is the difference between flows with these numbers of phases.
const FEW: usize = 2;
const MANY: usize = 10;

pub(crate) fn measure(scale: Scale) -> Result<Report, Failure> {
    block_on(run(scale))
}

async fn run(scale: Scale) -> Result<Report, Failure> {
    let hops = Rounds::new(scale, (9, 250), (15, 700));
    let loads = Rounds::new(scale, (5, 300), (9, 700));
    let phases: &[usize] = if scale.quick { &[FEW, MANY] } else { &[FEW, 5, MANY] };
    let bodies: &[usize] = &[32, 100_000];
    let stand = Stand::start(phases).await?;
    let mut report = Report {
        title: "async-flow: from the call to the final callback".to_owned(),
        tables: Vec::new(),
        notes: vec![
            format!("{}: a hop: {hops}; with more clients: {loads}.", scale.name()),
            "A hop: from one phase to the same point of the next, including its call of a function; the difference of".to_owned(),
            format!("{MANY} and {FEW} phases, by the number of phases between. The floor is what a hop cannot do without, each measured"),
            "alone: a durable enqueue of the envelope, the exchange that takes it to the queue, the exchange that takes it to".to_owned(),
            "the flow, and the call of a function through the gateway. The enqueue uses our queue, which delivers at the same time, to".to_owned(),
            "a receiver that does nothing. A hop is a difference of medians, so it has no p99; a flow with one client, below, has one.".to_owned(),
        ],
        rows: Vec::new(),
    };
    let mut spreads = Vec::new();
    let worst = measure_hops(&stand, bodies, hops, &mut report, &mut spreads).await?;
    report.notes.push(format!("At worst {worst:.2} x the floor (at most 1.3)."));
    measure_loads(&stand, phases, bodies, scale, loads, &mut report, &mut spreads).await?;
    report.notes.extend([
        "cpu each: processor time of the gateway and the flow per request. cpu in use: the share of the machine's"
            .to_owned(),
        "processors that was busy, with any process; if all of it is used, more clients cannot run more flows."
            .to_owned(),
        "Flushes: 4 KiB written and flushed, repeatedly. Enqueues: the queue alone, with as many producers as there"
            .to_owned(),
        "are clients, each call on disk before the next; a hop needs one enqueue and one acknowledgement.".to_owned(),
        noise(&spreads),
    ]);
    stand.stop().await;
    Ok(report)
}

async fn measure_hops(
    stand: &Stand,
    bodies: &[usize],
    rounds: Rounds,
    report: &mut Report,
    spreads: &mut Vec<f64>,
) -> Result<f64, Failure> {
    let mut table =
        Table::new(&["body", "hop p50", "of floor", "floor", "enqueue", "2 x exchange", "call", "flush", "spread"]);
    let mut worst = 0.0_f64;
    for &body in bodies {
        let pieces = Pieces::new(stand, body).await?;
        let mut all: [Vec<f64>; 4] = Default::default();
        let (mut hops, mut ratios, mut floors) = (Vec::new(), Vec::new(), Vec::new());
        for round in 0..=rounds.count {
            let (mut few, mut many, mut alone) = (f64::NAN, f64::NAN, [f64::NAN; 4]);
            for turn in 0..2 + alone.len() {
                match (round + turn) % (2 + alone.len()) {
                    0 => few = median(&mut stand.load(FEW, body, 1, rounds.slice).await?.latencies_us),
                    1 => many = median(&mut stand.load(MANY, body, 1, rounds.slice).await?.latencies_us),
                    arm => {
                        alone[arm - 2] = median(&mut pieces.alone(Piece::ALL[arm - 2], rounds.slice / 2).await?);
                    }
                }
            }
            // The first round does not count, because files grow and caches fill.
            if round == 0 {
                continue;
            }
            let hop = (many - few) / (MANY - FEW) as f64;
            let [enqueue, exchange, call, _] = alone;
            let floor = enqueue + 2.0 * exchange + call;
            hops.push(hop);
            floors.push(floor);
            ratios.push(hop / floor);
            all.iter_mut().zip(alone).for_each(|(all, alone)| all.push(alone));
        }
        let apart = spread(&hops);
        let [enqueue, exchange, call, flush] = all.map(|mut all| median(&mut all));
        let (hop, floor, ratio) = (median(&mut hops), median(&mut floors), median(&mut ratios));
        let us = |value: f64| format!("{value:.0} us");
        table.lines.push(vec![
            bytes(body),
            us(hop),
            format!("{ratio:.2} x"),
            us(floor),
            us(enqueue),
            us(2.0 * exchange),
            us(call),
            us(flush),
            percent(apart),
        ]);
        spreads.push(apart);
        worst = worst.max(ratio);
        let name = format!("async-hop-{body}b");
        let mut row = |what: &str, value, unit, floor| {
            report.rows.push(Row { name: format!("{name}-{what}"), value, unit, floor, samples: rounds.count });
        };
        row("p50", hop, "us", Some(floor));
        row("ratio", ratio, "x", Some(1.0));
        row("enqueue", enqueue, "us", Some(flush));
        row("exchange", exchange, "us", None);
        row("call", call, "us", None);
        row("flush", flush, "us", None);
    }
    let samples = rounds.count;
    report.rows.push(Row { name: "async-hop-ratio".to_owned(), value: worst, unit: "x", floor: Some(1.0), samples });
    report.tables.push(table);
    Ok(worst)
}

async fn measure_loads(
    stand: &Stand,
    phases: &[usize],
    bodies: &[usize],
    scale: Scale,
    rounds: Rounds,
    report: &mut Report,
    spreads: &mut Vec<f64>,
) -> Result<(), Failure> {
    let mut table = Table::new(&LoadResults::HEADS);
    let phases = if scale.quick { &phases[phases.len() - 1..] } else { phases };
    let mut least: Option<(f64, f64)> = None;
    for &body in bodies {
        let pieces = Pieces::new(stand, body).await?;
        for &phases in phases {
            let mut fewer: Option<f64> = None;
            for clients in [1, 8, 32] {
                let loaded = load(stand, &pieces, (phases, body, clients), rounds).await?;
                table.lines.push(loaded.cells());
                spreads.push(loaded.spread);
                report.rows.extend(loaded.rows());
                if let Some(fewer) = fewer.replace(loaded.flows) {
                    let grown = (loaded.flows / fewer, loaded.busy);
                    least = Some(least.filter(|least| least.0 <= grown.0).unwrap_or(grown));
                }
            }
        }
    }
    if let Some((grown, busy)) = least {
        let what = if grown > 1.0 { "More clients run more flows" } else { "More clients mean FEWER flows" };
        report.notes.push(format!(
            "{what}: at least {grown:.2} x, from one row to the next, with {} of the processors in use.",
            percent(busy)
        ));
        let name = "async-clients-ratio".to_owned();
        report.rows.push(Row { name, value: grown, unit: "x", floor: Some(1.0), samples: rounds.count });
    }
    report.tables.push(table);
    Ok(())
}

/// The results of a load, and those of the queue and the disk alone.
struct LoadResults {
    /// Phases, bytes and clients.
    load: (usize, usize, usize),
    p50_us: f64,
    p99_us: f64,
    flows: f64,
    /// Processor time of the gateway and the flow per request.
    processor_us: f64,
    /// The share of all processors that was in use, by any process.
    busy: f64,
    enqueues: f64,
    flushes: f64,
    spread: f64,
    samples: usize,
    rounds: usize,
}

async fn load(
    stand: &Stand,
    pieces: &Pieces,
    (phases, body, clients): (usize, usize, usize),
    rounds: Rounds,
) -> Result<LoadResults, Failure> {
    let (mut rates, mut latencies_us) = (Vec::new(), Vec::new());
    let (mut enqueues, mut flushes) = (Vec::new(), Vec::new());
    let (mut processor_seconds, mut busy, mut all) = (0.0, 0.0, 0.0);
    for round in 0..=rounds.count {
        for turn in 0..3 {
            match (round + turn) % 3 {
                0 => {
                    let before = (stand.processor_time()?, Machine::now()?);
                    let sample = stand.load(phases, body, clients, rounds.slice).await?;
                    let machine = Machine::now()?.since(before.1);
                    processor_seconds += stand.processor_time()? - before.0;
                    (busy, all) = (busy + machine.0, all + machine.1);
                    rates.push(sample.latencies_us.len() as f64 / sample.seconds);
                    latencies_us.extend(sample.latencies_us);
                }
                1 => enqueues.push(pieces.enqueues(clients, rounds.slice / 3).await?),
                _ => {
                    let flush = median(&mut pieces.alone(Piece::Flush, Duration::from_millis(20)).await?);
                    flushes.push(1e6 / flush);
                }
            }
        }
        // The first round does not count, because connections are made and caches fill.
        if round == 0 {
            [&mut rates, &mut latencies_us, &mut enqueues, &mut flushes].into_iter().for_each(Vec::clear);
            (processor_seconds, busy, all) = (0.0, 0.0, 0.0);
        }
    }
    let samples = latencies_us.len();
    Ok(LoadResults {
        load: (phases, body, clients),
        p50_us: median(&mut latencies_us),
        p99_us: percentile(&mut latencies_us, 0.99),
        spread: spread(&rates),
        flows: median(&mut rates),
        processor_us: processor_seconds / samples as f64 * 1e6,
        busy: busy / all,
        enqueues: median(&mut enqueues),
        flushes: median(&mut flushes),
        samples,
        rounds: rounds.count,
    })
}

impl LoadResults {
    /// The column titles of [`cells`](Loaded::cells).
    const HEADS: [&'static str; 12] = [
        "body",
        "phases",
        "clients",
        "p50",
        "p99",
        "flows/s",
        "hops/s",
        "cpu each",
        "cpu in use",
        "enqueues/s",
        "flushes/s",
        "spread",
    ];

    fn hops(&self) -> f64 {
        self.flows * (self.load.0 - 1) as f64
    }

    fn cells(&self) -> Vec<String> {
        let (phases, body, clients) = self.load;
        vec![
            bytes(body),
            phases.to_string(),
            clients.to_string(),
            format!("{:.0} us", self.p50_us),
            format!("{:.0} us", self.p99_us),
            format!("{:.0}", self.flows),
            format!("{:.0}", self.hops()),
            format!("{:.0} us", self.processor_us),
            percent(self.busy),
            format!("{:.0}", self.enqueues),
            format!("{:.0}", self.flushes),
            percent(self.spread),
        ]
    }

    fn rows(&self) -> Vec<Row> {
        let (phases, body, clients) = self.load;
        let row = |what: &str, value, unit, floor, samples| Row {
            name: format!("async-{phases}-{body}b-{clients}-{what}"),
            value,
            unit,
            floor,
            samples,
        };
        vec![
            row("p50", self.p50_us, "us", None, self.samples),
            row("p99", self.p99_us, "us", None, self.samples),
            row("rate", self.flows, "flows/s", None, self.rounds),
            row("enqueues", self.enqueues, "enqueues/s", Some(self.flushes), self.rounds),
            row("hops", self.hops(), "hops/s", Some(self.enqueues), self.rounds),
            row("cpu", self.processor_us, "us", None, self.rounds),
            row("cpu-in-use", self.busy * 100.0, "%", None, self.rounds),
        ]
    }
}
