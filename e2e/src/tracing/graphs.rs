//! Branches side by side, and the joins after them.

use std::sync::Arc;

use super::graph_faults::SPANS;
use super::stand::{PATIENCE, Stand};
use super::trace::{Span, Trace};
use crate::suite::{Suite, expect};

const BRANCHES: [&str; 2] = ["one", "two"];

pub(super) async fn run(suite: &Suite, stand: &Arc<Stand>) {
    let within = "branches within a phase hang side by side under it, and their calls under them";
    suite.check(within, synchronous(stand.clone())).await;
    let forked =
        "branches that fork are phases side by side, one of them forwards to the join, and the join links to all";
    suite.check(forked, asynchronous(stand.clone())).await;
}

/// Waits until the functions of both branches have been called with this body, and then lets them answer.
async fn until_both(stand: &Stand, body: &str) -> Result<(), String> {
    let mut called = Ok(());
    for function in BRANCHES {
        let seen = stand.recorder.until_sent(function, body, 1, PATIENCE).await;
        called = called.and(seen.map(drop));
    }
    BRANCHES.iter().for_each(|function| stand.recorder.release(function));
    called
}

/// Checks that spans have this parent and overlap in time.
fn side_by_side(trace: &Trace, parent: &Span, branches: &[&Span]) -> Result<(), String> {
    let names: Vec<&str> = branches.iter().map(|span| span.name.as_str()).collect();
    let have_parent = branches.iter().all(|span| span.parent.as_ref() == Some(&parent.id));
    expect(have_parent, || format!("{names:?} are not under `{}`:\n{trace}", parent.name))?;
    let last_start = branches.iter().map(|span| span.start).max();
    let first_end = branches.iter().map(|span| span.end).min();
    expect(last_start < first_end, || format!("{names:?} do not overlap:\n{trace}"))
}

/// The span with the call of a function below it.
pub(super) fn around<'a>(trace: &'a Trace, function: &str) -> Result<&'a Span, String> {
    let call = trace.span(&format!("call {function}"))?;
    let around = trace.spans.iter().find(|span| Some(&span.id) == call.parent.as_ref());
    around.ok_or_else(|| format!("`{}` has no parent:\n{trace}", call.name))
}

async fn synchronous(stand: Arc<Stand>) -> Result<(), String> {
    let body = "\"within a phase\"";
    stand.recorder.clear();
    BRANCHES.iter().for_each(|function| stand.recorder.hold(function));
    let (id, trace) = stand.id();
    let headers = [("x-faasflow-request-id", id.as_str())];
    let (answer, both) =
        tokio::join!(stand.invoke("function", "graph-direct", &headers, body), until_both(&stand, body));
    both?;
    answer?.expect(200)?;
    // The request, its phase, two branches and three calls.
    let trace = stand.jaeger.until(&trace, 7).await?;
    let phase = trace.span("phase 1")?;
    let branches = [trace.span("branch one")?, trace.span("branch two")?];
    side_by_side(&trace, phase, &branches)?;
    for (function, branch) in BRANCHES.iter().zip(branches) {
        let inner = around(&trace, function)?;
        expect(inner.id == branch.id, || format!("the call of `{function}` is under `{}`:\n{trace}", inner.name))?;
    }
    let last = around(&trace, "three")?;
    expect(last.id == phase.id, || format!("the call after the join is under `{}`:\n{trace}", last.name))
}

async fn asynchronous(stand: Arc<Stand>) -> Result<(), String> {
    let body = "\"forked\"";
    stand.recorder.clear();
    BRANCHES.iter().for_each(|function| stand.recorder.hold(function));
    let (id, trace) = stand.id();
    let sent = stand.invoke("function", "graph", &[("x-faasflow-request-id", &id)], body).await;
    let both = until_both(&stand, body).await;
    sent?.expect(202)?;
    both?;
    let trace = stand.jaeger.until(&trace, SPANS).await?;
    let branches = [around(&trace, "one")?, around(&trace, "two")?];
    side_by_side(&trace, trace.request()?, &branches)?;
    let join = around(&trace, "three")?;
    let number = join.attributes.get("faasflow.phase");
    let forwards = |branch: &&&Span| {
        branch.events.iter().any(|event| event.name == "forwarded" && event.attributes.get("faasflow.phase") == number)
    };
    let forwarded = branches.iter().filter(forwards).count();
    expect(forwarded == 1, || format!("{forwarded} branches have forwarded to `{}`, not one:\n{trace}", join.name))?;
    let ids = branches.map(|branch| branch.id.clone());
    expect(join.links == ids, || format!("`{}` links to {:?}, not to {ids:?}:\n{trace}", join.name, join.links))
}
