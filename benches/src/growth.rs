//! How costs grow with the number of steps and of requests in flight.

use std::time::Duration;

use tokio::task::JoinSet;

use crate::echo::{HELD, HOLD, RELEASE};
use crate::load::{Connection, Target, closed_loop};
use crate::process::{Process, by_hand, echo, sync_flow};
use crate::stats::{median, noise, percent, percentile, spread};
use crate::table::{Report, Row, Table};
use crate::{Failure, Scale, block_on};

/// The size of the body of a request in flight. The function holds the bodies as well, so they are small.
const BODY: usize = 32;

pub(crate) fn measure(scale: Scale) -> Result<Report, Failure> {
    block_on(run(scale))
}

async fn run(scale: Scale) -> Result<Report, Failure> {
    let mut report = Report {
        title: "growth: steps, and requests in flight".to_owned(),
        tables: Vec::new(),
        notes: Vec::new(),
        rows: Vec::new(),
    };
    let mut spreads = steps(scale, &mut report).await?;
    spreads.extend(in_flight(scale, &mut report).await?);
    report.notes.push(noise(&spreads));
    Ok(report)
}

/// The spread of the rounds of each arm.
async fn steps(scale: Scale, report: &mut Report) -> Result<Vec<f64>, Failure> {
    let (rounds, slice) = if scale.quick { (5, 100) } else { (15, 500) };
    let counts: &[usize] = if scale.quick { &[1, 10, 100, 1000] } else { &[1, 3, 10, 30, 100, 300, 1000] };
    let echo = echo()?;
    let mut table = Table::new(&["steps", "p50", "p99", "for each step", "by hand", "RSS", "spread"]);
    let arms: Vec<(Process, Process)> = counts
        .iter()
        .map(|&calls| Ok((sync_flow(calls, &echo, &[])?, by_hand(calls, &echo, false)?)))
        .collect::<Result<_, Failure>>()?;
    let mut each = vec![(Vec::new(), Vec::new()); counts.len()];
    let mut all_us = vec![Vec::new(); counts.len()];
    let load = async |process: &Process| -> Result<Vec<f64>, Failure> {
        let target = Target::new(process.address(), "/", BODY);
        Ok(closed_loop(&target, 1, Duration::from_millis(slice)).await?.latencies_us)
    };
    for round in 0..=rounds {
        for turn in 0..arms.len() {
            let at = (round + turn) % arms.len();
            let (mut flow_us, mut by_hand_us) = if round % 2 == 0 {
                let flow_us = load(&arms[at].0).await?;
                (flow_us, load(&arms[at].1).await?)
            } else {
                let by_hand_us = load(&arms[at].1).await?;
                (load(&arms[at].0).await?, by_hand_us)
            };
            // The first round does not count, because caches fill.
            if round > 0 {
                each[at].0.push(median(&mut flow_us));
                each[at].1.push(median(&mut by_hand_us));
                all_us[at].append(&mut flow_us);
            }
        }
    }
    let (mut took_us, mut spreads) = (Vec::new(), Vec::new());
    for (((&calls, (flow, _)), (ours, floors)), all_us) in counts.iter().zip(&arms).zip(&mut each).zip(&mut all_us) {
        let apart = spread(ours);
        spreads.push(apart);
        let (p50, p99, floor) = (median(ours), percentile(all_us, 0.99), median(floors));
        let step = p50 / calls as f64;
        took_us.push((calls, p50));
        table.lines.push(vec![
            calls.to_string(),
            format!("{p50:.0} us"),
            format!("{p99:.0} us"),
            format!("{step:.1} us"),
            format!("{:.1} us", floor / calls as f64),
            format!("{:.1} MB", flow.resident()? / 1e6),
            percent(apart),
        ]);
        let name = format!("growth-steps-{calls}");
        let p99_row = Row { name: format!("{name}-p99"), value: p99, unit: "us", floor: None, samples: all_us.len() };
        let floor = Some(floor / calls as f64);
        report.rows.extend([Row { name, value: step, unit: "us/step", floor, samples: rounds }, p99_row]);
    }
    report.tables.push(table);
    let ratio = growth(&took_us).unwrap_or(f64::NAN);
    let name = "growth-steps-ratio".to_owned();
    report.rows.push(Row { name, value: ratio, unit: "x", floor: Some(1.0), samples: rounds });
    report.notes.push(format!(
        "{}: steps: one client, {rounds} rounds of {slice} ms an arm, interleaved, in an order that rotates.",
        scale.name()
    ));
    report.notes.push(format!(
        "An additional step takes {ratio:.2} x as long from 100 to 1000 steps as from 10 to 100; 1 is linear. RSS: after these rounds."
    ));
    Ok(spreads)
}

