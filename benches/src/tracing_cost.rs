//! What tracing costs a flow: when it is off, when every request is sampled, and when the trace server never answers.

use faasflow_core::headers;
use http::HeaderValue;

use crate::echo::{HOLD, TRACED};
use crate::load::{Connection, Target};
use crate::process::{echo, sync_flow};
use crate::rounds::{Arm, Figures, Rounds, interleave};
use crate::stats::{greater, noise};
use crate::table::{Report, Row, Table};
use crate::{Failure, Scale, block_on};

const CALLS: usize = 10;
/// The arm that the others are compared with.
const OFF: usize = 0;
/// The trace context of a sampled request.
pub(crate) const SAMPLED: HeaderValue =
    HeaderValue::from_static("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");

pub(crate) fn measure(scale: Scale) -> Result<Report, Failure> {
    block_on(run(scale))
}

async fn run(scale: Scale) -> Result<Report, Failure> {
    let rounds = Rounds::new(scale, (9, 200), (21, 700));
    let (echo, server, dead) = (echo()?, echo()?, echo()?);
    // It still accepts connections and reads requests.
    Connection::open(dead.address()).await?.ask(&Target::new(dead.address(), HOLD, 0)).await?;
    let (to_server, to_dead) = (format!("http://{}", server.address()), format!("http://{}", dead.address()));
    let off = sync_flow(CALLS, &echo, &[])?;
    let on = sync_flow(CALLS, &echo, &[("enable_tracing", "true"), ("trace_server", &to_server)])?;
    let stuck = sync_flow(CALLS, &echo, &[("enable_tracing", "true"), ("trace_server", &to_dead)])?;
    let heads: Vec<&str> = ["clients", "tracing"].into_iter().chain(Figures::HEADS).collect();
    let mut table = Table::new(&heads);
    let (mut rows, mut spreads) = (Vec::new(), Vec::new());
    let mut worst = (0.0_f64, 0.0_f64);
    let mut worst_rate = (f64::INFINITY, f64::INFINITY);
    for clients in [1, 8] {
        let mut arms = [("off", &off), ("on, all sampled", &on), ("on, server dead", &stuck)].map(|(name, process)| {
            let target = Target::new(process.address(), "/", 32).header(headers::TRACEPARENT, SAMPLED);
            Arm::new(name, process, target)
        });
        let figures = interleave(&mut arms, OFF, clients, rounds).await?;
        let floor = &figures[OFF];
        for ((arm, figures), slug) in arms.iter().zip(&figures).zip(["off", "on", "dead"]) {
            table.lines.push([vec![clients.to_string(), arm.name.to_owned()], figures.cells()].concat());
            spreads.push(figures.spread);
            rows.extend(figures.rows(&format!("tracing-{slug}-{clients}"), floor));
        }
        worst = (greater(worst.0, figures[1].p50_ratio), greater(worst.1, figures[2].p50_ratio));
        worst_rate = (worst_rate.0.min(figures[1].rate_ratio), worst_rate.1.min(figures[2].rate_ratio));
    }
    let traced = Connection::open(server.address()).await?.ask(&Target::new(server.address(), TRACED, 0)).await?;
    let traced: f64 = String::from_utf8_lossy(&traced).parse()?;
    let row =
        |name: &str, value| Row { name: name.to_owned(), value, unit: "x", floor: Some(1.0), samples: rounds.count };
    rows.extend([row("tracing-on-ratio", worst.0), row("tracing-dead-ratio", worst.1)]);
    let notes = vec![
        format!("{}: {CALLS} calls of 32 B, {rounds}.", scale.name()),
        "The floor is the same flow with tracing off. The requests have a sampled trace context, in every arm."
            .to_owned(),
        format!(
            "The trace server was sent {:.1} MB. The dead one accepts what it is sent, and never answers.",
            traced / 1e6
        ),
        format!(
            "At worst {:.3} x the p50 with all sampled (at most 1.05), {:.3} x with a dead server (at most 1.01); {:.3} x and \
             {:.3} x the rate.",
            worst.0, worst.1, worst_rate.0, worst_rate.1
        ),
        noise(&spreads),
    ];
    Ok(Report { title: "tracing: the cost of tracing".to_owned(), tables: vec![table], notes, rows })
}
