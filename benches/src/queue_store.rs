//! The race that decided which store the gateway's queue uses.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::ending::Folder;
use crate::queue_store::drive::{Ids, RunResults, Until, alone, grouped};
use crate::queue_store::product::Product;
use crate::queue_store::stores::{NAMES, Store, on_disk, open};
use crate::stats::{median, noise, percent, percentile, spread};
use crate::table::{Report, Row, Table};
use crate::{Failure, Scale};

mod drive;
mod product;
mod stores;

/// Producers that share a writer, which commits in groups.
const GROUPS: [usize; 3] = [1, 8, 32];
const OURS: &str = "faasflow's queue";

enum Kind {
    /// The disk: 4 KiB and a flush, repeatedly.
    Floor(File),
    Alone(Box<dyn Store>, AtomicU64),
    Grouped(Box<dyn Store>, AtomicU64, usize),
    Product(Product),
}

struct Arm {
    store: &'static str,
    mode: String,
    kind: Kind,
    per_second: Vec<f64>,
    enqueue_us: Vec<f64>,
}

impl Arm {
    fn round(&mut self, until: Until) -> Result<(), Failure> {
        let done = match &mut self.kind {
            Kind::Floor(file) => flushes(file, until)?,
            Kind::Alone(store, next) => alone(&mut **store, &Ids::new(next, until))?,
            Kind::Grouped(store, next, producers) => grouped(&mut **store, *producers, &Ids::new(next, until))?,
            Kind::Product(product) => product.cycles(until)?,
        };
        self.per_second.push(done.per_second);
        self.enqueue_us.extend(done.enqueue_us);
        Ok(())
    }
}

/// Writes and flushes within an existing file of 4 MiB, as a carefully written log would.
fn flushes(file: &File, until: Until) -> Result<RunResults, Failure> {
    let next = AtomicU64::new(0);
    let ids = Ids::new(&next, until);
    let mut took = Vec::new();
    while let Some(id) = ids.take() {
        let page = [id.to_le_bytes()[0]; 4096];
        let start = Instant::now();
        file.write_all_at(&page, id % 1024 * 4096)?;
        file.sync_data()?;
        took.push(start.elapsed().as_secs_f64() * 1e6);
    }
    Ok(ids.done(took))
}

fn arms(folder: &Path) -> Result<Vec<Arm>, Failure> {
    let mut count = 0;
    let mut place = || -> Result<_, Failure> {
        count += 1;
        let place = folder.join(count.to_string());
        std::fs::create_dir(&place)?;
        Ok(place)
    };
    let arm = |store, mode, kind| Arm { store, mode, kind, per_second: Vec::new(), enqueue_us: Vec::new() };
    let file = File::options().create(true).truncate(true).write(true).open(place()?.join("floor"))?;
    file.write_all_at(&vec![0; 4 << 20], 0)?;
    file.sync_all()?;
    let mut arms = vec![arm("disk", "flush".to_owned(), Kind::Floor(file))];
    for name in NAMES {
        arms.push(arm(name, "unbatched".to_owned(), Kind::Alone(open(name, &place()?)?, AtomicU64::new(0))));
    }
    for producers in GROUPS {
        for name in NAMES {
            let kind = Kind::Grouped(open(name, &place()?)?, AtomicU64::new(0), producers);
            arms.push(arm(name, group(producers), kind));
        }
        arms.push(arm(OURS, group(producers), Kind::Product(Product::open(&place()?, producers)?)));
    }
    Ok(arms)
}

fn group(producers: usize) -> String {
    format!("group, {producers}")
}

pub(crate) fn measure(scale: Scale) -> Result<Report, Failure> {
    let folder = Folder::new()?;
    // Many short rounds: the speed of the disk changes every few seconds, and each arm should meet all of these
    // changes.
    let (rounds, slice) = if scale.quick { (30, Duration::from_millis(50)) } else { (150, Duration::from_millis(100)) };
    let cycles = if scale.quick { 20_000 } else { 400_000 };

    let mut arms = arms(folder.path())?;
    // Once without counting, because files grow and caches fill.
    for arm in &mut arms {
        arm.round(Until::Time(slice))?;
        arm.per_second.clear();
        arm.enqueue_us.clear();
    }
    for round in 0..rounds {
        for turn in 0..arms.len() {
            let at = (round + turn) % arms.len();
            arms[at].round(Until::Time(slice))?;
        }
    }
    let mut report = speeds(&mut arms);
    for arm in arms {
        if let Kind::Product(product) = arm.kind {
            product.close();
        }
    }
    sizes(&mut report, folder.path(), cycles)?;
    let kind = scale.name();
    report.notes.insert(
        0,
        format!(
            "{kind}: {rounds} rounds of {} ms an arm, interleaved; calls of {} bytes; figures are medians of the rounds.",
            slice.as_millis(),
            drive::BODY
        ),
    );
    Ok(report)
}

