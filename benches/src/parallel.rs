//! Synchronous branches side by side, as a flow and by hand.

use bytes::Bytes;
use faasflow_benches_deployed::branch_name;

use crate::load::Target;
use crate::process::{echo, parallel_by_hand, parallel_flow};
use crate::rounds::{Arm, Figures, Rounds, interleave};
use crate::stats::noise;
use crate::table::{Report, Row, Table, bytes};
use crate::{Failure, Scale, block_on};

/// The arm that the others are compared with.
const FLOOR: usize = 1;
/// The number of branches that the bound is for.
const BOUND: usize = 10;

pub(crate) fn measure(scale: Scale) -> Result<Report, Failure> {
    block_on(run(scale))
}

/// Branches, bytes and clients: every combination, or only those that the bound is for.
fn cells(scale: Scale) -> Vec<(usize, usize, usize)> {
    let (branches, bodies): (&[usize], &[usize]) =
        if scale.quick { (&[BOUND], &[32]) } else { (&[2, BOUND, 50], &[32, 10_000]) };
    let mut cells = Vec::new();
    for &branches in branches {
        for &body in bodies {
            cells.extend([1, 8, 32].map(|clients| (branches, body, clients)));
        }
    }
    cells
}

/// A JSON string of this length, because the join makes an object of the outputs.
pub(crate) fn json_text(length: usize) -> Bytes {
    format!("\"{}\"", "x".repeat(length - 2)).into()
}

/// The length of what the join makes of the outputs of this number of branches.
pub(crate) fn joined(branches: usize, output: usize) -> usize {
    // Quotation marks, a colon, and a comma or brace for each, and one brace more.
    (0..branches).map(|branch| branch_name(branch).len() + 4 + output).sum::<usize>() + 1
}

async fn run(scale: Scale) -> Result<Report, Failure> {
    let rounds = Rounds::new(scale, (9, 400), (9, 400));
    let echo = echo()?;
    let heads: Vec<&str> = ["branches", "body", "clients", "arm"].into_iter().chain(Figures::HEADS).collect();
    let mut table = Table::new(&heads);
    let (mut rows, mut spreads) = (Vec::new(), Vec::new());
    let mut worst = 0.0_f64;
    for (branches, body, clients) in cells(scale) {
        let flow = parallel_flow(branches, &echo, &[])?;
        let quiet = parallel_flow(branches, &echo, &[("RUST_LOG", "off")])?;
        let axum = parallel_by_hand(branches, &echo)?;
        let arms = [("flow", &flow), ("by hand: axum", &axum), ("flow, no log", &quiet)];
        let mut arms = arms.map(|(name, process)| {
            let target = Target::with_body(process.address(), "/", json_text(body));
            Arm::new(name, process, target.answered_with(joined(branches, body)))
        });
        let figures = interleave(&mut arms, FLOOR, clients, rounds).await?;
        for (arm, figures) in arms.iter().zip(&figures) {
            let mut line = vec![branches.to_string(), bytes(body), clients.to_string(), arm.name.to_owned()];
            line.extend(figures.cells());
            table.lines.push(line);
            spreads.push(figures.spread);
        }
        let name = format!("parallel-{branches}-{body}b-{clients}");
        rows.extend(figures[0].rows(&name, &figures[FLOOR]));
        rows.extend(figures[2].rows(&format!("{name}-no-log"), &figures[FLOOR]));
        if branches == BOUND {
            worst = worst.max(figures[0].p50_ratio);
        }
    }
    // The bound applies to every body and number of clients. The row has the worst.
    let (name, samples) = (format!("parallel-{BOUND}-p50-ratio"), rounds.count);
    rows.push(Row { name, value: worst, unit: "x", floor: Some(1.0), samples });
    let notes = vec![
        format!("{}: {rounds}.", scale.name()),
        "The floor is `by hand: axum`: the same calls with `join_all` and the same HTTP client, and the same JSON object of their answers.".to_owned(),
        "cpu each: processor time of the process that makes the calls, per request.".to_owned(),
        format!("At {BOUND} branches, at worst: p50 {worst:.3} x (at most 1.1)."),
        noise(&spreads),
    ];
    Ok(Report { title: "parallel: synchronous branches side by side".to_owned(), tables: vec![table], notes, rows })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_of_the_joined_output_is_known() {
        let output = json_text(32);
        assert_eq!(output.len(), 32);
        let text = String::from_utf8(output.to_vec()).unwrap();
        let object = format!(r#"{{"{}":{text},"{}":{text}}}"#, branch_name(0), branch_name(1));
        assert_eq!(joined(2, 32), object.len());
    }
}
