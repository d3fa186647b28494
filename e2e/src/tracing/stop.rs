//! A flow function exports its spans before it ends.

use std::sync::Arc;
use std::time::Instant;

use super::stand::{GRACE, PATIENCE, Stand};
use crate::suite::{Suite, expect};

pub(super) async fn run(suite: &Suite, stand: &Arc<Stand>) {
    suite.check("SIGTERM right after an answer: its trace is there", function(stand.clone())).await;
    // This is the last check, because nothing runs afterwards.
    suite.check("faasflow up stops right after an end: its trace is there", gateway(stand.clone())).await;
}

async fn function(stand: Arc<Stand>) -> Result<(), String> {
    for (name, server) in [("direct-flush", stand.jaeger.grpc()), ("direct-flush-http", stand.jaeger.http())] {
        let mut process = stand.process(name, server, &[]).await?;
        let (id, trace) = stand.id();
        process.request(&[("x-faasflow-request-id", &id)], "the last one").await?.expect(200)?;
        let begun = Instant::now();
        process.stop().await?;
        let took = begun.elapsed();
        expect(took < GRACE / 2, || format!("{name}: it took {took:?} to stop"))?;
        // Jaeger has confirmed it, so it is there, apart from Jaeger's own queue.
        let trace = stand.jaeger.until(&trace, 4).await?;
        trace.expect_service(name)?;
    }
    Ok(())
}

async fn gateway(stand: Arc<Stand>) -> Result<(), String> {
    stand.recorder.clear();
    let (id, trace) = stand.id();
    let report = stand.recorder.url("report");
    let headers = [("x-faasflow-request-id", id.as_str()), ("x-faasflow-callback-url", report.as_str())];
    stand.invoke("async-function", "relay", &headers, "the last one").await?.expect(202)?;
    stand.recorder.until("report", 1, PATIENCE).await?;
    let status = stand.stop().await?;
    expect(status.success(), || format!("faasflow up ended with {status}"))?;
    let trace = stand.jaeger.until(&trace, 7).await?;
    expect(trace.spans.len() == 7, || format!("{} spans, not seven:\n{trace}", trace.spans.len()))
}
