//! Compares an asynchronous flow whose caller waits for the result with the same flow made of synchronous calls.

use http::{HeaderName, HeaderValue};

use crate::async_flow::Stand;
use crate::load::Target;
use crate::role::Role;
use crate::rounds::{Arm, Rounds, interleave};
use crate::stats::noise;
use crate::table::{Report, Row, Table};
use crate::{Failure, Scale, block_on};

const CALLS: usize = 5;
/// How long the caller waits, in seconds. No request takes that long.
const PREFER: &str = "wait=20";

pub(crate) fn measure(scale: Scale) -> Result<Report, Failure> {
    block_on(run(scale))
}

async fn run(scale: Scale) -> Result<Report, Failure> {
    let rounds = Rounds::new(scale, (9, 250), (15, 700));
    let role = |sync| Role::Stored { calls: CALLS, sync, records: true };
    let stand = Stand::with(vec![("adaptive".to_owned(), role(false)), ("synchronous".to_owned(), role(true))]).await?;
    let target = |name: &str| {
        Target::new(stand.gateway(), &format!("/function/{name}"), 32)
            .header(HeaderName::from_static("prefer"), HeaderValue::from_static(PREFER))
    };
    let mut arms = [
        Arm::new("asynchronous, `Prefer: wait`", &stand.flows[0], target("adaptive")),
        Arm::new("synchronous", &stand.flows[1], target("synchronous")),
    ];
    let figures = interleave(&mut arms, 1, 1, rounds).await?;
    let heads: Vec<&str> = ["flow"].into_iter().chain(crate::rounds::Figures::HEADS).collect();
    let mut table = Table::new(&heads);
    let mut rows = Vec::new();
    for (arm, figures_of) in arms.iter().zip(&figures) {
        table.lines.push([vec![arm.name.to_owned()], figures_of.cells()].concat());
    }
    rows.extend(figures[0].rows("adaptive-5", &figures[1]));
    let ratio = figures[0].p50_ratio;
    let (name, samples) = ("adaptive-ratio".to_owned(), rounds.count);
    rows.push(Row { name, value: ratio, unit: "x", floor: Some(1.0), samples });
    let spreads: Vec<f64> = figures.iter().map(|figures| figures.spread).collect();
    drop(arms);
    stand.stop().await;
    let notes = vec![
        format!("{}: {rounds}. 32 B, one client.", scale.name()),
        format!(
            "A flow of {CALLS} quick calls with records in the gateway's store, whose caller waits for the result. The asynchronous"
        ),
        "one runs its phases in the invocation of the caller as long as time remains. cpu each: of the flow."
            .to_owned(),
        format!("{ratio:.2} x the time of the synchronous flow (at most 1.15)."),
        noise(&spreads),
    ];
    Ok(Report {
        title: "adaptive: an asynchronous flow whose caller waits".to_owned(),
        tables: vec![table],
        notes,
        rows,
    })
}
