//! Flows with state and payloads in the backend.

use std::sync::Arc;

use bytes::Bytes;
use faasflow::state::{Scope, StateManager as _};
use faasflow::{Context, Error, Flow, Outcome, Result as FlowResult};
use faasflow_core::envelope::{Carried, Envelope, Reference};
use faasflow_testkit::{End, Fake, Running, TestKit};

use super::backend::Backend;
use crate::suite::{Suite, expect};

/// Three phases. The first stores a number and the payload, and the last compares them.
pub(super) fn flow(backend: &Backend) -> Flow {
    let keep = async |context: Context, payload: Bytes| {
        context.set("length", payload.len()).await?;
        context.set_bytes("original", payload.clone()).await?;
        FlowResult::Ok(payload)
    };
    let compare = async |context: Context, payload: Bytes| {
        let length: Option<usize> = context.get("length").await?;
        let original = context.get_bytes("original").await?;
        if length == Some(payload.len()) && original.as_ref() == Some(&payload) {
            Ok(payload)
        } else {
            Err(Error::refused("the state is not what was kept"))
        }
    };
    Flow::builder()
        .state(backend.manager())
        .modify(keep)
        .apply("one")
        .apply("two")
        .apply("three")
        .modify(compare)
        .finally(async |context: Context, _: Outcome| context.remove("length").await)
        .build()
        .expect("the flow is well defined")
}

/// Requests are forgotten at their end. By default they are remembered here, because the backends can.
pub(super) const FORGETS: (&str, &str) = ("records", "off");

pub(super) async fn kit(backend: &Backend, settings: &[(&str, &str)]) -> Running {
    let mut kit = TestKit::new(flow(backend));
    for name in ["one", "two", "three"] {
        kit = kit.function(name, Fake::echo());
    }
    for (name, value) in settings {
        kit = kit.setting(*name, *value);
    }
    kit.start().await
}

pub(super) fn payload(length: usize, seed: u8) -> Bytes {
    (0..length).map(|at| (at as u8).wrapping_mul(31).wrapping_add(seed)).collect::<Vec<_>>().into()
}

pub(super) fn came_back(end: &End, sent: &Bytes) -> Result<(), String> {
    if end.outcome() == Some(Outcome::Success) && end.body == *sent {
        Ok(())
    } else {
        Err(format!("{} {:?}: {:.200}", end.status, end.outcome(), end.text()))
    }
}

/// Everything that a request has stored, under all keys that this flow uses.
async fn left(backend: &Backend, request: &str, references: &[Reference]) -> Result<Vec<String>, String> {
    let scope = Scope { flow: "flow".to_owned(), request: request.to_owned() };
    let keys = ["state/length", "state/original"].map(str::to_owned).into_iter();
    let mut left = Vec::new();
    for key in keys.chain(references.iter().map(|reference| reference.key().to_owned())) {
        let found = backend.manager().get(&scope, &key).await.map_err(|error| format!("{:#}", Error::from(error)))?;
        if found.is_some() {
            left.push(key);
        }
    }
    Ok(left)
}

/// The reference in the only envelope in the queue.
fn queued_reference(kit: &Running) -> Result<Reference, String> {
    let queued = kit.queued();
    let [(_, body)] = queued.as_slice() else { return Err(format!("{} envelopes wait, not one", queued.len())) };
    match Envelope::decode(body).map_err(|error| error.to_string())?.payload {
        Carried::Stored(reference) if body.len() < 4000 => Ok(reference),
        Carried::Stored(_) => Err(format!("the envelope is {} bytes for a reference", body.len())),
        Carried::Inline(_) => Err("the payload travels in the envelope".to_owned()),
    }
}

pub(super) async fn run(suite: &Suite, backend: &Arc<Backend>) {
    suite.check("state passes through three phases, and nothing is left", small(backend.clone())).await;
    suite.check("a payload over envelope_limit goes to the store by itself", over_the_limit(backend.clone())).await;
    suite.check("intermediate_storage stores every payload", always(backend.clone())).await;
    suite.check("keep_state keeps what was stored", stored(backend.clone())).await;
    suite.check("a payload that is not what was stored is not taken for it", tampered(backend.clone())).await;
    suite.check("a delivery after the end is refused as gone", late(backend.clone())).await;
    suite.check("100 requests at once do not see each other's state", many(backend.clone())).await;
}

