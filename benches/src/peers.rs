//! The same chain on alternatives, Restate and goflow, and the same fan-out on Restate. Arms are in one table only if
//! the same part of a request survives a crash.

use std::sync::Arc;

use crate::async_flow::Stand;
use crate::fanout::FLOW;
use crate::load::Target;
use crate::peers::arm::{Arm, Durability, Way, interleave};
use crate::peers::disk::Disk;
use crate::peers::goflow::Goflow;
use crate::peers::install::{GOFLOW, RESTATE, RESTATE_SDK};
use crate::peers::reports::Reports;
use crate::peers::restate::Restate;
use crate::process::{Process, by_hand, sync_flow};
use crate::role::Role;
use crate::rounds::{Rounds, median_ratio};
use crate::stats::{median, noise, percent, percentile, spread};
use crate::table::{Report, Row, Table};
use crate::{Failure, Scale, block_on};

mod arm;
mod disk;
mod fan;
mod goflow;
mod install;
mod reports;
mod restate;

/// The arms with bounds.
const OURS: &str = "Faasflow, in phases";
const OURS_WITH_RECORDS: &str = "Faasflow, with records";
const THEIRS: &str = "Restate, TCP_NODELAY";
const THEIRS_AS_SHIPPED: &str = "Restate, as shipped";
const ONE_PHASE: &str = "Faasflow, one phase";
const BY_HAND: &str = "by hand: axum";
/// The number of calls that the bounds apply to.
const MANY: usize = 10;

pub(crate) fn measure(scale: Scale) -> Result<Report, Failure> {
    block_on(run(scale))
}

/// All systems. If one is missing, the reason.
struct Systems {
    stand: Stand,
    reports: Arc<Reports>,
    restate: Result<Restate, Failure>,
    /// On a Redis that flushes every write, and on one with default settings.
    goflows: [Result<Goflow, Failure>; 2],
}

async fn run(scale: Scale) -> Result<Report, Failure> {
    let rounds = Rounds::new(scale, (5, 400), (9, 700));
    let least = if scale.quick { 1 } else { 3 };
    let chains: &[usize] = if scale.quick { &[MANY] } else { &[1, 5, MANY] };
    let clients: &[usize] = if scale.quick { &[1, 32] } else { &[1, 8, 32] };
    let systems = Systems::start(chains, scale).await?;
    let mut tables = [Durability::Flushed, Durability::Snapshot, Durability::Nothing]
        .map(|durability| (durability, table(durability)));
    let (mut rows, mut spreads, mut bounds) = (Vec::new(), Vec::new(), Vec::new());
    let (mut flushes_us, mut failed) = (Vec::new(), Vec::new());
    for &calls in chains {
        let (flow, hand) = (sync_flow(calls, &systems.stand.echo, &[])?, by_hand(calls, &systems.stand.echo, false)?);
        for &clients in clients {
            let mut arms = systems.arms(chains, calls, &flow, &hand);
            let mut disk = Disk::new(systems.stand.folder.path())?;
            for (name, why) in interleave(&mut arms, clients, rounds, least, &mut disk).await? {
                if [OURS, OURS_WITH_RECORDS, ONE_PHASE, BY_HAND].contains(&name) {
                    return Err(why);
                }
                failed.push(format!("Not measured: {calls} calls, {}. {why}.", clients_text(clients)));
            }
            let floor = Floor { flush_us: median(&mut disk.flushes_us), hand_us: median_of(&arms, BY_HAND), calls };
            flushes_us.append(&mut disk.flushes_us);
            for arm in &arms {
                let (line, figures) = cells(arm, "", calls, clients, floor.for_durability(arm.durability));
                for (_, table) in tables.iter_mut().filter(|(durability, _)| *durability == arm.durability) {
                    table.lines.push(line.clone());
                }
                rows.extend(figures);
                spreads.push(spread(&arm.rates()));
            }
            if calls == MANY {
                bounds.extend(self::bounds(&arms, clients));
            }
        }
    }
    let mut fan = fan::measure(&systems, rounds, least).await?;
    flushes_us.append(&mut fan.flushes_us);
    rows.append(&mut fan.rows);
    spreads.append(&mut fan.spreads);
    let mut notes = vec![
        format!(
            "{}: 32 B, {rounds}; an arm whose flows are slow has fewer, but no less than {least}, of which the first counts if there are no more.",
            scale.name()
        ),
        "p50 and p99: from the call to the result, which is checked. cpu each: of the whole system, except".to_owned(),
        "the function. The system, the function and the load share the processors, and no server is stopped."
            .to_owned(),
        format!(
            "A flush of 4 KiB, alone, between the arms of each round: {:.0} us (median of {}).",
            median(&mut flushes_us),
            flushes_us.len()
        ),
    ];
    notes.push(
        "floor: on disk, a flush for each call; otherwise the chain by hand with the same number of clients, which keeps nothing."
            .to_owned(),
    );
    notes.extend(systems.notes(chains));
    notes.extend(fan.notes);
    notes.extend(failed);
    notes.extend(bounds.iter().map(|(_, note)| note.clone()));
    if bounds.is_empty() {
        notes.push("Not measured: the bounds, which are beside Restate.".to_owned());
    }
    notes.push(noise(&spreads));
    rows.extend(bounds.into_iter().map(|(row, _)| row));
    systems.stand.stop().await;
    let [flushed, snapshot, nothing] = tables.map(|(_, table)| table);
    let tables = [flushed, fan.table, snapshot, nothing].into_iter().filter(|table| !table.lines.is_empty()).collect();
    let title = "peers: the same chain on Restate and goflow, and the same fan-out on Restate".to_owned();
    Ok(Report { title, tables, notes, rows })
}

