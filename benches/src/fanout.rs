//! An asynchronous for-each: the time and memory that it takes for few and for many items.

use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::async_flow::Stand;
use crate::role::Role;
use crate::stats::{median, noise, percent, spread};
use crate::table::{Report, Row, Table};
use crate::{Failure, Scale, block_on};

/// The name of the flow.
pub(crate) const FLOW: &str = "fanout";
/// How long a request may take.
const LIMIT: Duration = Duration::from_secs(300);

pub(crate) fn measure(scale: Scale) -> Result<Report, Failure> {
    block_on(run(scale))
}

/// An array of numbers. All have the same length, so that items of short and long arrays are equal.
pub(crate) fn array(count: usize) -> Bytes {
    let numbers: Vec<String> = (0..count).map(|item| (10_000_000 + item).to_string()).collect();
    format!("[{}]", numbers.join(",")).into()
}

async fn start() -> Result<Stand, Failure> {
    Stand::with(vec![(FLOW.to_owned(), Role::ForEach)]).await
}

/// The peak memory of the flow and the gateway.
#[derive(Clone, Copy)]
struct Peaks {
    flow: f64,
    gateway: f64,
}

async fn run(scale: Scale) -> Result<Report, Failure> {
    let (few, many, rounds) = if scale.quick { (100, 1_000, 3) } else { (100, 10_000, 7) };
    let memory = memory(few, many).await?;
    let stand = start().await?;
    let (mut few_us, mut many_us, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..=rounds {
        // Each takes its turn to be first.
        let (few, many) = if round % 2 == 0 {
            let few_us = per_item(&stand, few, many).await?;
            (few_us, per_item(&stand, many, many).await?)
        } else {
            let many_us = per_item(&stand, many, many).await?;
            (per_item(&stand, few, many).await?, many_us)
        };
        // The first round does not count, because files grow and caches fill.
        if round > 0 {
            few_us.push(few);
            many_us.push(many);
            ratios.push(many / few);
        }
    }
    stand.stop().await;
    let spreads = [spread(&few_us), spread(&many_us)];
    let mut table = Table::new(&["items", "for each item", "items/s", "flow's peak", "gateway's peak", "spread"]);
    for (count, times_us, peak, apart) in [(few, &few_us, memory.0, spreads[0]), (many, &many_us, memory.1, spreads[1])]
    {
        let each = median(&mut times_us.clone());
        table.lines.push(vec![
            count.to_string(),
            format!("{each:.0} us"),
            format!("{:.0}", 1e6 / each),
            format!("{:.1} MB", peak.flow / 1e6),
            format!("{:.1} MB", peak.gateway / 1e6),
            percent(apart),
        ]);
    }
    let (few_us, many_us, ratio) = (median(&mut few_us), median(&mut many_us), median(&mut ratios));
    let more = |of: fn(&Peaks) -> f64| (of(&memory.1) - of(&memory.0)) / 1e6;
    let (flow, gateway) = (more(|peaks| peaks.flow), more(|peaks| peaks.gateway));
    let row =
        |name: &str, value, unit, floor, samples| Row { name: format!("fanout-{name}"), value, unit, floor, samples };
    let rows = vec![
        row("item", many_us, "us/item", Some(few_us), rounds),
        row("linear-ratio", ratio, "x", Some(1.0), rounds),
        row("flow-memory-mb", flow, "MB", None, 1),
        row("gateway-memory-mb", gateway, "MB", None, 1),
    ];
    let notes = vec![
        format!("{}: {rounds} rounds. In each, {many} items in one request, and the same number in requests of {few}, one after the", scale.name()),
        "other, in an order that alternates. One client. An item is a phase of its own with one call of a function, through the queue".to_owned(),
        "of the local gateway, whose store keeps the results; 64 items are in flight at once, which is the default.".to_owned(),
        "For each item: from the request to the callback with all results, divided by the number of items.".to_owned(),
        format!("An item of {many} takes {ratio:.2} x as long as one of {few} (at most 1.2)."),
        format!("Peak: the most resident memory in processes of their own, during one request, after another of {few} items. With {many} items,"),
        format!("the flow has {flow:.1} MB and the gateway {gateway:.1} MB more than with {few} (each at most 20)."),
        noise(&spreads),
    ];
    Ok(Report { title: "fanout: an asynchronous for-each".to_owned(), tables: vec![table], notes, rows })
}

/// The time for each item of requests with this number of items, in microseconds, until there were `all` items.
async fn per_item(stand: &Stand, items: usize, all: usize) -> Result<f64, Failure> {
    let target = stand.target(FLOW, array(items));
    let requests = all / items;
    let begun = Instant::now();
    for _ in 0..requests {
        stand.request(&target, LIMIT).await?;
    }
    Ok(begun.elapsed().as_secs_f64() * 1e6 / (requests * items) as f64)
}

/// The peaks of memory with few and with many items. The processes are new, so that nothing has been allocated before.
async fn memory(few: usize, many: usize) -> Result<(Peaks, Peaks), Failure> {
    let stand = start().await?;
    let (few, many) = (stand.target(FLOW, array(few)), stand.target(FLOW, array(many)));
    stand.request(&few, LIMIT).await?;
    let mut peaks = Vec::new();
    for target in [&few, &many] {
        for process in [&stand.flows[0], &stand.gateway] {
            process.forget_peak()?;
        }
        stand.request(target, LIMIT).await?;
        peaks.push(Peaks { flow: stand.flows[0].peak()?, gateway: stand.gateway.peak()? });
    }
    stand.stop().await;
    Ok((peaks[0], peaks[1]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_have_the_same_length() {
        let text = String::from_utf8(array(3).to_vec()).unwrap();
        assert_eq!(text, "[10000000,10000001,10000002]");
        assert_eq!(array(10_000).len(), 10_000 * 9 + 1);
    }
}