/// How much more an additional step takes from 100 to 1,000 steps than from 10 to 100. Fixed costs per request are in
/// neither.
fn growth(took_us: &[(usize, f64)]) -> Option<f64> {
    let at = |steps| took_us.iter().find(|(calls, _)| *calls == steps).map(|(_, took_us)| *took_us);
    let (ten, hundred, thousand) = (at(10)?, at(100)?, at(1000)?);
    Some((thousand - hundred) / 900.0 / ((hundred - ten) / 90.0))
}

/// The counts that are possible with this limit of open files, and a note about the others.
fn possible(counts: &[usize], limit: usize) -> (Vec<usize>, Option<String>) {
    // For each request, the load has one end of the connection and the flow has two.
    let most = limit.saturating_sub(100) / 2;
    let (possible_counts, dropped): (Vec<usize>, Vec<usize>) = counts.iter().partition(|&&count| count <= most);
    if dropped.is_empty() {
        return (possible_counts, None);
    }
    let dropped: Vec<String> = dropped.iter().map(usize::to_string).collect();
    let note = format!(
        "Not measured: {} in flight. This system allows a process {limit} open files, which is {most} in flight at most.",
        dropped.join(", ")
    );
    (possible_counts.into_iter().chain((most > 0).then_some(most)).collect(), Some(note))
}

/// The spread of the rounds of each arm.
async fn in_flight(scale: Scale, report: &mut Report) -> Result<Vec<f64>, Failure> {
    let (rounds, counts) = match scale.quick {
        true => (3, &[1, 1000, 10_000][..]),
        false => (5, &[1, 10, 100, 1000, 3000, 10_000][..]),
    };
    let limit = usize::try_from(rlimit::increase_nofile_limit(65_536)?).unwrap_or(usize::MAX);
    let (counts, dropped) = possible(counts, limit);
    let mut table = Table::new(&["in flight", "RSS", "for each", "by hand", "all answered in", "spread"]);
    let echo = echo()?;
    let (mut worst, mut spreads) = (None, Vec::new());
    for count in counts {
        let most = (count + 1).to_string();
        let (mut resident, mut answered_ms) = (Vec::new(), Vec::new());
        let (mut ours, mut floors) = (Vec::new(), Vec::new());
        for turn in 0..2 * rounds {
            // Flow, floor, floor, flow, and so on.
            let is_ours = turn % 4 == 0 || turn % 4 == 3;
            // By default, a flow accepts as many requests as a third of its files allows. Here it has no other
            // connections.
            let takes = [("max_inflight_requests", most.as_str())];
            let process = if is_ours { sync_flow(1, &echo, &takes)? } else { by_hand(1, &echo, false)? };
            let requests_held = hold(&process, &echo, count).await?;
            let each = requests_held.grown / count as f64 / 1e3;
            if is_ours {
                resident.push(requests_held.resident / 1e6);
                answered_ms.push(requests_held.answered.as_secs_f64() * 1e3);
                ours.push(each);
            } else {
                floors.push(each);
            }
        }
        // With few requests, the fixed memory of the process dominates.
        let apart = if count < 1000 { f64::NAN } else { spread(&ours) };
        spreads.push(apart);
        let (value, floor) = (median(&mut ours), median(&mut floors));
        table.lines.push(vec![
            count.to_string(),
            format!("{:.1} MB", median(&mut resident)),
            format!("{value:.1} kB"),
            format!("{floor:.1} kB"),
            format!("{:.0} ms", median(&mut answered_ms)),
            percent(apart),
        ]);
        if count >= 1000 {
            let row = |name: &str| Row {
                name: name.to_owned(),
                value,
                unit: "kB/request",
                floor: Some(floor),
                samples: rounds,
            };
            report.rows.push(row(&format!("growth-in-flight-{count}")));
            if worst.as_ref().is_none_or(|worst: &Row| value > worst.value) {
                worst = Some(row("in-flight-kb"));
            }
        }
    }
    report.tables.push(table);
    report.notes.push(format!(
        "In flight: the function holds {BODY} B of each until all have arrived; medians of {rounds} rounds, each in a new process."
    ));
    if let Some(worst) = worst {
        report.notes.push(format!("From 1000 on, each takes {:.1} kB at worst (at most 16).", worst.value));
        report.rows.push(worst);
    }
    report.notes.extend(dropped);
    Ok(spreads)
}

