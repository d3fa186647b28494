//! A chain of synchronous calls, as a flow and by hand.

use crate::load::Target;
use crate::process::{by_hand, echo, sync_flow};
use crate::rounds::{Arm, Figures, Rounds, interleave};
use crate::stats::noise;
use crate::table::{Report, Row, Table, bytes};
use crate::{Failure, Scale, block_on};

/// The arm that the others are compared with.
const FLOOR: usize = 1;

pub(crate) fn measure(scale: Scale) -> Result<Report, Failure> {
    block_on(run(scale))
}

/// Calls, bytes and clients: every combination, or a few important ones.
fn cells(scale: Scale) -> Vec<(usize, usize, usize)> {
    if scale.quick {
        return vec![(1, 32, 8), (10, 32, 1), (10, 32, 32), (10, 10_000, 8)];
    }
    let mut cells = Vec::new();
    for calls in [1, 2, 5, 10, 50] {
        for body in [32, 10_000] {
            cells.extend([1, 8, 32].map(|clients| (calls, body, clients)));
        }
    }
    cells
}

async fn run(scale: Scale) -> Result<Report, Failure> {
    let rounds = Rounds::new(scale, (9, 200), (9, 400));
    let echo = echo()?;
    let heads: Vec<&str> = ["calls", "body", "clients", "arm"].into_iter().chain(Figures::HEADS).collect();
    let mut table = Table::new(&heads);
    let (mut rows, mut spreads) = (Vec::new(), Vec::new());
    let mut tens = Vec::new();
    for (calls, body, clients) in cells(scale) {
        let flow = sync_flow(calls, &echo, &[])?;
        let quiet = sync_flow(calls, &echo, &[("RUST_LOG", "off")])?;
        let (axum, bare) = (by_hand(calls, &echo, false)?, by_hand(calls, &echo, true)?);
        let arms = [("flow", &flow), ("by hand: axum", &axum), ("by hand: hyper", &bare), ("flow, no log", &quiet)];
        let mut arms = arms.map(|(name, process)| Arm::new(name, process, Target::new(process.address(), "/", body)));
        let figures = interleave(&mut arms, FLOOR, clients, rounds).await?;
        for (arm, figures) in arms.iter().zip(&figures) {
            let mut line = vec![calls.to_string(), bytes(body), clients.to_string(), arm.name.to_owned()];
            line.extend(figures.cells());
            table.lines.push(line);
            spreads.push(figures.spread);
        }
        rows.extend(figures[0].rows(&format!("sync-{calls}-{body}b-{clients}"), &figures[FLOOR]));
        rows.extend(figures[2].rows(&format!("sync-{calls}-{body}b-{clients}-bare"), &figures[FLOOR]));
        rows.extend(figures[3].rows(&format!("sync-{calls}-{body}b-{clients}-no-log"), &figures[FLOOR]));
        if calls == 10 {
            tens.push(figures[0].clone());
        }
    }
    // The bound applies to every body and number of clients. The row has the worst.
    let samples = rounds.count;
    let ratio = |name: &str, value| Row { name: name.to_owned(), value, unit: "x", floor: Some(1.0), samples };
    let worst_p50 = tens.iter().map(|figures| figures.p50_ratio).fold(0.0, f64::max);
    let worst_rate = tens.iter().map(|figures| figures.rate_ratio).fold(f64::INFINITY, f64::min);
    rows.push(ratio("sync-10-p50-ratio", worst_p50));
    rows.push(ratio("sync-10-rate-ratio", worst_rate));
    let notes = vec![
        format!("{}: {rounds}.", scale.name()),
        "The floor is `by hand: axum`: the same calls, one after the other, with the same HTTP client; ratios are medians of the rounds' ratios.".to_owned(),
        "cpu each: processor time of the process that makes the calls, per request.".to_owned(),
        format!("At 10 calls, at worst: p50 {worst_p50:.3} x (at most 1.05), requests/s {worst_rate:.3} x (at least 0.95)."),
        noise(&spreads),
    ];
    Ok(Report { title: "sync-chain: calls one after the other".to_owned(), tables: vec![table], notes, rows })
}