fn speeds(arms: &mut [Arm]) -> Report {
    let mut table = Table::new(&["store", "writer", "cycles/s", "of the floor", "enqueue p50", "p99", "spread"]);
    let mut rows = Vec::new();
    let mut spreads = Vec::new();
    // A cycle has two flushes if nobody shares them.
    let (mut floor_rate, mut floor_us, mut floors) = (f64::NAN, f64::NAN, Vec::new());
    for arm in arms {
        let apart = spread(&arm.per_second);
        let samples = (arm.per_second.len(), arm.enqueue_us.len());
        if matches!(arm.kind, Kind::Floor(_)) {
            floors = arm.per_second.iter().map(|rate| rate / 2.0).collect();
        }
        // Compare round by round, while the rounds are still in order.
        let mut ratios: Vec<f64> = arm.per_second.iter().zip(&floors).map(|(rate, floor)| rate / floor).collect();
        let rate = median(&mut arm.per_second);
        let (p50, p99) = (median(&mut arm.enqueue_us), percentile(&mut arm.enqueue_us, 0.99));
        let floor = matches!(arm.kind, Kind::Floor(_));
        if floor {
            (floor_rate, floor_us) = (rate / 2.0, p50);
        }
        let shown = if floor { rate / 2.0 } else { rate };
        table.lines.push(vec![
            arm.store.to_owned(),
            if floor { "two flushes".to_owned() } else { arm.mode.clone() },
            format!("{shown:.0}"),
            format!("{:.2} x", if floor { 1.0 } else { median(&mut ratios) }),
            format!("{p50:.0} us"),
            format!("{p99:.0} us"),
            percent(apart),
        ]);
        spreads.push(apart);
        let name = format!("queue-store-{}-{}", slug(arm.store), slug(&arm.mode));
        let mut row = |what: &str, value, unit, floor, samples| {
            rows.push(Row { name: format!("{name}-{what}"), value, unit, floor, samples });
        };
        if floor {
            row("rate", rate, "flushes/s", None, samples.0);
            row("p50", p50, "us", None, samples.1);
            row("p99", p99, "us", None, samples.1);
        } else {
            row("cycles", rate, "cycles/s", Some(floor_rate), samples.0);
            row("enqueue-p50", p50, "us", Some(floor_us), samples.1);
            row("enqueue-p99", p99, "us", Some(floor_us), samples.1);
        }
    }
    let notes = vec![
        "A cycle: enqueue, on disk when it returns; read; acknowledge, on disk when it returns. The floor is the disk:".to_owned(),
        "4 KiB written and flushed, twice per cycle, in the same rounds; the ratio is the median of the rounds' ratios.".to_owned(),
        "A group shares flushes, so it can pass the floor.".to_owned(),
        format!("{OURS}: enqueue, on disk when it returns; delivered; the acknowledgement is on disk within"),
        "milliseconds, and nobody waits for it. It cannot be compared with the acknowledgements of the others.".to_owned(),
        noise(&spreads),
    ];
    Report { title: "queue-store: where the queue is kept".to_owned(), tables: vec![table], notes, rows }
}

/// The size on disk after a number of cycles, and its peak on the way, with 32 producers.
fn sizes(report: &mut Report, folder: &Path, cycles: u64) -> Result<(), Failure> {
    let mut table = Table::new(&["store", "cycles", "peak", "at the end"]);
    for name in NAMES.into_iter().chain([OURS]) {
        let place = folder.join(format!("size-{}", slug(name)));
        std::fs::create_dir(&place)?;
        let over = AtomicBool::new(false);
        let (peak, end) = std::thread::scope(|scope| -> Result<(u64, u64), Failure> {
            let watch = scope.spawn(|| {
                let mut peak = 0;
                while !over.load(Ordering::Relaxed) {
                    peak = on_disk(&place).unwrap_or(0).max(peak);
                    std::thread::sleep(Duration::from_millis(5));
                }
                peak
            });
            let ran = run_cycles(name, &place, cycles);
            over.store(true, Ordering::Relaxed);
            let peak = watch.join().map_err(|_| "the watch on the files panicked")?;
            ran?;
            let end = on_disk(&place)?;
            Ok((peak.max(end), end))
        })?;
        let mb = |bytes: u64| bytes as f64 / 1e6;
        table.lines.push(vec![
            name.to_owned(),
            cycles.to_string(),
            format!("{:.1} MB", mb(peak)),
            format!("{:.1} MB", mb(end)),
        ]);
        for (what, bytes) in [("peak", peak), ("end", end)] {
            let name = format!("queue-store-{}-disk-{what}", slug(name));
            report.rows.push(Row { name, value: mb(bytes), unit: "MB", floor: None, samples: 1 });
        }
    }
    report.tables.push(table);
    report.notes.push(format!("{OURS} also keeps the id of each call for ten minutes, against duplicates."));
    Ok(())
}

fn run_cycles(name: &str, place: &Path, cycles: u64) -> Result<(), Failure> {
    if name == OURS {
        let mut product = Product::open(place, 32)?;
        product.cycles(Until::Cycles(cycles))?;
        product.close();
    } else {
        let mut store = open(name, place)?;
        grouped(&mut *store, 32, &Ids::new(&AtomicU64::new(0), Until::Cycles(cycles)))?;
    }
    Ok(())
}

fn slug(name: &str) -> String {
    let words = name.to_lowercase().replace('\'', "");
    words.split([' ', ',']).filter(|word| !word.is_empty()).collect::<Vec<_>>().join("-")
}
