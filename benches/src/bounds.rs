//! What was promised, and what became of it in this run: the last that is printed.

use crate::table::{Row, Table};

/// What a figure may be.
#[derive(Clone, Copy)]
enum Bound {
    AtMost(f64),
    AtLeast(f64),
}

use Bound::{AtLeast, AtMost};

/// By the names of their rows, in the order of their tables.
const BOUNDS: [(&str, Bound); 17] = [
    ("sync-10-p50-ratio", AtMost(1.05)),
    ("sync-10-rate-ratio", AtLeast(0.95)),
    ("gateway-rate-over-openfaas", AtLeast(5.0)),
    ("gateway-p50-over-openfaas", AtMost(1.0 / 3.0)),
    ("async-hop-ratio", AtMost(1.3)),
    ("cold-start-ms", AtMost(10.0)),
    ("idle-rss-mb", AtMost(10.0)),
    ("program-mb", AtMost(8.0)),
    ("payload-time-ratio", AtMost(1.25)),
    ("payload-rss-ratio", AtMost(2.0)),
    // Linear is 1; a step of ten has a tenth of what a request costs once.
    ("growth-steps-ratio", AtMost(1.05)),
    ("in-flight-kb", AtMost(16.0)),
    ("tracing-on-ratio", AtMost(1.05)),
    ("tracing-dead-ratio", AtMost(1.01)),
    ("async-10-vs-restate", AtMost(0.5)),
    ("async-10-rate-vs-restate", AtLeast(3.0)),
    ("soak-growth", AtMost(1.05)),
];

/// The bounds of what was measured; none, if there is none.
pub(crate) fn table(rows: &[Row]) -> Option<Table> {
    let mut table = Table::new(&["bound", "figure", "floor", "promised", ""]);
    for (name, bound) in BOUNDS {
        let Some(row) = rows.iter().find(|row| row.name == name) else { continue };
        let (promised, met) = match bound {
            AtMost(most) => (format!("at most {}", short(most)), row.value <= most),
            AtLeast(least) => (format!("at least {}", short(least)), row.value >= least),
        };
        // A ratio has its floor in it.
        let floor = row.floor.filter(|_| row.unit != "x");
        let unit = row.unit.split('/').next().unwrap_or_default();
        table.lines.push(vec![
            name.to_owned(),
            format!("{} {unit}", short(row.value)),
            floor.map_or_else(|| "-".to_owned(), |floor| format!("{} {unit}", short(floor))),
            promised,
            if met { "met" } else { "MISSED" }.to_owned(),
        ]);
    }
    (!table.lines.is_empty()).then_some(table)
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
    fn what_is_missed_is_said_to_be() {
        let rows =
            [row("cold-start-ms", 10.01, "ms"), row("gateway-rate-over-openfaas", 5.0, "x"), row("other", 1.0, "x")];
        let lines = table(&rows).unwrap().lines;
        assert_eq!(lines[0], ["gateway-rate-over-openfaas", "5 x", "-", "at least 5", "met"]);
        assert_eq!(lines[1], ["cold-start-ms", "10 ms", "3.456 ms", "at most 10", "MISSED"]);
        assert!(table(&rows[2..]).is_none());
        // What is none is not met.
        assert_eq!(table(&[row("idle-rss-mb", f64::NAN, "MB")]).unwrap().lines[0][4], "MISSED");
    }
}