struct Footprint {
    resident: f64,
    grown: f64,
    answered: Duration,
}

/// Sends this many requests at once, which the function holds.
async fn hold(process: &Process, function: &Process, count: usize) -> Result<Footprint, Failure> {
    let target = Target::new(process.address(), "/", BODY);
    let mut control = Connection::open(function.address()).await?;
    let tell = |path: &str| Target::new(function.address(), path, 0);
    Connection::open(process.address()).await?.echoed(&target).await?;
    let before = process.resident()?;
    control.ask(&tell(HOLD)).await?;
    let mut asking = JoinSet::new();
    // A few hundred at a time, because a listener keeps no more connections waiting.
    for opened in 1..=count {
        let mut connection = Connection::open(process.address()).await?;
        let target = target.clone();
        asking.spawn(async move { connection.echoed(&target).await });
        if opened % 100 == 0 || opened == count {
            until_held(&mut control, &tell(HELD), opened, &mut asking).await?;
        }
    }
    let resident = process.resident()?;
    let begun = std::time::Instant::now();
    control.ask(&tell(RELEASE)).await?;
    while let Some(answer) = asking.join_next().await {
        answer??;
    }
    Ok(Footprint { resident, grown: resident - before, answered: begun.elapsed() })
}

async fn until_held(
    control: &mut Connection,
    requests_held: &Target,
    count: usize,
    asking: &mut JoinSet<Result<(), Failure>>,
) -> Result<(), Failure> {
    for _ in 0..10_000 {
        let requests_held = String::from_utf8_lossy(&control.ask(requests_held).await?).parse::<usize>()?;
        if requests_held >= count {
            return Ok(());
        }
        if let Some(ended) = asking.try_join_next() {
            ended??;
            return Err("a request that should be held was answered".into());
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    Err(format!("{count} requests are not in flight after ten seconds").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_cost_of_a_request_is_not_growth() {
        let linear = |steps: usize| (steps, 50.0 + 3.0 * steps as f64);
        assert!((growth(&[1, 10, 100, 1000].map(linear)).unwrap() - 1.0).abs() < 1e-9);
        let square = |steps: usize| (steps, (steps * steps) as f64);
        assert!(growth(&[10, 100, 1000].map(square)).unwrap() > 9.0);
        assert_eq!(growth(&[10, 100].map(linear)), None);
    }

    #[test]
    fn a_measurement_that_the_system_forbids_is_left_out_and_reported() {
        assert_eq!(possible(&[1, 1000, 10_000], 65_536), (vec![1, 1000, 10_000], None));
        let (counts, notice) = possible(&[1, 1000, 3000, 10_000], 1024);
        assert_eq!(counts, [1, 462]);
        assert!(notice.unwrap().starts_with("Not measured: 1000, 3000, 10000 in flight. This system allows"));
        assert_eq!(possible(&[1], 50).0, [0; 0]);
    }
}
