//! The cost of a long queue: memory, disk, the time until the first delivery after a restart, and its effect on other
//! calls.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use faasflow_gateway::queue::{Answer, Deliver, Delivery, NewCall, Queue, QueueOptions, Unreachable};
use futures_util::future::{BoxFuture, try_join_all};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::ending::Folder;
use crate::process::printed;
use crate::role::Role;
use crate::stats::median;
use crate::table::{Report, Row, Table};
use crate::{Failure, Scale, block_on};

/// The size of a call's body in bytes.
const BODY: usize = 1000;
/// How many callers wait until their calls are on disk.
const CALLERS: u64 = 64;
/// The number of parts in which the calls are counted.
const PARTS: u64 = 20;
/// How many calls are listed.
const LISTED: usize = 100;

/// The results of the process that accepted the calls and was killed.
#[derive(Serialize, Deserialize)]
struct FillResults {
    /// Calls per second, for each part.
    rates: Vec<f64>,
    empty_mb: f64,
    full_mb: f64,
}

/// The results of the process after that.
#[derive(Serialize, Deserialize)]
struct RestartResults {
    first_seconds: f64,
    opened_mb: f64,
    list_ms: f64,
    /// The time until a call of another function was delivered.
    other_ms: f64,
    drained_per_second: f64,
    drained_mb: f64,
}

pub(crate) fn measure(scale: Scale) -> Result<Report, Failure> {
    let calls: u64 = if scale.quick { 100_000 } else { 1_000_000 };
    let folder = Folder::new()?;
    let file = folder.path().join("queue.redb");
    let role = |restarted| Role::Backlog { file: file.clone(), calls, restarted };
    let filled: FillResults = serde_json::from_str(&printed(&role(false))?)?;
    let metadata = std::fs::metadata(&file)?;
    let on_disk = metadata.blocks() * 512;
    let restarted: RestartResults = serde_json::from_str(&printed(&role(true))?)?;

    let tenth = filled.rates.len() / 10;
    let end = filled.rates.len() - tenth;
    let (first, last) = (median(&mut filled.rates[..tenth].to_vec()), median(&mut filled.rates[end..].to_vec()));
    let payloads = (calls * BODY as u64) as f64;
    let file_ratio = on_disk as f64 / payloads;
    let memory = filled.full_mb - filled.empty_mb;
    let mut table =
        Table::new(&["calls", "enqueues/s", "at the end", "memory", "file", "of payloads", "first delivery"]);
    table.lines.push(vec![
        calls.to_string(),
        format!("{first:.0}"),
        format!("{last:.0}"),
        format!("{memory:.1} MB"),
        format!("{:.0} MB", on_disk as f64 / 1e6),
        format!("{file_ratio:.2} x"),
        format!("{:.2} s", restarted.first_seconds),
    ]);
    let mut after = Table::new(&["after a restart", "figure"]);
    for (what, figure) in [
        ("memory when opened", format!("{:.1} MB", restarted.opened_mb)),
        ("the first 100 calls listed", format!("{:.1} ms", restarted.list_ms)),
        ("a call of another function", format!("{:.1} ms", restarted.other_ms)),
        ("deliveries/s", format!("{:.0}", restarted.drained_per_second)),
        ("memory when empty again", format!("{:.1} MB", restarted.drained_mb)),
    ] {
        after.lines.push(vec![what.to_owned(), figure]);
    }
    let notes = vec![
        format!("{}: {calls} calls of {BODY} bytes with the headers of the gateway, from {CALLERS} callers.", scale.name()),
        "Memory: resident, minus that of the empty queue. At the end: the last tenth of the calls, compared with the first.".to_owned(),
        format!("File: the blocks that it takes on the disk. Its length is {:.0} MB.", metadata.len() as f64 / 1e6),
        "First delivery: since the start of the process, after the one before was killed. The file is in the system's cache.".to_owned(),
    ];
    let row = |name: &str, value, unit, floor| Row { name: format!("backlog-{name}"), value, unit, floor, samples: 1 };
    let rows = vec![
        row("memory-mb", memory, "MB", None),
        row("file-ratio", file_ratio, "x", Some(1.0)),
        row("first-delivery-s", restarted.first_seconds, "s", None),
        row("enqueue-ratio", last / first, "x", Some(1.0)),
        row("list-ms", restarted.list_ms, "ms", None),
        row("other-ms", restarted.other_ms, "ms", None),
        row("deliveries", restarted.drained_per_second, "calls/s", None),
    ];
    Ok(Report { title: "queue-backlog: a long queue".to_owned(), tables: vec![table, after], notes, rows })
}

/// Runs as a process with a queue, and prints the results.
pub(crate) fn play(file: &Path, calls: u64, restarted: bool) -> Result<(), Failure> {
    let begun = Instant::now();
    let file = file.to_owned();
    let found = block_on(async move {
        if restarted {
            Ok(serde_json::to_string(&restart(file, calls, begun).await?)?)
        } else {
            Ok(serde_json::to_string(&fill(file, calls).await?)?)
        }
    })?;
    println!("{found}");
    // End like kill -9: nothing is closed.
    std::process::exit(0);
}

