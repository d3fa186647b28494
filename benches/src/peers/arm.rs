//! One system that runs the chain, and rounds of several systems.

use std::sync::Arc;
use std::time::{Duration, Instant};

use faasflow_core::headers;
use http::HeaderValue;
use tokio::task::JoinSet;

use crate::Failure;
use crate::load::{Connection, Sample, Target};
use crate::peers::disk::Disk;
use crate::peers::reports::Reports;
use crate::process::Process;
use crate::rounds::Rounds;
use crate::stats::median;

/// What is left of a request after a step if the machine loses power.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Durability {
    /// It is on disk, flushed, before the next step begins.
    Flushed,
    /// It is in the memory of Redis, which writes a snapshot from time to time.
    Snapshot,
    /// Nothing. The caller has to call again.
    Nothing,
}

/// How the result is delivered.
#[derive(Clone)]
pub(super) enum Way {
    /// As the answer.
    Answer,
    /// To a URL in a header, as with Faasflow.
    Header(Arc<Reports>),
    /// To a URL in the query.
    Query(Arc<Reports>),
}

pub(super) struct Arm<'a> {
    pub(super) name: &'static str,
    pub(super) durability: Durability,
    way: Way,
    target: Target,
    /// The processes whose processor time counts: all of the system, without the function.
    processes: Vec<&'a Process>,
    spent: Duration,
    rounds: Vec<Round>,
}

struct Round {
    rate: f64,
    median_us: f64,
    processor_seconds: f64,
    latencies_us: Vec<f64>,
}

impl<'a> Arm<'a> {
    pub(super) fn new(
        name: &'static str,
        durability: Durability,
        way: Way,
        target: Target,
        processes: Vec<&'a Process>,
    ) -> Arm<'a> {
        Arm { name, durability, way, target, processes, spent: Duration::ZERO, rounds: Vec::new() }
    }

    /// Flows per second, for each round.
    pub(super) fn rates(&self) -> Vec<f64> {
        self.counted().iter().map(|round| round.rate).collect()
    }

    /// Medians in microseconds, for each round.
    pub(super) fn medians(&self) -> Vec<f64> {
        self.counted().iter().map(|round| round.median_us).collect()
    }

    /// The duration of every flow in microseconds.
    pub(super) fn latencies_us(&self) -> Vec<f64> {
        self.counted().iter().flat_map(|round| round.latencies_us.iter().copied()).collect()
    }

    /// Processor time per flow in microseconds.
    pub(super) fn processor_us(&self) -> f64 {
        let seconds: f64 = self.counted().iter().map(|round| round.processor_seconds).sum();
        seconds / self.latencies_us().len() as f64 * 1e6
    }

    /// The first round does not count, because connections are made and caches fill. If an arm is so slow that it has
    /// only one round, that one counts.
    fn counted(&self) -> &[Round] {
        match self.rounds.as_slice() {
            [_, rest @ ..] if !rest.is_empty() => rest,
            all => all,
        }
    }

    async fn round(&mut self, clients: usize, slice: Duration) -> Result<(), Failure> {
        let before = self.processor_time()?;
        let begun = Instant::now();
        let Sample { mut latencies_us, seconds } = self.load(clients, slice).await?;
        self.spent += begun.elapsed();
        self.rounds.push(Round {
            rate: latencies_us.len() as f64 / seconds,
            median_us: median(&mut latencies_us),
            processor_seconds: self.processor_time()? - before,
            latencies_us,
        });
        Ok(())
    }

    fn processor_time(&self) -> Result<f64, Failure> {
        self.processes.iter().map(|process| process.processor_time()).sum()
    }

    /// Runs a number of clients for a while. Each starts a chain, and the next one when the result has arrived.
    async fn load(&self, clients: usize, length: Duration) -> Result<Sample, Failure> {
        let begun = Instant::now();
        let mut running = JoinSet::new();
        for _ in 0..clients {
            let (target, way) = (self.target.clone(), self.way.clone());
            running.spawn(async move {
                let mut connection = Connection::open(target.address).await?;
                let mut latencies_us = Vec::new();
                while latencies_us.is_empty() || begun.elapsed() < length {
                    latencies_us.push(once(&mut connection, &target, &way).await?);
                }
                Ok::<_, Failure>(latencies_us)
            });
        }
        let mut latencies_us = Vec::new();
        while let Some(client) = running.join_next().await {
            latencies_us.extend(client?.map_err(|error| format!("{}: {error}", self.name))?);
        }
        Ok(Sample { latencies_us, seconds: begun.elapsed().as_secs_f64() })
    }
}

/// The time until the correct result has arrived, in microseconds.
pub(super) async fn once(connection: &mut Connection, target: &Target, way: &Way) -> Result<f64, Failure> {
    let (target, report) = match way {
        Way::Answer => (target.clone(), None),
        Way::Header(reports) => {
            let report = reports.expect();
            let url = HeaderValue::from_str(&report.url)?;
            (target.clone().header(headers::CALLBACK_URL, url), Some(report))
        }
        Way::Query(reports) => {
            let report = reports.expect();
            let path = format!("{}?callback={}", target.path, report.url);
            (Target { path, ..target.clone() }, Some(report))
        }
    };
    let begun = Instant::now();
    let answer = connection.ask(&target).await?;
    let result = match report {
        Some(report) => report.come().await?,
        None => answer,
    };
    let took = begun.elapsed();
    if result != target.body {
        return Err(format!("{} gave a wrong result of {} bytes", target.path, result.len()).into());
    }
    Ok(took.as_secs_f64() * 1e6)
}

/// Runs all arms, and measures the disk alone. If an arm is so slow that it has used twice its time, it gets no more
/// rounds after the minimum. If an arm fails, it is removed, and its name is returned with the reason.
pub(super) async fn interleave(
    arms: &mut Vec<Arm<'_>>,
    clients: usize,
    rounds: Rounds,
    least: usize,
    disk: &mut Disk,
) -> Result<Vec<(&'static str, Failure)>, Failure> {
    let enough = 2 * rounds.slice * rounds.count as u32;
    let mut failed: Vec<(usize, Failure)> = Vec::new();
    for round in 0..=rounds.count {
        disk.measure()?;
        for turn in 0..arms.len() {
            let at = (round + turn) % arms.len();
            let arm = &mut arms[at];
            let is_out = failed.iter().any(|&(other, _)| other == at);
            if !is_out
                && (arm.spent < enough || arm.rounds.len() < least)
                && let Err(why) = arm.round(clients, rounds.slice).await
            {
                failed.push((at, why));
            }
        }
    }
    failed.sort_by_key(|&(at, _)| std::cmp::Reverse(at));
    Ok(failed.into_iter().map(|(at, why)| (arms.remove(at).name, why)).collect())
}
