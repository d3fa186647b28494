//! The time and memory that payloads of different sizes take in five calls.

use crate::load::{Connection, Target};
use crate::process::{Process, by_hand, echo, sync_flow};
use crate::rounds::{Arm, Rounds, interleave};
use crate::stats::{median, noise, percent};
use crate::table::{Report, Row, Table, bytes};
use crate::{Failure, Scale, block_on};

const CALLS: usize = 5;
const FLOOR: usize = 1;
/// For smaller payloads, the fixed memory of the process matters more than the payload.
const WEIGHED: usize = 1_000_000;
/// From this size on, there are fewer rounds, and the bound on memory applies. A request takes a few MB in addition to
/// its payload, for connections and the allocator, which is more than twice a payload of 1 MB.
const LARGE: usize = 10_000_000;

pub(crate) fn measure(scale: Scale) -> Result<Report, Failure> {
    block_on(run(scale))
}

async fn run(scale: Scale) -> Result<Report, Failure> {
    let sizes: &[usize] = match scale.quick {
        true => &[1000, 1_000_000, 10_000_000, 64_000_000],
        false => &[1000, 10_000, 100_000, 1_000_000, 10_000_000, 64_000_000],
    };
    let rounds = Rounds::new(scale, (5, 200), (9, 1000));
    let weighings = if scale.quick { 3 } else { 7 };
    let echo = echo()?;
    let heads =
        ["payload", "arm", "p50", "p99", "MB/s", "p50 of floor", "cpu of floor", "peak RSS", "over payload", "spread"];
    let mut table = Table::new(&heads);
    let (mut rows, mut spreads) = (Vec::new(), Vec::new());
    let (mut worst_time, mut worst_peak) = ((0.0_f64, 0), (0.0_f64, 0.0));
    for &size in sizes {
        let (flow, by_hand) = (sync_flow(CALLS, &echo, &[])?, by_hand(CALLS, &echo, false)?);
        let mut arms = [("flow", &flow), ("by hand: axum", &by_hand)]
            .map(|(name, process)| Arm::new(name, process, Target::new(process.address(), "/", size)));
        // Each round takes seconds, so there are only a few.
        let rounds = if size >= LARGE { Rounds { count: rounds.count / 2, ..rounds } } else { rounds };
        let figures = interleave(&mut arms, FLOOR, 1, rounds).await?;
        let mut peaks = [f64::NAN; 2];
        if size >= WEIGHED {
            let mut weighed: [Vec<f64>; 2] = Default::default();
            for turn in 0..2 * weighings {
                // Flow, floor, floor, flow, and so on.
                let arm = usize::from(turn % 4 == 1 || turn % 4 == 2);
                let process = if arm == 0 {
                    sync_flow(CALLS, &echo, &[])?
                } else {
                    crate::process::by_hand(CALLS, &echo, false)?
                };
                weighed[arm].push(weigh(size, &process).await?);
            }
            peaks = weighed.map(|mut weighed| median(&mut weighed));
        }
        for ((arm, figures), peak) in arms.iter().zip(&figures).zip(peaks) {
            let weighed = |text: String| if peak.is_nan() { "-".to_owned() } else { text };
            table.lines.push(vec![
                bytes(size),
                arm.name.to_owned(),
                format!("{:.0} us", figures.p50_us),
                format!("{:.0} us", figures.p99_us),
                format!("{:.1}", size as f64 / figures.p50_us),
                format!("{:.3} x", figures.p50_ratio),
                format!("{:.3} x", figures.processor_ratio),
                weighed(format!("{:.1} MB", peak / 1e6)),
                weighed(format!("{:.2} x", peak / size as f64)),
                percent(figures.spread),
            ]);
            spreads.push(figures.spread);
        }
        let name = format!("payload-{}", bytes(size).replace(' ', "").to_lowercase());
        rows.extend(figures[0].rows(&name, &figures[FLOOR]));
        if figures[0].p50_ratio > worst_time.0 {
            worst_time = (figures[0].p50_ratio, rounds.count);
        }
        if size >= WEIGHED {
            let ratio = (peaks[0] / size as f64, peaks[1] / size as f64);
            rows.push(ratio_row(&format!("{name}-rss-ratio"), ratio, weighings));
            if size >= LARGE && ratio.0 > worst_peak.0 {
                worst_peak = ratio;
            }
        }
    }
    rows.push(ratio_row("payload-time-ratio", (worst_time.0, 1.0), worst_time.1));
    rows.push(ratio_row("payload-rss-ratio", worst_peak, weighings));
    let notes = vec![
        format!("{}: {CALLS} calls, one client, {rounds}; of the large ones half as many.", scale.name()),
        "Peak RSS: the peak memory during one request, minus the memory before it, in a process that had answered"
            .to_owned(),
        format!("one small request; the median of {weighings}."),
        format!(
            "At worst {:.3} x the time (at most 1.25); from {} on, {:.2} x the payload in memory (at most 2).",
            worst_time.0,
            bytes(LARGE),
            worst_peak.0
        ),
        "A request takes a few MB more, for connections and the allocator, so the bound is for large payloads."
            .to_owned(),
        noise(&spreads),
    ];
    Ok(Report { title: "payload: payloads through five calls".to_owned(), tables: vec![table], notes, rows })
}

fn ratio_row(name: &str, (value, floor): (f64, f64), samples: usize) -> Row {
    Row { name: name.to_owned(), value, unit: "x", floor: Some(floor), samples }
}

/// The most memory that a request of this size uses, in bytes.
async fn weigh(size: usize, process: &Process) -> Result<f64, Failure> {
    let mut connection = Connection::open(process.address()).await?;
    connection.echoed(&Target::new(process.address(), "/", 1000)).await?;
    process.forget_peak()?;
    let before = process.resident()?;
    connection.echoed(&Target::new(process.address(), "/", size)).await?;
    Ok(process.peak()? - before)
}
