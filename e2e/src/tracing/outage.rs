//! A trace server that is down or does not answer must affect only the traces.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

use super::stand::{GRACE, PATIENCE, Stand};
use crate::suite::{Suite, expect};

const DROPPED: &str = "faasflow_spans_dropped_total";
/// The time limit until lost spans are noticed.
const KNOWN: Duration = Duration::from_secs(60);

pub(super) async fn run(suite: &Suite, stand: &Arc<Stand>) {
    suite
        .check("Jaeger is killed in the middle: all requests end well, spans are counted", killed(stand.clone()))
        .await;
    suite.check("Jaeger comes back: traces arrive again, without a restart of the flow", back(stand.clone())).await;
    suite.check("a trace server that never answers holds up no request and no stop", mute(stand.clone())).await;
    suite.check("a trace server that is not there at the start holds up nothing", absent(stand.clone())).await;
}

/// Queues this many requests of three phases.
async fn send(stand: &Stand, count: usize) -> Result<(), String> {
    let report = stand.recorder.url("report");
    for _ in 0..count {
        stand
            .invoke("async-function", "relay", &[("x-faasflow-callback-url", &report)], "series")
            .await?
            .expect(202)?;
    }
    Ok(())
}

async fn killed(stand: Arc<Stand>) -> Result<(), String> {
    stand.recorder.clear();
    let said_before = stand.logs("relay").await?.lines().count();
    let before = stand.metric("relay", DROPPED).await?;
    expect(before == 0.0, || format!("{before} spans were dropped before"))?;
    send(&stand, 20).await?;
    // Some have ended and some have not.
    stand.recorder.until("report", 5, PATIENCE).await?;
    stand.jaeger.kill().await?;
    send(&stand, 40).await?;
    let ends = stand.recorder.until("report", 60, PATIENCE).await?;
    let failed = ends.iter().filter(|end| end.header("x-faasflow-outcome") != Some("success")).count();
    expect(failed == 0 && ends.len() == 60, || format!("{} ends, of which {failed} are none of success", ends.len()))?;
    let deadline = Instant::now() + KNOWN;
    while stand.metric("relay", DROPPED).await? <= before {
        expect(Instant::now() < deadline, || format!("{DROPPED} does not grow within {KNOWN:?}"))?;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let logs = stand.logs("relay").await?;
    let of_levels = |levels: &[&str]| {
        let lines = logs.lines().skip(said_before).filter(|line| levels.iter().any(|level| line.contains(level)));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let errors = of_levels(&["ERROR "]);
    expect(errors.is_empty(), || format!("the log has errors: {errors:#?}"))?;
    let warnings = of_levels(&["WARN "]);
    let one = warnings.len() == 1 && warnings[0].contains("Cannot export traces");
    expect(one, || format!("the log has not one warning, of traces: {warnings:#?}"))
}

async fn back(stand: Arc<Stand>) -> Result<(), String> {
    stand.jaeger.again().await?;
    let deadline = Instant::now() + KNOWN;
    // Spans that are sent while the server is down are lost, and the log says so.
    loop {
        let (id, trace) = stand.id();
        stand.invoke("function", "relay", &[("x-faasflow-request-id", &id)], "again").await?.expect(202)?;
        match stand.jaeger.within(Duration::from_secs(7), &trace, 7).await {
            Ok(_) => return Ok(()),
            Err(why) => expect(Instant::now() < deadline, || why)?,
        }
    }
}

/// Accepts connections and never answers.
async fn silent() -> Result<(String, AbortOnDropHandle<()>), String> {
    let listener = TcpListener::bind("127.0.0.1:0").await.map_err(|error| error.to_string())?;
    let address = listener.local_addr().map_err(|error| error.to_string())?;
    let keeping = tokio::spawn(async move {
        let mut ids = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            ids.push(stream);
        }
    });
    Ok((address.to_string(), AbortOnDropHandle::new(keeping)))
}

async fn mute(stand: Arc<Stand>) -> Result<(), String> {
    for (name, scheme) in [("direct-mute", ""), ("direct-mute-http", "http://")] {
        let (address, _keeping) = silent().await?;
        let server = format!("{scheme}{address}");
        lost(&stand, name, server).await.map_err(|why| format!("{name}: {why}"))?;
    }
    Ok(())
}

async fn absent(stand: Arc<Stand>) -> Result<(), String> {
    lost(&stand, "direct-absent", format!("127.0.0.1:{}", crate::server::free_port()?)).await
}

/// If traces cannot be exported, requests take no longer, lost spans are counted, and the flow stops in time.
async fn lost(stand: &Stand, name: &str, server: String) -> Result<(), String> {
    let mut process = stand.process(name, server, &[]).await?;
    for _ in 0..50 {
        let begun = Instant::now();
        process.request(&[], "to nobody").await?.expect(200)?;
        let took = begun.elapsed();
        expect(took < Duration::from_secs(2), || format!("a request took {took:?}"))?;
    }
    let deadline = Instant::now() + KNOWN;
    while process.metric(DROPPED).await? == 0.0 {
        expect(Instant::now() < deadline, || format!("{DROPPED} does not grow within {KNOWN:?}"))?;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    process.request(&[], "and one more to be flushed").await?.expect(200)?;
    let begun = Instant::now();
    process.stop().await?;
    let took = begun.elapsed();
    expect(took <= GRACE, || format!("it took {took:?} to stop, and is allowed {GRACE:?}"))?;
    let log = process.server.log();
    let errors: Vec<&str> = log.lines().filter(|line| line.contains("ERROR ")).collect();
    expect(errors.is_empty(), || format!("the log has errors: {errors:#?}"))
}
