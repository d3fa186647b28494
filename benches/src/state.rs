//! State in each kind of store: setting a value and getting it back.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use faasflow::{Memory, Redis, S3, StateManager};
use faasflow_core::state::EmbeddedState;
use faasflow_core::{Context, RequestInfo};

use crate::ending::Folder;
use crate::gateway::tool;
use crate::process::{Process, free_port};
use crate::stats::{median, noise, percent, percentile, spread};
use crate::table::{Report, Row, Table, bytes};
use crate::{Failure, Scale, block_on};

/// How long a server may take to become usable.
const START: Duration = Duration::from_secs(30);
const ACCESS_KEY: &str = "bench-access-key";
const SECRET_KEY: &str = "bench-secret-key";

pub(crate) fn measure(scale: Scale) -> Result<Report, Failure> {
    block_on(run(scale))
}

struct Arm {
    name: &'static str,
    /// `None` if state is in the envelope.
    manager: Option<Arc<dyn StateManager>>,
    _server: Option<Process>,
}

async fn run(scale: Scale) -> Result<Report, Failure> {
    let (rounds, slice) = if scale.quick { (5, 60) } else { (15, 400) };
    let slice = Duration::from_millis(slice);
    let folder = Folder::new()?;
    let mut notes = vec![format!(
        "{}: {rounds} rounds of {} ms an arm, interleaved, in an order that rotates; one value at a time.",
        scale.name(),
        slice.as_millis()
    )];
    let mut arms = vec![
        Arm { name: "embedded", manager: None, _server: None },
        Arm { name: "memory", manager: Some(Arc::new(Memory::new())), _server: None },
    ];
    for (name, server) in [("Redis", redis(folder.path()).await), ("MinIO", minio(folder.path()).await)] {
        match server {
            Ok((manager, server)) => arms.push(Arm { name, manager: Some(manager), _server: Some(server) }),
            Err(why) => notes.push(format!("Not measured: {name}. {why}.")),
        }
    }
    let mut table = Table::new(&["state", "value", "set and get p50", "p99", "spread"]);
    let (mut rows, mut spreads) = (Vec::new(), Vec::new());
    for size in [1000, 1_000_000] {
        let value = Bytes::from(vec![b'x'; size]);
        let mut took = vec![(Vec::new(), Vec::new()); arms.len()];
        for round in 0..=rounds {
            for turn in 0..arms.len() {
                let at = (round + turn) % arms.len();
                let mut round_us = set_and_get(&arms[at], &value, slice).await?;
                // The first round does not count, because connections are made.
                if round > 0 {
                    took[at].0.push(median(&mut round_us));
                    took[at].1.append(&mut round_us);
                }
            }
        }
        for (arm, (medians, all)) in arms.iter().zip(&mut took) {
            let (p50, p99) = (median(all), percentile(all, 0.99));
            let apart = spread(medians);
            table.lines.push(vec![
                arm.name.to_owned(),
                bytes(size),
                format!("{p50:.1} us"),
                format!("{p99:.1} us"),
                percent(apart),
            ]);
            spreads.push(apart);
            let name = format!("state-{}-{}", arm.name.to_lowercase(), bytes(size).replace(' ', "").to_lowercase());
            let mut row = |what: &str, value| {
                rows.push(Row { name: format!("{name}-{what}"), value, unit: "us", floor: None, samples: all.len() });
            };
            row("p50", p50);
            row("p99", p99);
        }
    }
    notes.push("As in a flow's own code, with Context::set_bytes and get_bytes. Redis appends to its log and flushes every second;".to_owned());
    notes.push(
        "MinIO has a folder on one disk. Embedded state is shared in memory. It costs what it adds to each envelope."
            .to_owned(),
    );
    notes.push(noise(&spreads));
    Ok(Report { title: "state: a value written and read back".to_owned(), tables: vec![table], notes, rows })
}

async fn set_and_get(arm: &Arm, value: &Bytes, length: Duration) -> Result<Vec<f64>, Failure> {
    let test: Arc<RequestInfo> = Context::for_test("").request().clone();
    let context = match &arm.manager {
        None => Context::embedded(test, 1, EmbeddedState::new()),
        Some(manager) => Context::external(test, 1, manager.clone()),
    };
    let begun = Instant::now();
    let mut took_us = Vec::new();
    while begun.elapsed() < length || took_us.is_empty() {
        let start = Instant::now();
        let set = context.set_bytes("key", value.clone()).await;
        let got = context.get_bytes("key").await;
        took_us.push(start.elapsed().as_secs_f64() * 1e6);
        set.map_err(|error| format!("{}: {error}", arm.name))?;
        let got = got.map_err(|error| format!("{}: {error}", arm.name))?;
        if got.as_ref() != Some(value) {
            return Err(format!("{} returned another value than was set", arm.name).into());
        }
    }
    Ok(took_us)
}

pub(crate) async fn redis(folder: &Path) -> Result<(Arc<dyn StateManager>, Process), Failure> {
    let folder = folder.join("redis");
    std::fs::create_dir(&folder)?;
    let port = free_port()?;
    let mut command = Command::new("redis-server");
    command.args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--dir"]).arg(&folder);
    command.args(["--appendonly", "yes", "--appendfsync", "everysec", "--save", ""]);
    let server = Process::run(command, port).map_err(|why| format!("{why}; `cargo xtask e2e state` installs one"))?;
    let manager = Redis::builder(format!("redis://127.0.0.1:{port}")).build()?;
    Ok((well(Arc::new(manager)).await?, server))
}

pub(crate) async fn minio(folder: &Path) -> Result<(Arc<dyn StateManager>, Process), Failure> {
    let program = tool("minio").ok_or("`cargo xtask e2e state` builds it")?;
    let (port, console) = (free_port()?, free_port()?);
    let address = format!("127.0.0.1:{port}");
    let mut command = Command::new(program);
    command.env("MINIO_ROOT_USER", ACCESS_KEY).env("MINIO_ROOT_PASSWORD", SECRET_KEY).env("MINIO_BROWSER", "off");
    command.arg("server").arg(folder.join("minio")).args(["--address", &address, "--console-address"]);
    command.arg(format!("127.0.0.1:{console}")).arg("--certs-dir").arg(folder.join("certificates"));
    let server = Process::run(command, port)?;
    let manager = S3::builder("bench")
        .endpoint(format!("http://{address}"))
        .path_style(true)
        .credentials(ACCESS_KEY, SECRET_KEY)
        .create_bucket(true)
        .build()?;
    Ok((well(Arc::new(manager)).await?, server))
}

/// Repeats, because a server may listen before it can serve.
async fn well(manager: Arc<dyn StateManager>) -> Result<Arc<dyn StateManager>, Failure> {
    let begun = Instant::now();
    loop {
        match manager.probe().await {
            Ok(()) => return Ok(manager),
            Err(error) if begun.elapsed() > START => return Err(error.into()),
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}
