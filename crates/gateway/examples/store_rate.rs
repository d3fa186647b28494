//! Measures how many values the gateway's store writes per second, beside the flushes per second of the same disk.
//!
//! The writers use the state manager that flows use, over HTTP, in the process of the gateway. The disk is the one that holds this
//! program.
//!
//! `cargo run --release -p faasflow-gateway --example store_rate`

use std::error::Error;
use std::fs::File;
use std::io::{Seek as _, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use faasflow_core::state::{Condition, Scope, StateManager as _};
use faasflow_gateway::{EngineChoice, GatewayOptions, RunningGateway, Stack};
use faasflow_state::GatewayStore;
use tokio::task::JoinSet;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// How many writers there are at once.
const WRITERS: [u32; 5] = [1, 8, 32, 128, 256];
/// The size of a value in bytes.
const VALUE: usize = 200;
/// The number of turns of the disk alone and of the store. They alternate, because the speed of a disk changes from one second to the next.
const TURNS: u32 = 10;
/// How long a turn of the store takes, and one of the disk alone.
const TURN: Duration = Duration::from_millis(500);
/// How many values are written while those of an ended request are removed.
const DURING_REMOVAL: usize = 200;

#[tokio::main]
async fn main() -> Outcome<()> {
    let program = std::env::current_exe()?;
    let folder = tempfile::tempdir_in(program.parent().unwrap_or(Path::new(".")))?;
    let gateway = start(folder.path()).await?;
    let store = GatewayStore::builder(gateway.url(), gateway.state_token("f")).build()?;
    let request = Scope { flow: "flow".to_owned(), request: "all".to_owned() };
    let mut values = 0;

    println!("| writers at once | writes per second | each takes | flushes per second of the disk alone |");
    println!("|---|---|---|---|");
    for writers in WRITERS {
        let (mut flushes, mut flushing) = (0, Duration::ZERO);
        let (mut written, mut writing) = (0, Duration::ZERO);
        for turn in 0..TURNS {
            let begun = Instant::now();
            flushes += flush(&folder.path().join("flushed"))?;
            flushing += begun.elapsed();
            let begun = Instant::now();
            written += write(&store, &request, writers, turn).await?;
            writing += begun.elapsed();
        }
        let rate = f64::from(written) / writing.as_secs_f64();
        let alone = f64::from(flushes) / flushing.as_secs_f64();
        println!("| {writers} | {rate:.0} | {:.1} ms | {alone:.0} |", 1000.0 * f64::from(writers) / rate);
        values += written;
    }

    let begun = Instant::now();
    store.end_request(&request, Duration::from_secs(60)).await?;
    println!("\nEnding a request with {values} values took {:.1} ms.", millis(begun.elapsed()));
    let times = write_one_by_one(&store).await?;
    println!(
        "{DURING_REMOVAL} writes, one after the other, while those values were removed: {:.1} ms on average, {:.1} ms at most.",
        millis(times.iter().sum()) / times.len() as f64,
        millis(times.into_iter().max().unwrap_or_default()),
    );
    gateway.stop().await;
    Ok(())
}

/// Starts a gateway with one function, which is never called.
async fn start(folder: &Path) -> Outcome<RunningGateway> {
    let stack = "functions:\n  f:\n    annotations:\n      faasflow.url: http://127.0.0.1:9\n";
    std::fs::write(folder.join("stack.yml"), stack)?;
    let mut options = GatewayOptions::new(Stack::read(folder)?);
    options.listen = ([127, 0, 0, 1], 0).into();
    options.engine = EngineChoice::None;
    let (events, _) = tokio::sync::mpsc::unbounded_channel();
    Ok(options.start(events).await?)
}

/// Overwrites and flushes one page during a turn. Returns how often.
fn flush(path: &Path) -> Outcome<u32> {
    let mut file = File::create(path)?;
    let (begun, mut flushes) = (Instant::now(), 0);
    while begun.elapsed() < TURN {
        file.rewind()?;
        file.write_all(&[7; 4096])?;
        file.sync_data()?;
        flushes += 1;
    }
    Ok(flushes)
}

/// Writes new values of the request from this many tasks during a turn. Returns how many were written.
async fn write(store: &GatewayStore, request: &Scope, writers: u32, turn: u32) -> Outcome<u32> {
    let mut tasks = JoinSet::new();
    let until = Instant::now() + TURN;
    for writer in 0..writers {
        let (store, request) = (store.clone(), request.clone());
        tasks.spawn(async move {
            let mut written = 0;
            while Instant::now() < until {
                let key = format!("{writers}/{turn}/{writer}/{written}");
                let value = Bytes::from_static(&[b'x'; VALUE]);
                let version = store.set_if(&request, &key, value, Condition::Absent).await?;
                version.ok_or("a key that was never used has a value")?;
                written += 1;
            }
            Outcome::Ok(written)
        });
    }
    tasks.join_all().await.into_iter().sum()
}

/// Writes values of another request. Returns how long each took.
async fn write_one_by_one(store: &GatewayStore) -> Outcome<Vec<Duration>> {
    let request = Scope { flow: "flow".to_owned(), request: "another".to_owned() };
    let mut times = Vec::with_capacity(DURING_REMOVAL);
    for number in 0..DURING_REMOVAL {
        let begun = Instant::now();
        store.set(&request, &number.to_string(), Bytes::from_static(&[b'x'; VALUE])).await?;
        times.push(begun.elapsed());
    }
    Ok(times)
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}
