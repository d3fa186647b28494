//! Seals, sends and opens envelopes without HTTP.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use faasflow_core::envelope::{Carried, Envelope};
use faasflow_core::failure::FailureKind;
use faasflow_core::machine::{Token, Unfit};
use faasflow_core::{Flow, FlowBuilder, Payload};

use super::forwarder::ForwardError;
use super::seal::{NoPayload, NotForwarded, Onward};
use crate::deadline::Deadline;
use crate::testing::{Queue, Shelf, context, instance, lines, observers, request, series};

fn two_phases() -> FlowBuilder {
    Flow::builder().apply("first").apply("second")
}

fn deadline() -> Deadline {
    Deadline::starting_now(Duration::from_secs(10))
}

fn token(payload: &'static [u8]) -> Token {
    Token::new(2.into(), Payload::new(payload))
}

fn opened(parts: &[Bytes]) -> Envelope {
    Envelope::decode(&parts.concat().into()).unwrap()
}

#[tokio::test]
async fn a_token_is_sent_as_an_equivalent_envelope() {
    let queue = Arc::new(Queue::default());
    let instance = instance(two_phases().build().unwrap(), &[], &queue);
    let observers = observers(&instance);
    let sent = instance.forward(&context(1), Onward::from(&token(b"photo")), &deadline(), &observers).await;
    assert!(sent.is_ok());
    let [forward] = &queue.taken()[..] else { panic!("exactly one envelope should be queued") };
    assert_eq!((forward.flow.as_str(), forward.request.as_str(), forward.place.phase()), ("flow", "r", 2));
    let envelope = opened(&forward.body);
    assert_eq!(envelope.place.phase(), 2);
    assert_eq!(envelope.payload, Carried::Inline(Payload::new("photo").with_content_type_header(None)));
    assert_eq!(lines(&observers), ["Forwarded to phase 2"]);
    assert_eq!(series(&instance, r#"faasflow_forwards_total{result="accepted",flow="flow"}"#), "1");
}

#[tokio::test(start_paused = true)]
async fn temporary_refusals_are_retried_with_the_same_call_id() {
    let queue = Arc::new(Queue::default());
    let instance = instance(two_phases().build().unwrap(), &[], &queue);
    queue.refuses(ForwardError::temporary("busy", None));
    queue.refuses(ForwardError::temporary("busy", Some(Duration::from_secs(2))));
    let begun = tokio::time::Instant::now();
    let observers = observers(&instance);
    assert!(instance.forward(&context(1), Onward::from(&token(b"")), &deadline(), &observers).await.is_ok());
    assert!(begun.elapsed() >= Duration::from_secs(2), "the queue asked it to wait");
    let given = queue.given();
    assert_eq!(given.len(), 3);
    assert!(given.iter().all(|forward| forward.call_id == given[0].call_id));
    let yet = "Cannot forward to phase 2 yet: busy";
    assert_eq!(lines(&observers), [yet, yet, "Forwarded to phase 2"]);
}

#[tokio::test(start_paused = true)]
async fn a_long_refusal_is_transient_and_a_permanent_one_is_a_failure() {
    let queue = Arc::new(Queue::default());
    let instance = instance(two_phases().build().unwrap(), &[], &queue);
    queue.refuses(ForwardError::temporary("busy", Some(Duration::from_secs(60))));
    let observers = observers(&instance);
    match instance.forward(&context(1), Onward::from(&token(b"")), &deadline(), &observers).await {
        Err(NotForwarded::Transient(outage)) => assert_eq!(outage.retry_after, Some(Duration::from_secs(60))),
        _ => panic!("the error should be temporary"),
    }
    queue.refuses(ForwardError::permanent("no such function"));
    match instance.forward(&context(1), Onward::from(&token(b"")), &deadline(), &observers).await {
        Err(NotForwarded::Failed(FailureKind::Forward(error))) => assert_eq!(error.to_string(), "no such function"),
        _ => panic!("the error should be permanent"),
    }
    assert_eq!(queue.given().len(), 2);
    assert_eq!(series(&instance, r#"faasflow_forwards_total{result="failed",flow="flow"}"#), "2");
}

#[tokio::test]
async fn an_envelope_over_the_limit_is_refused_without_a_state_manager() {
    let queue = Arc::new(Queue::default());
    let instance = instance(two_phases().build().unwrap(), &[("envelope_limit", "1000")], &queue);
    match instance.forward(&context(1), Onward::from(&token(&[7; 2000])), &deadline(), &observers(&instance)).await {
        Err(NotForwarded::Failed(FailureKind::EnvelopeTooLarge { size, payload, limit, .. })) => {
            assert_eq!((payload, limit), (2000, 1000));
            assert!(size > 2000);
        }
        _ => panic!("the envelope should be too large"),
    }
    assert!(queue.given().is_empty());
}

#[tokio::test]
async fn a_payload_over_the_limit_is_stored_and_fetched() {
    let (queue, shelf) = (Arc::new(Queue::default()), Shelf::default());
    let flow = two_phases().state(shelf.clone()).build().unwrap();
    let instance = instance(flow, &[("envelope_limit", "1000")], &queue);
    let observers = observers(&instance);
    assert!(instance.forward(&context(1), Onward::from(&token(&[7; 2000])), &deadline(), &observers).await.is_ok());
    assert!(shelf.keys()[0].starts_with("payload/2-"), "{:?}", shelf.keys());
    let envelope = opened(&queue.taken()[0].body);
    assert!(matches!(envelope.payload, Carried::Stored(_)));

    let manager = instance.retrying_state(deadline().state_in_steps());
    let take = |carried: Carried| instance.take(carried, &envelope.request, manager.as_ref(), &observers);
    assert_eq!(take(envelope.payload.clone()).await.ok().unwrap().len(), 2000);
    shelf.lose();
    assert!(matches!(take(envelope.payload.clone()).await, Err(NoPayload::Unfit(Unfit::PayloadGone))));
    let without = instance.take(envelope.payload.clone(), &request(), None, &observers).await;
    assert!(matches!(without, Err(NoPayload::Unfit(Unfit::NoStateManager))));
}

#[tokio::test(start_paused = true)]
async fn an_unavailable_state_manager_is_not_a_failure() {
    let (queue, shelf) = (Arc::new(Queue::default()), Shelf::default());
    let flow = two_phases().state(shelf.clone()).build().unwrap();
    let instance = instance(flow, &[("intermediate_storage", "true")], &queue);
    shelf.is_away(true);
    let sent = instance.forward(&context(1), Onward::from(&token(b"photo")), &deadline(), &observers(&instance)).await;
    assert!(matches!(sent, Err(NotForwarded::Transient(_))));
    assert!(queue.given().is_empty());
}
