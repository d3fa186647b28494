//! Stops and kills containers under load.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::body::Body;
use http::Method;
use tokio::task::JoinSet;

use super::builds::{BARE_IMAGE, WATCHDOG_IMAGE};
use super::stand::{ADDRESS, PATIENCE, Setting, Stand};
use crate::docker;
use crate::suite::{Suite, expect};

/// The address of the second container, for requests after the first is no longer ready.
const OTHER: &str = "172.31.0.11";
/// The interval of readiness checks. Kubernetes checks every ten seconds by default.
const ASKED: Duration = Duration::from_millis(200);
/// The number of requests of each kind in flight.
const QUICK: usize = 8;
const SLOW: usize = 4;
/// The timeout of `docker stop`.
const ALLOWED: Duration = Duration::from_secs(10);
/// The number of accepted calls, of kills, and of calls in flight at each kill.
const CALLS: usize = 300;
const KILLS: usize = 4;
const HELD: usize = 10;
/// The time limit for all of them, including the queue's pauses between attempts.
const DELIVERED: Duration = Duration::from_secs(240);

pub(super) async fn run(suite: &Suite, stand: &Arc<Stand>) {
    suite
        .check("bare: docker stop under load, without one failed request", stopped(stand.clone(), BARE_IMAGE, false))
        .await;
}

pub(super) async fn run_more(suite: &Suite, stand: &Arc<Stand>) {
    suite
        .check(
            "behind the watchdog: docker stop under load, without one failed request",
            stopped(stand.clone(), WATCHDOG_IMAGE, true),
        )
        .await;
    for (image, tmp) in [(BARE_IMAGE, false), (WATCHDOG_IMAGE, true)] {
        suite
            .check_within(
                2 * DELIVERED,
                &format!("{image}: kill -9 under load, restarted by its policy: nothing accepted is lost"),
                killed(stand.clone(), image, tmp),
            )
            .await;
    }
}

/// The load. Each sender sends one request after the other, to the first container as long as it is ready.
struct Load {
    ready: AtomicBool,
    stopping: AtomicBool,
    over: AtomicBool,
    answered: AtomicU64,
    /// The number of those that were sent to the first container after its stop began.
    drained: AtomicU64,
}

async fn stopped(stand: Arc<Stand>, image: &'static str, tmp: bool) -> Result<(), String> {
    let setting = Setting { tmp, ..Setting::default() };
    let first = stand.serve(image, setting).await?;
    let other = stand.run(image, Setting { address: Some(OTHER), ..setting }).await?;
    let done = async {
        stand.until_ready(OTHER).await?;
        under_load(&stand, &first).await
    };
    let done = done.await;
    first.remove().await?;
    other.remove().await?;
    done
}