async fn fill(file: PathBuf, calls: u64) -> Result<FillResults, Failure> {
    let queue = Queue::open(&file, QueueOptions::default())?;
    queue.enqueue(new_call("warm", 0)).await?;
    let empty_mb = resident()?;
    let mut rates = Vec::new();
    for part in 0..PARTS {
        let begun = Instant::now();
        let next = AtomicU64::new(part * calls / PARTS);
        let end = (part + 1) * calls / PARTS;
        try_join_all((0..CALLERS).map(|_| async {
            loop {
                let id = next.fetch_add(1, Ordering::Relaxed);
                if id >= end {
                    return Ok::<_, Failure>(());
                }
                queue.enqueue(new_call("echo", id)).await?;
            }
        }))
        .await?;
        rates.push((calls / PARTS) as f64 / begun.elapsed().as_secs_f64());
    }
    Ok(FillResults { rates, empty_mb, full_mb: resident()? })
}

/// Holds all deliveries until it is released.
struct Receiver {
    go: watch::Receiver<bool>,
    delivered: watch::Sender<u64>,
    other: watch::Sender<bool>,
}

impl Deliver for Receiver {
    fn deliver(&self, delivery: Delivery) -> BoxFuture<'_, Result<Answer, Unreachable>> {
        Box::pin(async move {
            self.delivered.send_modify(|count| *count += 1);
            if delivery.call.function() == "other" {
                self.other.send_replace(true);
            } else {
                let _ = self.go.clone().wait_for(|go| *go).await;
            }
            let (headers, body) = (HeaderMap::new(), Bytes::new());
            Ok(Answer { status: StatusCode::OK, headers, body, duration: Duration::ZERO, cause: None })
        })
    }
}

async fn restart(file: PathBuf, calls: u64, begun: Instant) -> Result<RestartResults, Failure> {
    let queue = Queue::open(&file, QueueOptions::default())?;
    let (go, going) = watch::channel(false);
    let (delivered, mut deliveries) = watch::channel(0);
    let (other, mut others) = watch::channel(false);
    let stop = CancellationToken::new();
    let running = {
        let (queue, stop) = (queue.clone(), stop.clone());
        tokio::spawn(async move { queue.run(Arc::new(Receiver { go: going, delivered, other }), stop).await })
    };
    deliveries.wait_for(|count| *count > 0).await?;
    let first_seconds = begun.elapsed().as_secs_f64();
    let opened_mb = resident()?;
    let asked = Instant::now();
    let listed = queue.list(LISTED).await?;
    let list_ms = asked.elapsed().as_secs_f64() * 1e3;
    if listed.len() != LISTED {
        return Err(format!("{} calls were listed", listed.len()).into());
    }
    let asked = Instant::now();
    queue.enqueue(new_call("other", 0)).await?;
    others.wait_for(|there| *there).await?;
    let other_ms = asked.elapsed().as_secs_f64() * 1e3;
    let draining = Instant::now();
    go.send_replace(true);
    // One to warm up, and one of another function.
    let all = calls + 2;
    while queue.stats().await?.depth > 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let drained_per_second = calls as f64 / draining.elapsed().as_secs_f64();
    if *deliveries.borrow() != all {
        return Err(format!("{} calls were delivered, of {all}", *deliveries.borrow()).into());
    }
    let drained_mb = resident()?;
    stop.cancel();
    running.await?;
    queue.close().await;
    Ok(RestartResults { first_seconds, opened_mb, list_ms, other_ms, drained_per_second, drained_mb })
}

/// A call as the gateway accepts it.
fn new_call(function: &str, id: u64) -> NewCall {
    let call_id = uuid::Uuid::now_v7().to_string();
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("accept", "*/*"),
        ("content-type", "application/json"),
        ("user-agent", "curl/8.14.1"),
        ("x-call-id", &call_id),
        ("x-forwarded-for", "127.0.0.1"),
        ("x-forwarded-host", "127.0.0.1:8080"),
        ("x-forwarded-proto", "http"),
        ("x-served-by", "faasflow"),
        ("x-start-time", "1795870065666123456"),
    ] {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    let mut body = vec![id.to_le_bytes()[0]; BODY];
    body[..8].copy_from_slice(&id.to_le_bytes());
    let (path, query, callback_url) = (String::new(), None, None);
    NewCall { call_id, function: function.to_owned(), path, query, headers, body: body.into(), callback_url }
}

/// The memory of this process in MB.
fn resident() -> Result<f64, Failure> {
    let text = std::fs::read_to_string("/proc/self/status")?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    Ok(kibibytes.ok_or("the memory of this process cannot be read")? * 1024.0 / 1e6)
}