impl Systems {
    async fn start(chains: &[usize], scale: Scale) -> Result<Systems, Failure> {
        let chain = |&calls: &usize| (format!("flow-{calls}"), Role::Flow { calls, sync: false });
        let stored = |&calls: &usize| (format!("stored-{calls}"), Role::Stored { calls, sync: false, records: true });
        let roles = chains.iter().map(chain).chain(chains.iter().map(stored)).chain([(FLOW.to_owned(), Role::ForEach)]);
        let stand = Stand::with(roles.collect()).await?;
        let reports = Arc::new(Reports::start().await?);
        let restate = match scale.restate {
            Ok(()) => Restate::start(stand.folder.path(), &stand.echo).await,
            Err(why) => Err(format!("Its service cannot be built: {why}").into()),
        };
        let way = Way::Query(reports.clone());
        let flushing = ["--appendonly", "yes", "--appendfsync", "always", "--save", ""];
        let goflows = [
            Goflow::start(stand.folder.path(), &flushing, chains, &stand.echo, &way).await,
            Goflow::start(stand.folder.path(), &[], chains, &stand.echo, &way).await,
        ];
        Ok(Systems { stand, reports, restate, goflows })
    }

    fn arms<'a>(&'a self, chains: &[usize], calls: usize, flow: &'a Process, hand: &'a Process) -> Vec<Arm<'a>> {
        let mut arms = Vec::new();
        // A phase is on disk when the queue has accepted it, and this applies to the first phase too.
        let at = chains.iter().position(|&chain| chain == calls).unwrap_or_default();
        for (name, flow, at) in [(OURS, "flow", at), (OURS_WITH_RECORDS, "stored", chains.len() + at)] {
            let target = Target::new(self.stand.gateway(), &format!("/async-function/{flow}-{calls}"), 32);
            let processes = vec![&self.stand.flows[at], &self.stand.gateway];
            arms.push(Arm::new(name, Durability::Flushed, Way::Header(self.reports.clone()), target, processes));
        }
        if let Ok(restate) = &self.restate {
            for (name, service) in [(THEIRS, &restate.prompt), (THEIRS_AS_SHIPPED, &restate.shipped)] {
                let processes = vec![&restate.server, &service.process];
                arms.push(Arm::new(name, Durability::Flushed, Way::Answer, restate.target(service, calls), processes));
            }
        }
        // The first node runs within the request, and data is written to Redis only between nodes. So with one call
        // nothing is kept, whatever the settings of Redis are.
        let durability = if calls == 1 {
            [None, Some(Durability::Nothing)]
        } else {
            [Some(Durability::Flushed), Some(Durability::Snapshot)]
        };
        for (goflow, durability) in self.goflows.iter().zip(durability) {
            if let (Ok(goflow), Some(durability)) = (goflow, durability) {
                let processes = vec![&goflow.flows, &goflow.redis];
                arms.push(Arm::new(
                    "goflow",
                    durability,
                    Way::Query(self.reports.clone()),
                    goflow.target(calls),
                    processes,
                ));
            }
        }
        for (name, process) in [(ONE_PHASE, flow), (BY_HAND, hand)] {
            let target = Target::new(process.address(), "/", 32);
            arms.push(Arm::new(name, Durability::Nothing, Way::Answer, target, vec![process]));
        }
        arms
    }

    /// What each system is, what it keeps and when, and which are missing.
    fn notes(&self, chains: &[usize]) -> Vec<String> {
        let mut notes = vec![
            "Faasflow, in phases: a phase is a call; each, the first too, is in the file of the local gateway's queue and".to_owned(),
            "flushed before it is accepted. With records, each result is in the gateway's store and flushed before the next phase is".to_owned(),
            "queued. In one phase, and by hand: calls straight to the function, and nothing is written.".to_owned(),
        ];
        match &self.restate {
            Ok(_) => notes.extend([
                format!("Restate {RESTATE}, one node, its defaults; service with restate-sdk {RESTATE_SDK}, a call is a `ctx.run`: its result is in the"),
                "log server's write-ahead log and flushed (`rocksdb-disable-wal-fsync = false`) before the next step begins.".to_owned(),
                "As shipped, the SDK's server leaves Nagle's algorithm on; with TCP_NODELAY, the service has a server of its own.".to_owned(),
            ]),
            Err(why) => notes.push(format!("Not measured: Restate {RESTATE}. {why}.")),
        }
        let redis = install::redis().unwrap_or_default();
        for (goflow, settings) in self.goflows.iter().zip([
            "`--appendonly yes --appendfsync always`: every write is flushed before it is answered",
            "no settings: a snapshot after 60 s if 10,000 keys changed, after an hour if one did",
        ]) {
            match goflow {
                Ok(_) => notes.push(format!("goflow {GOFLOW}, a call is a node; Redis {redis}, {settings}.")),
                Err(why) => notes.push(format!("Not measured: goflow {GOFLOW}, on Redis with {settings}. {why}.")),
            }
        }
        if self.goflows.iter().any(Result::is_ok) {
            notes.push(
                "It checks an empty queue once a second, which cannot be changed; this is what its hops take."
                    .to_owned(),
            );
            if chains.contains(&1) {
                notes.push("A goflow flow of one node runs within its request and keeps nothing in Redis, so it stands where nothing is kept.".to_owned());
            }
        }
        notes
    }
}

