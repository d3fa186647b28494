//! The promised bounds and whether this run met them. They are printed last.

use crate::table::{Row, Table};

/// What a figure is allowed to be.
#[derive(Clone, Copy)]
enum Bound {
    AtMost(f64),
    AtLeast(f64),
}

use Bound::{AtLeast, AtMost};

/// The bounds by table and row, in order.
const BOUNDS: [(&str, &str, Bound); 36] = [
    ("sync-chain", "sync-10-p50-ratio", AtMost(1.05)),
    ("sync-chain", "sync-10-rate-ratio", AtLeast(0.95)),
    ("gateway", "gateway-rate-over-openfaas", AtLeast(5.0)),
    ("gateway", "gateway-p50-over-openfaas", AtMost(1.0 / 3.0)),
    ("events", "events-1-rate-ratio", AtLeast(0.97)),
    ("events", "events-10-rate-ratio", AtLeast(0.97)),
    ("async-flow", "async-hop-ratio", AtMost(1.3)),
    ("async-flow", "async-clients-ratio", AtLeast(1.0)),
    ("parallel", "parallel-10-p50-ratio", AtMost(1.1)),
    ("fanout", "fanout-linear-ratio", AtMost(1.2)),
    ("fanout", "fanout-flow-memory-mb", AtMost(20.0)),
    ("fanout", "fanout-gateway-memory-mb", AtMost(20.0)),
    ("join", "join-ratio", AtMost(1.3)),
    ("start", "cold-start-ms", AtMost(10.0)),
    ("start", "idle-rss-mb", AtMost(10.0)),
    ("start", "program-mb", AtMost(8.0)),
    ("payload", "payload-time-ratio", AtMost(1.25)),
    ("payload", "payload-rss-ratio", AtMost(2.0)),
    // 1 is linear.
    ("growth", "growth-steps-ratio", AtMost(1.05)),
    ("growth", "in-flight-kb", AtMost(16.0)),
    ("tracing", "tracing-on-ratio", AtMost(1.05)),
    ("tracing", "tracing-dead-ratio", AtMost(1.01)),
    ("records", "record-list", AtMost(50.0)),
    ("records", "record-bytes", AtMost(2.0)),
    ("record-hop", "record-hop-ratio", AtMost(1.35)),
    ("record-redis", "record-redis", AtMost(2.0)),
    ("adaptive", "adaptive-ratio", AtMost(1.15)),
    ("queue-backlog", "backlog-memory-mb", AtMost(100.0)),
    ("queue-backlog", "backlog-file-ratio", AtMost(1.6)),
    ("queue-backlog", "backlog-first-delivery-s", AtMost(2.0)),
    ("queue-backlog", "backlog-enqueue-ratio", AtLeast(0.9)),
    ("peers", "async-10-vs-restate", AtMost(0.5)),
    ("peers", "async-10-rate-vs-restate", AtLeast(3.0)),
    ("peers", "async-10-records-vs-restate", AtMost(0.5)),
    ("peers", "async-10-records-rate-vs-restate", AtLeast(2.0)),
    ("soak", "soak-growth", AtMost(1.05)),
];

/// The bounds of the requested tables. `None` if these tables have no bounds.
pub(crate) fn table(rows: &[Row], asked: &[&str]) -> Option<Table> {
    let mut table = Table::new(&["bound", "figure", "floor", "promised", ""]);
    for (_, name, bound) in BOUNDS.into_iter().filter(|(table, ..)| asked.contains(table)) {
        let promised = match bound {
            AtMost(most) => format!("at most {}", short(most)),
            AtLeast(least) => format!("at least {}", short(least)),
        };
        let Some(row) = rows.iter().find(|row| row.name == name) else {
            let line = [name, "-", "-", &promised, "not measured"];
            table.lines.push(line.map(str::to_owned).to_vec());
            continue;
        };
        let met = match bound {
            AtMost(most) => row.value <= most,
            AtLeast(least) => row.value >= least,
        };
        // A ratio already includes its floor.
        let floor = row.floor.filter(|_| row.unit != "x");
        let unit = row.unit.split('/').next().unwrap_or_default();
        table.lines.push(vec![
            name.to_owned(),
            format!("{} {unit}", beside(row.value, bound)),
            floor.map_or_else(|| "-".to_owned(), |floor| format!("{} {unit}", short(floor))),
            promised,
            if met { "met" } else { "MISSED" }.to_owned(),
        ]);
    }
    (!table.lines.is_empty()).then_some(table)
}

/// A figure as shown. It must not look like the bound that it misses.
fn beside(value: f64, bound: Bound) -> String {
    let (AtMost(bound) | AtLeast(bound)) = bound;
    if value != bound && short(value) == short(bound) { format!("{value:.4}") } else { short(value) }
}

fn short(value: f64) -> String {
    let text = if value >= 9.95 { format!("{value:.1}") } else { format!("{value:.3}") };
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, value: f64, unit: &'static str) -> Row {
        Row { name: name.to_owned(), value, unit, floor: Some(3.456), samples: 1 }
    }

    #[test]
    fn a_missed_bound_is_reported() {
        let rows =
            [row("cold-start-ms", 10.01, "ms"), row("gateway-rate-over-openfaas", 5.0, "x"), row("other", 1.0, "x")];
        let lines = table(&rows, &["sync-chain", "gateway", "start"]).unwrap().lines;
        let lines: Vec<_> = lines.iter().map(|line| line.join("|")).collect();
        assert_eq!(
            lines,
            [
                "sync-10-p50-ratio|-|-|at most 1.05|not measured",
                "sync-10-rate-ratio|-|-|at least 0.95|not measured",
                "gateway-rate-over-openfaas|5 x|-|at least 5|met",
                "gateway-p50-over-openfaas|-|-|at most 0.333|not measured",
                "cold-start-ms|10.0100 ms|3.456 ms|at most 10|MISSED",
                "idle-rss-mb|-|-|at most 10|not measured",
                "program-mb|-|-|at most 8|not measured",
            ]
        );
        assert!(table(&rows, &["state"]).is_none());
        // A figure that does not exist does not meet its bound.
        assert_eq!(table(&[row("idle-rss-mb", f64::NAN, "MB")], &["start"]).unwrap().lines[1][4], "MISSED");
    }
}