async fn small(backend: Arc<Backend>) -> Result<(), String> {
    let kit = kit(&backend, &[FORGETS]).await;
    let sent = payload(20_000, 1);
    let end = kit.request(sent.clone()).send().await;
    came_back(&end, &sent)?;
    kit.until_delivered(2).await;
    let left = left(&backend, end.request_id(), &[]).await?;
    expect(left.is_empty(), || format!("still there: {left:?}"))
}

/// Sends a payload through the flow, and checks its first envelope.
async fn looked_at_in_the_queue(kit: &Running, sent: Bytes) -> Result<(End, Reference), String> {
    kit.hold_queue();
    let (end, reference) = tokio::join!(kit.request(sent.clone()).send(), async {
        kit.until_queued(1).await;
        let reference = queued_reference(kit);
        kit.release_queue();
        reference
    });
    came_back(&end, &sent)?;
    Ok((end, reference?))
}

async fn over_the_limit(backend: Arc<Backend>) -> Result<(), String> {
    let kit = kit(&backend, &[FORGETS, ("envelope_limit", "4000")]).await;
    let (end, reference) = looked_at_in_the_queue(&kit, payload(300_000, 2)).await?;
    kit.until_delivered(2).await;
    let left = left(&backend, end.request_id(), &[reference]).await?;
    expect(left.is_empty(), || format!("still there: {left:?}"))
}

async fn always(backend: Arc<Backend>) -> Result<(), String> {
    let kit = kit(&backend, &[("intermediate_storage", "true")]).await;
    let (_, reference) = looked_at_in_the_queue(&kit, payload(10, 3)).await?;
    expect(reference.bytes() == 10, || "the reference is to another payload".to_owned())
}

async fn stored(backend: Arc<Backend>) -> Result<(), String> {
    let kit = kit(&backend, &[FORGETS, ("keep_state", "true")]).await;
    let sent = payload(1000, 4);
    let end = kit.request(sent.clone()).send().await;
    came_back(&end, &sent)?;
    kit.until_delivered(2).await;
    let left = left(&backend, end.request_id(), &[]).await?;
    expect(left == ["state/original"], || format!("still there: {left:?}"))?;
    let scope = Scope { flow: "flow".to_owned(), request: end.request_id().to_owned() };
    backend.manager().remove_request(&scope).await.map_err(|error| format!("{:#}", Error::from(error)))
}

async fn tampered(backend: Arc<Backend>) -> Result<(), String> {
    let kit = kit(&backend, &[FORGETS, ("intermediate_storage", "true")]).await;
    kit.hold_queue();
    let request = kit.request(payload(5000, 5));
    let (end, done) = tokio::join!(request.send(), async {
        kit.until_queued(1).await;
        let reference = queued_reference(&kit)?;
        let id = Envelope::decode(&kit.queued()[0].1).map_err(|error| error.to_string())?.request.id.to_string();
        let scope = Scope { flow: "flow".to_owned(), request: id };
        let written = backend.manager().set(&scope, reference.key(), payload(4999, 5)).await;
        written.map_err(|error| format!("{:#}", Error::from(error)))?;
        kit.release_queue();
        Ok::<_, String>(())
    });
    done?;
    expect(end.outcome() == Some(Outcome::Failure), || format!("it ended as {:?}", end.outcome()))?;
    expect(kit.calls("two").is_empty(), || "the next function was called all the same".to_owned())
}

async fn late(backend: Arc<Backend>) -> Result<(), String> {
    let kit = kit(&backend, &[FORGETS, ("intermediate_storage", "true")]).await;
    kit.hold_queue();
    let sent = payload(5000, 6);
    let (end, queued) = tokio::join!(kit.request(sent.clone()).send(), async {
        kit.until_queued(1).await;
        let queued = kit.queued();
        kit.release_queue();
        queued
    });
    came_back(&end, &sent)?;
    kit.until_delivered(2).await;
    let calls = kit.calls("two").len();
    let (headers, body) = queued[0].clone();
    let answer = kit.request(body).headers(headers).answer().await;
    expect(answer.status == 410, || format!("it was answered with {}: {}", answer.status, answer.text()))?;
    expect(kit.calls("two").len() == calls, || "the function was called again".to_owned())
}

async fn many(backend: Arc<Backend>) -> Result<(), String> {
    let kit = kit(&backend, &[("envelope_limit", "4000")]).await;
    let requests = (0..100u8).map(|number| {
        let kit = &kit;
        async move {
            let sent = payload(10_000 + usize::from(number), number);
            came_back(&kit.request(sent.clone()).send().await, &sent)
        }
    });
    futures_util::future::try_join_all(requests).await.map(drop)
}