fn table(durability: Durability) -> Table {
    let durability = match durability {
        Durability::Flushed => "on disk, flushed, before the next step",
        Durability::Snapshot => "in Redis's memory, with snapshots",
        Durability::Nothing => "nothing is kept",
    };
    Table::new(&heads(durability, "calls"))
}

/// The column titles of [`cells`]. The first says what survives a crash, and the second what is counted.
fn heads<'a>(durability: &'a str, counted: &'a str) -> [&'a str; 10] {
    [durability, counted, "clients", "p50", "floor", "p99", "flows/s", "cpu each", "flows", "spread"]
}

/// The least time that a chain needs.
struct Floor {
    flush_us: f64,
    hand_us: Option<f64>,
    calls: usize,
}

impl Floor {
    fn for_durability(&self, durability: Durability) -> Option<f64> {
        match durability {
            Durability::Flushed => Some(self.flush_us * self.calls as f64),
            Durability::Snapshot | Durability::Nothing => self.hand_us,
        }
    }
}

fn median_of(arms: &[Arm<'_>], name: &str) -> Option<f64> {
    arms.iter().find(|arm| arm.name == name).map(|arm| median(&mut arm.latencies_us()))
}

/// An arm as a line of its table, and as rows. The names of the rows have this prefix before the number of calls or
/// items. The floor is in microseconds.
fn cells(arm: &Arm<'_>, prefix: &str, count: usize, clients: usize, floor: Option<f64>) -> (Vec<String>, Vec<Row>) {
    let mut latencies_us = arm.latencies_us();
    let (p50, p99) = (median(&mut latencies_us), percentile(&mut latencies_us, 0.99));
    let (rate, samples) = (median(&mut arm.rates()), latencies_us.len());
    let line = vec![
        arm.name.to_owned(),
        count.to_string(),
        clients.to_string(),
        format!("{:.2} ms", p50 / 1e3),
        floor.map_or_else(|| "-".to_owned(), |floor| format!("{:.2} ms", floor / 1e3)),
        format!("{:.2} ms", p99 / 1e3),
        if rate < 100.0 { format!("{rate:.1}") } else { format!("{rate:.0}") },
        format!("{:.0} us", arm.processor_us()),
        samples.to_string(),
        percent(spread(&arm.rates())),
    ];
    let durability = match arm.durability {
        Durability::Flushed => "flushed",
        Durability::Snapshot => "snapshot",
        Durability::Nothing => "nothing",
    };
    let name = arm.name.to_lowercase().replace([',', ':'], "").replace(' ', "-");
    let rounds = arm.rates().len();
    let row = |what: &str, value, unit, floor, samples| Row {
        name: format!("peers-{durability}-{name}-{prefix}{count}-{clients}-{what}"),
        value,
        unit,
        floor,
        samples,
    };
    let rows = vec![
        row("p50", p50, "us", floor, samples),
        row("p99", p99, "us", None, samples),
        row("rate", rate, "flows/s", None, rounds),
        row("cpu", arm.processor_us(), "us", None, rounds),
    ];
    (line, rows)
}

/// The bounds for this number of clients, as rows and as text.
fn bounds(arms: &[Arm<'_>], clients: usize) -> Vec<(Row, String)> {
    let of = |name| arms.iter().find(|arm| arm.name == name);
    let Some(theirs) = of(THEIRS) else { return Vec::new() };
    let row = |name: String, value, samples| Row { name, value, unit: "x", floor: Some(1.0), samples };
    let mut bounds = Vec::new();
    for (ours, records, with, least) in [(OURS, "", "", 3), (OURS_WITH_RECORDS, "-records", " with records", 2)] {
        let Some(ours) = of(ours) else { continue };
        let phases = format!("{MANY} phases{with} on disk, {}", clients_text(clients));
        match clients {
            1 => {
                let ratio = median_ratio(&ours.medians(), &theirs.medians());
                let note = format!("{phases}: {ratio:.2} x Restate's time with TCP_NODELAY (at most 0.5).");
                bounds.push((row(format!("async-10{records}-vs-restate"), ratio, ours.medians().len()), note));
            }
            32 => {
                let ratio = median_ratio(&ours.rates(), &theirs.rates());
                let note = format!("{phases}: {ratio:.2} x its workflows a second (at least {least}).");
                bounds.push((row(format!("async-10{records}-rate-vs-restate"), ratio, ours.rates().len()), note));
            }
            _ => {}
        }
    }
    bounds
}

/// A number of clients in a sentence.
fn clients_text(clients: usize) -> String {
    format!("{clients} client{}", if clients == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_say_what_was_counted() {
        let target = Target::new(([127, 0, 0, 1], 1).into(), "/", 0);
        let arm = Arm::new(OURS, Durability::Flushed, Way::Answer, target, Vec::new());
        let names = |prefix| cells(&arm, prefix, 100, 8, None).1.into_iter().map(|row| row.name);
        assert_eq!(names("").next().unwrap(), "peers-flushed-faasflow-in-phases-100-8-p50");
        assert_eq!(names("fan-").next().unwrap(), "peers-flushed-faasflow-in-phases-fan-100-8-p50");
    }
}