async fn under_load(stand: &Arc<Stand>, first: &docker::Container) -> Result<(), String> {
    let load = Arc::new(Load {
        ready: AtomicBool::new(true),
        stopping: AtomicBool::new(false),
        over: AtomicBool::new(false),
        answered: AtomicU64::new(0),
        drained: AtomicU64::new(0),
    });
    let mut tasks = JoinSet::new();
    tasks.spawn(watch(stand.clone(), load.clone()));
    for _ in 0..QUICK {
        tasks.spawn(send(stand.clone(), load.clone(), false));
    }
    for _ in 0..SLOW {
        tasks.spawn(send(stand.clone(), load.clone(), true));
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    load.stopping.store(true, Ordering::SeqCst);
    let stop = first.stop().await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    load.over.store(true, Ordering::SeqCst);
    let mut failed = Vec::new();
    while let Some(sent) = tasks.join_next().await {
        failed.extend(sent.map_err(|error| error.to_string())?);
    }
    let (code, took) = stop?;
    let (answered, drained) = (load.answered.load(Ordering::SeqCst), load.drained.load(Ordering::SeqCst));
    println!(
        "          ({answered} requests, {drained} of them to the container while it stopped, {} failed; it took {:.1} s)",
        failed.len(),
        took.as_secs_f64()
    );
    expect(failed.is_empty(), || format!("{} requests failed, such as: {}", failed.len(), failed[0]))?;
    expect(drained > 0, || "no request came while it stopped: that shows nothing".to_owned())?;
    expect(code == 0, || format!("it ended with {code}"))?;
    expect(took < ALLOWED, || format!("it took {took:?}, and was killed"))
}

/// Checks whether the first container is ready, as a platform does.
async fn watch(stand: Arc<Stand>, load: Arc<Load>) -> Vec<String> {
    let url = format!("http://{ADDRESS}:8080/_/ready");
    while !load.over.load(Ordering::SeqCst) {
        let ready = stand.client.get(&url).await.is_ok_and(|answer| answer.status.is_success());
        load.ready.store(ready, Ordering::SeqCst);
        tokio::time::sleep(ASKED).await;
    }
    Vec::new()
}

/// Sends requests until the end, and returns the failures. Sending a slow one takes a second and a half.
async fn send(stand: Arc<Stand>, load: Arc<Load>, slow: bool) -> Vec<String> {
    let mut failed = Vec::new();
    while !load.over.load(Ordering::SeqCst) {
        let first = load.ready.load(Ordering::SeqCst);
        let stopping = load.stopping.load(Ordering::SeqCst);
        let url = format!("http://{}:8080/", if first { ADDRESS } else { OTHER });
        let body = if slow { in_parts("Ada") } else { Body::from("Ada") };
        match stand.client.send(Method::POST, &url, &[], body).await {
            Ok(answer) if answer.status.is_success() && answer.text() == "Hello, Ada!" => {
                load.answered.fetch_add(1, Ordering::SeqCst);
                load.drained.fetch_add(u64::from(first && stopping), Ordering::SeqCst);
            }
            Ok(answer) => failed.push(format!("{url}: {} {}", answer.status, answer.text())),
            Err(why) => failed.push(format!("{url}: {why}")),
        }
    }
    failed
}

/// A body that sends a letter every half second.
fn in_parts(text: &'static str) -> Body {
    let letters = futures_util::stream::unfold(text.chars(), |mut letters| async move {
        let letter = letters.next()?;
        tokio::time::sleep(Duration::from_millis(500)).await;
        Some((Ok::<_, std::io::Error>(letter.to_string()), letters))
    });
    Body::from_stream(letters)
}

async fn killed(stand: Arc<Stand>, image: &'static str, tmp: bool) -> Result<(), String> {
    let setting = Setting { tmp, secret: true, restart: true, environment: &["E2E_FLOW=relay"], ..Setting::default() };
    let container = stand.serve(image, setting).await?;
    let done = async {
        stand.recorder.clear();
        let begun = Instant::now();
        let mut asked = 0;
        for call in 0..CALLS {
            stand.queue("my-flow", &format!("call {call}")).await?;
            match call % (CALLS / KILLS) {
                // From here on, calls stay in the container and wait for an answer.
                0 => {
                    container.until("running", Duration::from_secs(60), runs).await?;
                    asked = stand.recorder.seen("one").len();
                    stand.recorder.hold("one");
                }
                HELD => {
                    // The queue decides which one comes first. Some wait there since the last kill.
                    stand.recorder.until("one", asked + 1, PATIENCE).await?;
                    docker::kill(container.process().await?);
                    stand.recorder.release("one");
                }
                _ => {}
            }
        }
        for call in 0..CALLS {
            let left = DELIVERED.saturating_sub(begun.elapsed()).max(Duration::from_secs(1));
            stand.recorder.until_sent("two", &format!("call {call}"), 1, left).await?;
        }
        let again = stand.recorder.seen("one").len() - CALLS;
        let restarts = container.inspect().await?["RestartCount"].as_u64().unwrap_or(0);
        println!(
            "          ({CALLS} accepted, {CALLS} arrived, {again} calls made again, {restarts} restarts, {:.0} s)",
            begun.elapsed().as_secs_f64()
        );
        expect(again > 0, || "nothing was under way when it was killed: that shows nothing".to_owned())?;
        expect(restarts == KILLS as u64, || format!("the policy restarted it {restarts} times, not {KILLS}"))
    };
    let done = done.await;
    container.remove().await?;
    done
}

fn runs(inspect: &serde_json::Value) -> bool {
    inspect["State"]["Running"] == true && inspect["State"]["Pid"].as_u64().unwrap_or(0) != 0
}
