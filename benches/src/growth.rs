//! What grows: steps, and requests in flight.

use std::time::Duration;

use tokio::task::JoinSet;

use crate::echo::{HELD, HOLD, RELEASE};
use crate::load::{Connection, Target, closed_loop};
use crate::process::{Process, by_hand, echo, sync_flow};
use crate::stats::median;
use crate::table::{Report, Row, Table};
use crate::{Failure, Scale, block_on};

/// The bytes of a request in flight. They are held besides, so they are few.
const BODY: usize = 32;

pub(crate) fn measure(scale: Scale) -> Result<Report, Failure> {
    block_on(run(scale))
}

async fn run(scale: Scale) -> Result<Report, Failure> {
    let mut report = Report {
        title: "growth: steps, and requests in flight".to_owned(),
        tables: Vec::new(),
        notes: vec![format!("{}.", scale.name())],
        rows: Vec::new(),
    };
    steps(scale, &mut report).await?;
    in_flight(scale, &mut report).await?;
    Ok(report)
}

async fn steps(scale: Scale, report: &mut Report) -> Result<(), Failure> {
    let (rounds, slice) = if scale.quick { (5, 100) } else { (15, 500) };
    let counts: &[usize] = if scale.quick { &[1, 10, 1000] } else { &[1, 3, 10, 30, 100, 300, 1000] };
    let echo = echo()?;
    let mut table = Table::new(&["steps", "p50", "for each step", "by hand", "idle RSS"]);
    let arms: Vec<(Process, Process)> = counts
        .iter()
        .map(|&calls| Ok((sync_flow(calls, &echo, &[])?, by_hand(calls, &echo, false)?)))
        .collect::<Result<_, Failure>>()?;
    let mut each = vec![(Vec::new(), Vec::new()); counts.len()];
    let load = async |process: &Process| -> Result<f64, Failure> {
        let target = Target::new(process.address(), "/", BODY);
        let mut sample = closed_loop(&target, 1, Duration::from_millis(slice)).await?;
        Ok(median(&mut sample.latencies_us))
    };
    for _ in 0..rounds {
        for ((flow, by_hand), (ours, floors)) in arms.iter().zip(&mut each) {
            ours.push(load(flow).await?);
            floors.push(load(by_hand).await?);
        }
    }
    let mut for_each_step = Vec::new();
    for ((&calls, (flow, _)), (ours, floors)) in counts.iter().zip(&arms).zip(&mut each) {
        let (p50, floor) = (median(ours), median(floors));
        let step = p50 / calls as f64;
        for_each_step.push(step);
        table.lines.push(vec![
            calls.to_string(),
            format!("{p50:.0} us"),
            format!("{step:.1} us"),
            format!("{:.1} us", floor / calls as f64),
            format!("{:.1} MB", flow.resident()? / 1e6),
        ]);
        let name = format!("growth-steps-{calls}");
        let floor = Some(floor / calls as f64);
        report.rows.push(Row { name, value: step, unit: "us/step", floor, samples: rounds });
    }
    report.tables.push(table);
    let ten = counts.iter().position(|&calls| calls == 10).and_then(|at| for_each_step.get(at)).copied();
    let ratio = for_each_step.last().copied().unwrap_or(f64::NAN) / ten.unwrap_or(f64::NAN);
    let name = "growth-steps-ratio".to_owned();
    report.rows.push(Row { name, value: ratio, unit: "x", floor: Some(1.0), samples: rounds });
    report.notes.push(format!("A step of a thousand takes {ratio:.2} x the time of a step of ten: linear is 1."));
    Ok(())
}

async fn in_flight(scale: Scale, report: &mut Report) -> Result<(), Failure> {
    // This process holds one end of each, the flow two.
    let limit = usize::try_from(rlimit::increase_nofile_limit(65_536)?).unwrap_or(usize::MAX);
    let most = 10_000.min((limit - 100) / 2);
    let counts = if scale.quick { vec![1, 1000, most] } else { vec![1, 10, 100, 1000, 3000, most] };
    let mut table = Table::new(&["in flight", "RSS", "for each", "by hand", "all answered in"]);
    let echo = echo()?;
    let mut worst = (0.0, 0.0);
    for count in counts {
        let ours = hold(&sync_flow(1, &echo, &[])?, &echo, count).await?;
        let floor = hold(&by_hand(1, &echo, false)?, &echo, count).await?;
        let each = |held: &Held| held.grown / count as f64 / 1024.0;
        table.lines.push(vec![
            count.to_string(),
            format!("{:.1} MB", ours.resident / 1e6),
            format!("{:.1} kB", each(&ours)),
            format!("{:.1} kB", each(&floor)),
            format!("{:.0} ms", ours.answered.as_secs_f64() * 1e3),
        ]);
        // Of a few it is what the process takes once.
        if count >= 1000 {
            let name = format!("growth-in-flight-{count}");
            let (value, floor) = (each(&ours), each(&floor));
            report.rows.push(Row { name, value, unit: "kB/request", floor: Some(floor), samples: 1 });
            if value > worst.0 {
                worst = (value, floor);
            }
        }
    }
    report.tables.push(table);
    report.rows.push(Row {
        name: "in-flight-kb".to_owned(),
        value: worst.0,
        unit: "kB/request",
        floor: Some(worst.1),
        samples: 1,
    });
    report.notes.push(format!(
        "In flight: the function holds {BODY} B of each until all are there. Each takes {:.1} kB at worst (at most 16).",
        worst.0
    ));
    if most < 10_000 {
        report
            .notes
            .push(format!("This system allows a process {limit} open files: there are {most} in flight at most."));
    }
    Ok(())
}

struct Held {
    resident: f64,
    grown: f64,
    answered: Duration,
}

/// So many requests at once, which the function holds.
async fn hold(process: &Process, function: &Process, count: usize) -> Result<Held, Failure> {
    let target = Target::new(process.address(), "/", BODY);
    let mut control = Connection::open(function.address()).await?;
    let tell = |path: &str| Target::new(function.address(), path, 0);
    Connection::open(process.address()).await?.echoed(&target).await?;
    let before = process.resident()?;
    control.ask(&tell(HOLD)).await?;
    let mut asking = JoinSet::new();
    // Some hundred at a time: a listener keeps no more in wait.
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
    Ok(Held { resident, grown: resident - before, answered: begun.elapsed() })
}

async fn until_held(
    control: &mut Connection,
    held: &Target,
    count: usize,
    asking: &mut JoinSet<Result<(), Failure>>,
) -> Result<(), Failure> {
    for _ in 0..10_000 {
        let held = String::from_utf8_lossy(&control.ask(held).await?).parse::<usize>()?;
        if held >= count {
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
