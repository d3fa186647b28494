//! Interleaved rounds of all arms. A bad moment of the machine then affects all of them, and arms are compared round by
//! round.

use std::time::Duration;

use crate::load::{Sample, Target, closed_loop};
use crate::process::Process;
use crate::stats::{median, percent, percentile, spread};
use crate::table::Row;
use crate::{Failure, Scale};

/// The number of rounds, and the time of each arm in a round.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rounds {
    pub(crate) count: usize,
    pub(crate) slice: Duration,
}

impl Rounds {
    pub(crate) fn new(scale: Scale, quick: (usize, u64), full: (usize, u64)) -> Rounds {
        let (count, slice) = if scale.quick { quick } else { full };
        Rounds { count, slice: Duration::from_millis(slice) }
    }
}

impl std::fmt::Display for Rounds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} rounds of {} ms an arm, interleaved, in an order that rotates",
            self.count,
            self.slice.as_millis()
        )
    }
}

/// One way to do the work.
pub(crate) struct Arm<'a> {
    pub(crate) name: &'static str,
    target: Target,
    /// The process whose processor time counts.
    process: &'a Process,
    rates: Vec<f64>,
    medians: Vec<f64>,
    latencies_us: Vec<f64>,
    processor_seconds: f64,
}

impl<'a> Arm<'a> {
    pub(crate) fn new(name: &'static str, process: &'a Process, target: Target) -> Arm<'a> {
        let (rates, medians, latencies_us) = (Vec::new(), Vec::new(), Vec::new());
        Arm { name, target, process, rates, medians, latencies_us, processor_seconds: 0.0 }
    }

    /// Requests per second, for each round.
    pub(crate) fn rates(&self) -> &[f64] {
        &self.rates
    }

    /// Medians in microseconds, for each round.
    pub(crate) fn medians(&self) -> &[f64] {
        &self.medians
    }

    async fn round(&mut self, clients: usize, slice: Duration) -> Result<(), Failure> {
        let before = self.process.processor_time()?;
        let Sample { mut latencies_us, seconds } = closed_loop(&self.target, clients, slice).await?;
        self.processor_seconds += self.process.processor_time()? - before;
        self.rates.push(latencies_us.len() as f64 / seconds);
        self.medians.push(median(&mut latencies_us));
        self.latencies_us.append(&mut latencies_us);
        Ok(())
    }
}

/// The results of an arm, compared with the floor.
#[derive(Clone, Debug)]
pub(crate) struct Figures {
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    pub(crate) per_second: f64,
    /// Processor time of the process per request.
    pub(crate) processor_us: f64,
    pub(crate) p50_ratio: f64,
    pub(crate) rate_ratio: f64,
    pub(crate) processor_ratio: f64,
    pub(crate) spread: f64,
    pub(crate) rounds: usize,
    pub(crate) samples: usize,
}

/// Runs all arms, and compares each with the one at index `floor`.
pub(crate) async fn interleave(
    arms: &mut [Arm<'_>],
    floor: usize,
    clients: usize,
    rounds: Rounds,
) -> Result<Vec<Figures>, Failure> {
    // Once without counting.
    for arm in &mut *arms {
        closed_loop(&arm.target, clients, rounds.slice / 2).await?;
    }
    for round in 0..rounds.count {
        for turn in 0..arms.len() {
            let at = (round + turn) % arms.len();
            arms[at].round(clients, rounds.slice).await?;
        }
    }
    let (rates, medians) = (arms[floor].rates.clone(), arms[floor].medians.clone());
    let processor = |arm: &Arm<'_>| arm.processor_seconds / arm.latencies_us.len() as f64 * 1e6;
    let floor_processor = processor(&arms[floor]);
    let figures = arms.iter_mut().map(|arm| Figures {
        p50_ratio: median_ratio(&arm.medians, &medians),
        rate_ratio: median_ratio(&arm.rates, &rates),
        processor_us: processor(arm),
        processor_ratio: processor(arm) / floor_processor,
        spread: spread(&arm.rates),
        rounds: arm.rates.len(),
        samples: arm.latencies_us.len(),
        p50_us: median(&mut arm.latencies_us),
        p99_us: percentile(&mut arm.latencies_us, 0.99),
        per_second: median(&mut arm.rates.clone()),
    });
    Ok(figures.collect())
}

/// The median over the rounds.
pub(crate) fn median_ratio(rounds: &[f64], floors: &[f64]) -> f64 {
    median(&mut rounds.iter().zip(floors).map(|(value, floor)| value / floor).collect::<Vec<_>>())
}

impl Figures {
    /// The column titles of [`cells`](Figures::cells).
    pub(crate) const HEADS: [&'static str; 8] =
        ["p50", "p99", "requests/s", "cpu each", "p50 of floor", "rate of floor", "cpu of floor", "spread"];

    pub(crate) fn cells(&self) -> Vec<String> {
        vec![
            format!("{:.0} us", self.p50_us),
            format!("{:.0} us", self.p99_us),
            format!("{:.0}", self.per_second),
            format!("{:.0} us", self.processor_us),
            format!("{:.3} x", self.p50_ratio),
            format!("{:.3} x", self.rate_ratio),
            format!("{:.3} x", self.processor_ratio),
            percent(self.spread),
        ]
    }

    /// The figures as rows whose names have this prefix.
    pub(crate) fn rows(&self, name: &str, floor: &Figures) -> Vec<Row> {
        let row = |what, value, unit, floor, samples| Row {
            name: format!("{name}-{what}"),
            value,
            unit,
            floor: Some(floor),
            samples,
        };
        vec![
            row("p50", self.p50_us, "us", floor.p50_us, self.samples),
            row("p99", self.p99_us, "us", floor.p99_us, self.samples),
            row("rate", self.per_second, "requests/s", floor.per_second, self.rounds),
            row("cpu", self.processor_us, "us", floor.processor_us, self.rounds),
            row("p50-ratio", self.p50_ratio, "x", 1.0, self.rounds),
            row("rate-ratio", self.rate_ratio, "x", 1.0, self.rounds),
            row("cpu-ratio", self.processor_ratio, "x", 1.0, self.rounds),
        ]
    }
}
