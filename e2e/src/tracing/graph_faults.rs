//! Traces of requests with branches when something fails: each has one join with links to its branches, and nothing that was
//! executed once is there twice.

use std::sync::Arc;

use super::deliveries::Delivery;
use super::graphs::around;
use super::separate::NAME;
use super::stand::{PATIENCE, Stand};
use super::trace::{Span, Trace};
use crate::suite::{Suite, expect};

/// The spans of a request without faults: itself, the phases of the fork, of two branches and of the join, and three calls.
pub(super) const SPANS: usize = 8;

pub(super) async fn run(suite: &Suite, stand: &Arc<Stand>) {
    suite.check("killed in a branch: it is executed again, in the same trace", killed(stand.clone())).await;
    let twice_name =
        "each envelope is delivered twice: the second delivery has a span of its own, with nothing under it";
    suite.check(twice_name, twice(stand.clone())).await;
    suite
        .check("branches that are delivered after the join: nothing is under their spans", late(stand.clone(), true))
        .await;
    suite
        .check("branches that are delivered after the end: nothing is under their spans", late(stand.clone(), false))
        .await;
    let cut_name = "the store goes away between a result and its entry: the branch is not executed again";
    suite.check(cut_name, cut(stand.clone())).await;
}

/// Begins a request, and returns its id and the id of its trace.
async fn begin(stand: &Stand, sent: &str) -> Result<(String, String), String> {
    let (id, trace) = stand.id();
    stand.invoke("function", NAME, &[("x-faasflow-request-id", &id)], sent.to_owned()).await?.expect(202)?;
    Ok((id, trace))
}

