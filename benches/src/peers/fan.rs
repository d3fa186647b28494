//! A fan-out on Faasflow and on Restate: a durable call for each item of an array, and one array of the results.

use http::HeaderValue;
use http::header::CONTENT_TYPE;

use crate::Failure;
use crate::fanout::{FLOW, array};
use crate::load::Target;
use crate::peers::arm::{Arm, Durability, Way, interleave};
use crate::peers::disk::Disk;
use crate::peers::{Systems, THEIRS, THEIRS_AS_SHIPPED, cells, clients_text, heads};
use crate::rounds::{Rounds, median_ratio};
use crate::stats::{median, spread};
use crate::table::{Row, Table};

const OURS: &str = "Faasflow, for-each";
/// How many items of a for-each are in flight at once by default. Restate starts all.
const AT_ONCE: usize = 64;

/// What the fan-out adds to the report.
pub(super) struct Fan {
    pub(super) table: Table,
    pub(super) rows: Vec<Row>,
    pub(super) notes: Vec<String>,
    pub(super) spreads: Vec<f64>,
    pub(super) flushes_us: Vec<f64>,
}

pub(super) async fn measure(systems: &Systems, rounds: Rounds, least: usize) -> Result<Fan, Failure> {
    let table = Table::new(&heads("a fan-out on disk, flushed, before the join", "items"));
    let (rows, spreads, flushes_us) = (Vec::new(), Vec::new(), Vec::new());
    let mut fan = Fan { table, rows, notes: notes(systems), spreads, flushes_us };
    for items in [10, 100] {
        for clients in [1, 8] {
            let mut arms = arms(systems, items);
            let mut disk = Disk::new(systems.stand.folder.path())?;
            for (name, why) in interleave(&mut arms, clients, rounds, least, &mut disk).await? {
                if name == OURS {
                    return Err(why);
                }
                fan.notes.push(format!("Not measured: a fan-out of {items} items, {}. {why}.", clients_text(clients)));
            }
            let flush_us = median(&mut disk.flushes_us);
            fan.flushes_us.append(&mut disk.flushes_us);
            for arm in &arms {
                let at_once = if arm.name == OURS { AT_ONCE } else { items };
                let floor_us = flush_us * flushes(items, at_once) as f64;
                let (line, figures) = cells(arm, "fan-", items, clients, Some(floor_us));
                fan.table.lines.push(line);
                fan.rows.extend(figures);
                fan.spreads.push(spread(&arm.rates()));
            }
            fan.notes.extend(beside_restate(&arms, items, clients));
        }
    }
    Ok(fan)
}

fn arms(systems: &Systems, items: usize) -> Vec<Arm<'_>> {
    let json = |target: Target| target.header(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let target = Target::with_body(systems.stand.gateway(), &format!("/async-function/{FLOW}"), array(items));
    let processes = systems.stand.flows.last().into_iter().chain([&systems.stand.gateway]).collect();
    let way = Way::Header(systems.reports.clone());
    let mut arms = vec![Arm::new(OURS, Durability::Flushed, way, json(target), processes)];
    if let Ok(restate) = &systems.restate {
        for (name, service) in [(THEIRS, &restate.prompt), (THEIRS_AS_SHIPPED, &restate.shipped)] {
            let processes = vec![&restate.server, &service.process];
            let target = json(restate.fan(service, array(items)));
            arms.push(Arm::new(name, Durability::Flushed, Way::Answer, target, processes));
        }
    }
    arms
}

/// The flushes that have to come one after the other: one for the list, and one for each wave of results.
fn flushes(items: usize, at_once: usize) -> usize {
    1 + items.div_ceil(at_once)
}

/// What the fan-out is, and what each system keeps and when.
fn notes(systems: &Systems) -> Vec<String> {
    let mut notes = vec![
        "The fan-out: an array of numbers of 8 digits, one call of the function for each, all at the same time, and the array of".to_owned(),
        format!("their results, in order. Its floor: a flush for the list, and one for each wave of results; Faasflow runs {AT_ONCE} items at"),
        "once, its default, and Restate all.".to_owned(),
        "Faasflow, for-each: the list is in the file of the local gateway's store before an item begins, an item in that of its".to_owned(),
        "queue before it runs, and a result in the store before it counts. Each of them is flushed.".to_owned(),
    ];
    if systems.restate.is_ok() {
        notes.extend([
            "Restate: a handler calls another handler for each item before it awaits the first, as Restate's guide does. Each".to_owned(),
            "makes its call in a `ctx.run`. Calls and results are in the log, flushed, before the handler reads a result.".to_owned(),
        ]);
    }
    notes
}

/// The time of the for-each compared with Restate's. There is no bound for it.
fn beside_restate(arms: &[Arm<'_>], items: usize, clients: usize) -> Option<String> {
    let of = |name| arms.iter().find(|arm| arm.name == name);
    let ratio = median_ratio(&of(OURS)?.medians(), &of(THEIRS)?.medians());
    let clients = clients_text(clients);
    Some(format!(
        "A fan-out of {items} items, {clients}: {ratio:.2} x Restate's time with TCP_NODELAY (nothing was promised)."
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_wave_needs_a_flush() {
        assert_eq!([10, 64, 65, 100].map(|items| flushes(items, AT_ONCE)), [2, 2, 3, 3]);
        assert_eq!(flushes(100, 100), 2);
    }
}
