//! Requests that are remembered: how long the first page of the list takes among few and many, and the bytes of a record.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use faasflow::{GatewayStore, StateManager};
use faasflow_core::state::{ListQuery, Scope, Status};
use faasflow_gateway::{EngineChoice, GatewayOptions, RunningGateway, Stack};
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use tokio::sync::mpsc::unbounded_channel;

use crate::ending::Folder;
use crate::process::Process;
use crate::state::{minio, redis};
use crate::stats::{median, percentile};
use crate::table::{Report, Row, Table};
use crate::{Failure, Scale, block_on};

/// The number of requests in the list.
const FEW: usize = 1_000;
const MANY: usize = 100_000;
/// The number of lines that are read.
const PAGE: usize = 50;
/// How often each page is read.
const READS: usize = 200;
/// The values of a record, and the size of each in bytes.
const VALUES: usize = 10;
const VALUE: usize = 1_000;
/// How many records are written to measure the bytes of one.
const RECORDS: usize = 2_000;
/// The gateway's file doubles when it is full. How many records are written until it has done so twice, at most, and between two looks
/// at the file.
const MOST_RECORDS: usize = 50_000;
const STEP: usize = 100;
const AT_ONCE: usize = 64;
const FLOW: &str = "flow";

pub(crate) fn measure(scale: Scale) -> Result<Report, Failure> {
    block_on(run(scale))
}

struct Arm {
    name: &'static str,
    manager: Arc<dyn StateManager>,
    /// Where its files are.
    folder: PathBuf,
    running: Running,
}

enum Running {
    Gateway(Box<RunningGateway>),
    Server(Process),
}

async fn run(scale: Scale) -> Result<Report, Failure> {
    let folder = Folder::new()?;
    let many = if scale.quick { MANY / 10 } else { MANY };
    let mut notes = vec![format!("{}: each page is read {READS} times, one after the other.", scale.name())];
    let mut arms = vec![gateway(&folder.path().join("gateway")).await?];
    for (name, server) in [("Redis", redis(folder.path()).await), ("MinIO", minio(folder.path()).await)] {
        match server {
            Ok((manager, server)) => {
                let folder = folder.path().join(name.to_lowercase());
                arms.push(Arm { name, manager, folder, running: Running::Server(server) });
            }
            Err(why) => notes.push(format!("Not measured: {name}. {why}.")),
        }
    }
    let mut lists = Table::new(&["list", "requests", "status", "p50", "p99", "growth"]);
    let mut sizes = Table::new(&["record", "bytes", "of its values", "with free space"]);
    let (mut rows, mut slowest, mut largest) = (Vec::new(), 0.0_f64, 0.0_f64);
    for arm in arms {
        // MinIO keeps a folder for each object, so that 100,000 requests would take minutes.
        let counts: &[usize] = if arm.name == "MinIO" { &[FEW] } else { &[FEW, many] };
        let (bytes, with_free) = record_bytes(&arm).await?;
        let [ratio, with_free] = [bytes, with_free].map(|bytes| bytes / (VALUES * VALUE) as f64);
        largest = largest.max(ratio);
        let line = [format!("{bytes:.0}"), format!("{ratio:.2} x"), format!("{with_free:.2} x")];
        sizes.lines.push([arm.name.to_owned()].into_iter().chain(line).collect());
        let name = arm.name.to_lowercase();
        let mut row = |what: String, value, unit, samples| {
            rows.push(Row { name: format!("record-{what}"), value, unit, floor: None, samples });
        };
        row(format!("bytes-{name}"), bytes, "B", RECORDS);
        let (mut begun, mut before) = (0, [f64::NAN; 2]);
        for &count in counts {
            begin(&arm, begun..count).await?;
            begun = count;
            for (index, status) in [None, Some(Status::Success)].into_iter().enumerate() {
                let mut took_ms = read(&arm, status).await?;
                let (p50, p99) = (median(&mut took_ms), percentile(&mut took_ms, 0.99));
                let growth =
                    if before[index].is_nan() { "-".to_owned() } else { format!("{:.2} x", p50 / before[index]) };
                before[index] = p50;
                let status = status.map_or("all", Status::as_str);
                let line =
                    [arm.name, &count.to_string(), status, &format!("{p50:.2} ms"), &format!("{p99:.2} ms"), &growth];
                lists.lines.push(line.map(str::to_owned).to_vec());
                row(format!("list-{name}-{count}-{status}-p50"), p50, "ms", READS);
                slowest = slowest.max(p50);
            }
        }
        match arm.running {
            Running::Gateway(gateway) => gateway.stop().await,
            Running::Server(server) => drop(server),
        }
    }
    rows.push(Row { name: "record-list".to_owned(), value: slowest, unit: "ms", floor: None, samples: READS });
    rows.push(Row { name: "record-bytes".to_owned(), value: largest, unit: "x", floor: Some(1.0), samples: RECORDS });
    notes.extend(
        [
            "The list is the newest 50 requests of one flow. One in ten has the status that is asked for. A record is a request with ten values",
            "of 1 kB and its line. Its bytes are those of the gateway's and MinIO's files and of Redis's memory. The gateway's file doubles when it",
            "is full; its records are counted from one growth to the next, and once more with its free space after 2,000 of them.",
        ]
        .map(str::to_owned),
    );
    notes.push(format!("At worst {slowest:.2} ms (at most 50) and {largest:.2} x the values (at most 2)."));
    Ok(Report { title: "records: requests that are remembered".to_owned(), tables: vec![lists, sizes], notes, rows })
}