/// The payload after the join.
fn joined(sent: &str) -> String {
    format!(r#"{{"one":{sent},"two":{sent}}}"#)
}

/// Deliveries besides the four that a request needs.
#[derive(Default)]
struct Extra {
    /// Those that were not needed, because others had executed the phase.
    idle: usize,
    /// Those that an outage interrupted.
    interrupted: usize,
}

/// Waits until the trace has the spans of all deliveries. Checks that nothing that was executed is there twice, and that only
/// the join has links, which name both branches.
async fn executed_once(stand: &Stand, trace: &str, extra: Extra) -> Result<(), String> {
    let Extra { idle, interrupted } = extra;
    let trace = stand.jaeger.until(trace, SPANS + idle + interrupted).await?;
    let request = trace.request()?;
    for function in ["one", "two", "three"] {
        let name = format!("call {function}");
        let calls = trace.spans.iter().filter(|span| span.name == name).count();
        expect(calls == 1, || format!("there are {calls} spans `{name}`:\n{trace}"))?;
        let phase = around(&trace, function)?;
        expect(phase.parent.as_ref() == Some(&request.id), || {
            format!("`{}` is not under the request:\n{trace}", phase.name)
        })?;
    }
    let join = around(&trace, "three")?;
    let branches = [around(&trace, "one")?.id.clone(), around(&trace, "two")?.id.clone()];
    let linked: Vec<(&str, &[String])> = linked(&trace).map(|span| (span.id.as_str(), span.links.as_slice())).collect();
    expect(linked == [(join.id.as_str(), branches.as_slice())], || {
        format!("the links are {linked:?}, and not from {} to {branches:?}:\n{trace}", join.id)
    })?;
    let forwards = forwards_to(&trace, join);
    expect(forwards == 1, || format!("`{}` was forwarded to {forwards} times:\n{trace}", join.name))?;
    let phases = trace.children(request);
    let is_idle = |span: &&&Span| span.events.iter().any(|event| event.name == "not needed");
    let idle_phases: Vec<_> = phases.iter().filter(is_idle).collect();
    expect(idle_phases.len() == idle, || {
        format!("{} deliveries were not needed, not {idle}:\n{trace}", idle_phases.len())
    })?;
    let busy = idle_phases.iter().find(|span| !trace.children(span).is_empty() || span.events.len() > 1);
    expect(busy.is_none(), || format!("a delivery that was not needed did something:\n{trace}"))?;
    let outages =
        phases.iter().filter(|span| span.error.as_deref() == Some("the state manager cannot be reached")).count();
    expect(outages == interrupted, || format!("{outages} deliveries were interrupted, not {interrupted}:\n{trace}"))
}

fn linked(trace: &Trace) -> impl Iterator<Item = &Span> {
    trace.spans.iter().filter(|span| !span.links.is_empty())
}

/// How many spans have forwarded to the phase of this span.
fn forwards_to(trace: &Trace, phase: &Span) -> usize {
    let number = phase.attributes.get("faasflow.phase");
    let events = trace.spans.iter().flat_map(|span| &span.events);
    events.filter(|event| event.name == "forwarded" && event.attributes.get("faasflow.phase") == number).count()
}

async fn killed(stand: Arc<Stand>) -> Result<(), String> {
    let sent = "\"killed\"";
    stand.recorder.clear();
    stand.recorder.hold("two");
    let begun = async {
        let (id, trace) = begin(&stand, sent).await?;
        stand.recorder.until_sent("two", sent, 1, PATIENCE).await?;
        // The process loses the spans that it has not exported yet.
        stand.jaeger.until(&trace, 3).await?;
        stand.separate.restart().await?;
        stand.recorder.until_sent("two", sent, 2, PATIENCE).await?;
        Ok::<_, String>((id, trace))
    };
    let begun = begun.await;
    stand.recorder.release("two");
    let (_, trace) = begun?;
    stand.recorder.until_sent("three", &joined(sent), 1, PATIENCE).await?;
    executed_once(&stand, &trace, Extra::default()).await
}

async fn twice(stand: Arc<Stand>) -> Result<(), String> {
    let sent = "\"twice\"";
    stand.recorder.clear();
    stand.separate.deliveries.twice(true);
    let ended = async {
        let (id, trace) = begin(&stand, sent).await?;
        // Two branches and the join.
        stand.separate.deliveries.until(&id, 200, 6).await?;
        Ok::<_, String>(trace)
    };
    let ended = ended.await;
    stand.separate.deliveries.twice(false);
    executed_once(&stand, &ended?, Extra { idle: 3, interrupted: 0 }).await
}

async fn late(stand: Arc<Stand>, before_end: bool) -> Result<(), String> {
    let sent = if before_end { "\"after the join\"" } else { "\"after the end\"" };
    stand.recorder.clear();
    stand.recorder.hold("three");
    let again = async |branches: &[Delivery]| {
        for branch in branches {
            let status = stand.separate.deliveries.again(branch).await;
            expect(status == 200, || format!("a late delivery was answered with {status}"))?;
        }
        Ok::<_, String>(())
    };
    let begun = async {
        let (id, trace) = begin(&stand, sent).await?;
        let branches = stand.separate.deliveries.until(&id, 200, 2).await?;
        stand.recorder.until_sent("three", &joined(sent), 1, PATIENCE).await?;
        if before_end {
            again(&branches).await?;
        }
        Ok::<_, String>((id, trace, branches))
    };
    let begun = begun.await;
    stand.recorder.release("three");
    let (id, trace, branches) = begun?;
    if !before_end {
        stand.separate.deliveries.until(&id, 200, 3).await?;
        again(&branches).await?;
    }
    executed_once(&stand, &trace, Extra { idle: 2, interrupted: 0 }).await
}

async fn cut(stand: Arc<Stand>) -> Result<(), String> {
    let sent = "\"cut\"";
    stand.recorder.clear();
    stand.recorder.hold("one");
    let severed = async {
        let (id, trace) = begin(&stand, sent).await?;
        // The other branch has ended, so that only this one meets the outage.
        stand.separate.deliveries.until(&id, 200, 1).await?;
        stand.separate.store.sever_at_claim();
        stand.recorder.release("one");
        stand.separate.store.until_severed().await?;
        // The phase runs out of time, so it is given up and delivered again.
        stand.separate.deliveries.until(&id, 503, 1).await?;
        Ok::<_, String>((id, trace))
    };
    let severed = severed.await;
    stand.recorder.release("one");
    stand.separate.store.mend();
    let (id, trace) = severed?;
    stand.recorder.until_sent("three", &joined(sent), 1, PATIENCE).await?;
    // Two branches and the join.
    stand.separate.deliveries.until(&id, 200, 3).await?;
    let interrupted = stand.separate.deliveries.until(&id, 503, 1).await?.len();
    executed_once(&stand, &trace, Extra { idle: 0, interrupted }).await
}