/// Begins requests of which one in ten has ended.
async fn begin(arm: &Arm, numbers: std::ops::Range<usize>) -> Result<(), Failure> {
    let begin = |number: usize| async move {
        let scope = Scope { flow: FLOW.to_owned(), request: format!("{number:08}-8b1a-4c11-9d5e-51f0c3a1d2e4") };
        // A few start in the same millisecond.
        let started_ms = 1_750_000_000_000 + (number / 4) as u64;
        arm.manager.begin_request(&scope, started_ms, "begun@0", Bytes::from_static(b"x")).await?;
        if number.is_multiple_of(10) {
            arm.manager.list_request(&scope, started_ms, Status::Success).await?;
        }
        Ok::<_, Failure>(())
    };
    stream::iter(numbers.map(begin)).buffer_unordered(AT_ONCE).try_for_each(|()| async { Ok(()) }).await
}

/// Reads the newest requests. Returns how long each time took, in milliseconds.
async fn read(arm: &Arm, status: Option<Status>) -> Result<Vec<f64>, Failure> {
    let query = ListQuery { status, ..ListQuery::newest(PAGE) };
    let mut took_ms = Vec::with_capacity(READS);
    for _ in 0..READS {
        let begun = Instant::now();
        let page = arm.manager.list_requests(FLOW, &query).await?;
        took_ms.push(begun.elapsed().as_secs_f64() * 1e3);
        if page.len() != PAGE {
            return Err(format!("{} listed {} of {PAGE} requests", arm.name, page.len()).into());
        }
    }
    Ok(took_ms)
}

/// Writes records of another flow. Returns how many bytes one takes: by itself, and with the free space of the files after
/// [`RECORDS`] of them.
async fn record_bytes(arm: &Arm) -> Result<(f64, f64), Failure> {
    let before = stored(arm).await?;
    if !matches!(arm.running, Running::Gateway(_)) {
        write_records(arm, 0..RECORDS).await?;
        let bytes = (stored(arm).await? - before) / RECORDS as f64;
        return Ok((bytes, bytes));
    }
    // The free space after it has grown is for the next records. From one growth to the next, records fill what was added.
    let (mut size, mut growths, mut with_free) = (before, Vec::new(), f64::NAN);
    for number in (0..MOST_RECORDS).step_by(STEP) {
        write_records(arm, number..number + STEP).await?;
        let now = stored(arm).await?;
        if number + STEP == RECORDS {
            with_free = (now - before) / RECORDS as f64;
        }
        // A small file grows in small steps.
        if now > 1.5 * size && number > RECORDS / 2 {
            growths.push((number + STEP, size));
        }
        size = now;
        if let [(first, filled_then), (second, filled_now)] = growths[..] {
            return Ok(((filled_now - filled_then) / (second - first) as f64, with_free));
        }
    }
    Err(format!("the gateway's file has not doubled twice with {MOST_RECORDS} records").into())
}

async fn write_records(arm: &Arm, numbers: std::ops::Range<usize>) -> Result<(), Failure> {
    let write = |number: usize| async move {
        let scope = Scope { flow: "bytes".to_owned(), request: format!("{number:08}-8b1a-4c11-9d5e-51f0c3a1d2e4") };
        let started_ms = 1_750_000_000_000 + number as u64;
        let value = Bytes::from(vec![b'x'; VALUE]);
        arm.manager.begin_request(&scope, started_ms, "begun@0", value.clone()).await?;
        for key in 1..VALUES {
            arm.manager.set(&scope, &format!("result/{key}"), value.clone()).await?;
        }
        arm.manager.list_request(&scope, started_ms, Status::Success).await?;
        Ok::<_, Failure>(())
    };
    stream::iter(numbers.map(write)).buffer_unordered(AT_ONCE).try_for_each(|()| async { Ok(()) }).await
}

/// The bytes that are stored.
async fn stored(arm: &Arm) -> Result<f64, Failure> {
    match &arm.running {
        Running::Server(server) if arm.name == "Redis" => used_memory(server).await,
        _ => Ok(size(&arm.folder)? as f64),
    }
}

/// The memory that Redis has allocated, in bytes.
async fn used_memory(server: &Process) -> Result<f64, Failure> {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut connection = tokio::net::TcpStream::connect(server.address()).await?;
    connection.write_all(b"INFO memory\r\nQUIT\r\n").await?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await?;
    let found = answer.lines().find_map(|line| line.strip_prefix("used_memory:")?.trim().parse().ok());
    Ok(found.ok_or("the answer of Redis does not say how much memory it uses")?)
}

/// The length of all files in a folder, in bytes.
fn size(folder: &Path) -> Result<u64, Failure> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder)? {
        let (path, kind) = entry.and_then(|entry| Ok((entry.path(), entry.file_type()?)))?;
        // MinIO's own folder has its settings and what is being written.
        if kind.is_dir() && !path.ends_with(".minio.sys") {
            bytes += size(&path)?;
        } else if kind.is_file() {
            bytes += path.metadata()?.len();
        }
    }
    Ok(bytes)
}

/// A gateway with one function, which is never called.
async fn gateway(folder: &Path) -> Result<Arm, Failure> {
    std::fs::create_dir(folder)?;
    let stack = "functions:\n  f:\n    annotations:\n      faasflow.url: http://127.0.0.1:9\n";
    std::fs::write(folder.join("stack.yml"), stack)?;
    let mut options = GatewayOptions::new(Stack::read(folder)?);
    options.listen = ([127, 0, 0, 1], 0).into();
    options.engine = EngineChoice::None;
    options.watch = false;
    let (events, _) = unbounded_channel();
    let gateway = options.start(events).await?;
    let manager = Arc::new(GatewayStore::builder(gateway.url(), gateway.state_token("f")).build()?);
    Ok(Arm { name: "gateway", manager, folder: folder.to_owned(), running: Running::Gateway(Box::new(gateway)) })
}
