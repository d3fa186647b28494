//! The order of calls.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use faasflow_http::now_ms;

use crate::call::{Call, Target};
use crate::conformance::steps::{accept, call, claim, conclude, deliver, new_call, nothing_comes};
use crate::store::{Conclusion, Store};

pub(super) async fn calls_come_in_order_and_are_gone(store: &dyn Store) {
    for id in 0..20 {
        accept(store, &format!("c{id}"), "f").await;
    }
    for id in 0..20 {
        let (claim, got) = claim(store, 99).await;
        assert_eq!((claim.attempt, claim.put_off), (1, 0));
        let expected = new_call(&format!("c{id}"), "f");
        assert_eq!((&got.call_id, &got.headers, &got.body), (&expected.call_id, &expected.headers, &expected.body));
        deliver(store, claim).await;
    }
    nothing_comes(store, 99).await;
    let stats = store.stats().await.expect("it can be asked");
    assert_eq!((stats.depth, stats.in_flight, stats.totals.accepted, stats.totals.delivered), (0, 0, 20, 20));
    assert!(stats.functions.is_empty(), "{:?}", stats.functions);
}

pub(super) async fn lanes_take_turns_within_their_limits(store: &dyn Store) {
    for id in 0..2_000 {
        accept(store, &format!("a{id}"), if id % 2 == 0 { "many" } else { "many.openfaas-fn" }).await;
    }
    accept(store, "b", "few").await;
    // This holds for any number of calls in another lane.
    let (first, one) = claim(store, 1).await;
    let (second, other) = claim(store, 1).await;
    let lanes = HashSet::from([one.lane(), other.lane()]);
    assert_eq!(lanes, HashSet::from(["many".to_owned(), "few".to_owned()]));
    nothing_comes(store, 1).await;
    deliver(store, first).await;
    deliver(store, second).await;
    let (third, call) = claim(store, 1).await;
    assert_eq!(call.lane(), "many");
    nothing_comes(store, 1).await;
    deliver(store, third).await;
}

pub(super) async fn a_dropped_claim_claims_nothing(store: &dyn Store) {
    nothing_comes(store, 1).await;
    accept(store, "c", "f").await;
    let (claim, call) = claim(store, 1).await;
    assert_eq!(call.call_id, "c");
    deliver(store, claim).await;
}

pub(super) async fn a_call_comes_again_when_it_is_due(store: &dyn Store) {
    accept(store, "c", "f").await;
    let (first, _) = claim(store, 1).await;
    let id = first.id;
    let due_ms = now_ms() + 300;
    conclude(store, first, Conclusion::Again { due_ms, counts: true }).await;
    let shown = store.list(9).await.expect("it can be read");
    assert_eq!((shown.len(), shown[0].attempt, shown[0].due_ms, shown[0].in_flight), (1, 2, due_ms, false));
    accept(store, "d", "f").await;
    let (other, call) = claim(store, 1).await;
    assert_eq!(call.call_id, "d", "who waits for its time stands in nobody's way");
    deliver(store, other).await;
    let (second, call) = claim(store, 1).await;
    assert!(now_ms() >= due_ms, "it came before it was due");
    assert_eq!((second.id, second.attempt, call.call_id.as_str()), (id, 2, "c"));
    conclude(store, second, Conclusion::Again { due_ms: 0, counts: false }).await;
    let (third, _) = claim(store, 1).await;
    assert_eq!((third.attempt, third.put_off), (2, 1), "a call that is put off keeps its attempts");
    conclude(store, third, Conclusion::Untried { due_ms: 0 }).await;
    let (fourth, _) = claim(store, 1).await;
    assert_eq!((fourth.attempt, fourth.put_off), (2, 1));
    conclude(store, fourth, Conclusion::Again { due_ms: 0, counts: true }).await;
    let (fifth, _) = claim(store, 1).await;
    assert_eq!((fifth.attempt, fifth.put_off), (3, 0));
    deliver(store, fifth).await;
    assert_eq!(store.stats().await.expect("it can be asked").totals.retried, 3);
}

/// More calls than a store should keep in memory, with some that come again in between.
pub(super) async fn a_long_queue_is_delivered_once_and_in_order(store: &dyn Store) {
    const EACH: usize = 4_000;
    let accepting = (0..EACH).map(|id| async move {
        accept(store, &format!("f{id}"), "f").await;
        accept(store, &format!("g{id}"), "g").await;
    });
    futures_util::future::join_all(accepting).await;
    let stats = store.stats().await.expect("it can be asked");
    assert_eq!(stats.depth, 2 * EACH);
    assert_eq!(stats.functions, BTreeMap::from([("f".to_owned(), EACH), ("g".to_owned(), EACH)]));
    let expected: Vec<u64> = store.list(2 * EACH).await.expect("it can be read").iter().map(|call| call.id).collect();
    assert!(expected.is_sorted() && expected.len() == 2 * EACH);

    let (mut fresh, mut seen, mut again) = (Vec::new(), HashSet::new(), 0);
    while seen.len() < 2 * EACH {
        let (claim, _) = claim(store, 99).await;
        if claim.attempt == 1 {
            fresh.push((claim.lane.to_string(), claim.id));
            // Many come again, and some of them later than all others.
            if claim.id % 3 == 0 {
                let due_ms = if claim.id % 2 == 0 { 0 } else { now_ms() + 100 };
                conclude(store, claim, Conclusion::Again { due_ms, counts: true }).await;
                again += 1;
                continue;
            }
        }
        assert!(seen.insert(claim.id), "{} came twice", claim.id);
        deliver(store, claim).await;
    }
    assert!(again > EACH / 2, "{again}");
    for lane in ["f", "g"] {
        let ids: Vec<u64> = fresh.iter().filter(|(of, _)| of == lane).map(|&(_, id)| id).collect();
        assert!(
            ids.is_sorted() && ids.len() == EACH,
            "{} of lane {lane} came, not in the order of acceptance",
            ids.len()
        );
    }
    nothing_comes(store, 99).await;
    assert_eq!(store.stats().await.expect("it can be asked").depth, 0);
}

pub(super) async fn bodies_that_find_no_room_are_read_again(store: &dyn Store) {
    for id in 0..50 {
        accept(store, &format!("c{id}"), "f").await;
    }
    let url = "http://127.0.0.1:1/back".parse().expect("a URL");
    let callback =
        Call { target: Target::Callback { url, function: "f".to_owned() }, ..Call::clone(&call("back", "f")) };
    for id in 0..50 {
        let (claim, got) = claim(store, 99).await;
        assert_eq!(got.body, format!("body of c{id}"));
        conclude(store, claim, Conclusion::Delivered { callback: (id == 49).then(|| Arc::new(callback.clone())) })
            .await;
    }
    // Immediately, when it may not be written yet.
    let (claim, got) = claim(store, 99).await;
    assert_eq!(got.body, "body of back");
    deliver(store, claim).await;
}

pub(super) async fn calls_in_the_queue_are_listed(store: &dyn Store) {
    for (id, function) in [("a", "f"), ("b", "g.openfaas-fn"), ("c", "f"), ("d", "g")] {
        accept(store, id, function).await;
    }
    let (claimed, _) = claim(store, 1).await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    let stats = store.stats().await.expect("it can be asked");
    let by_name = [("f", 2), ("g", 1), ("g.openfaas-fn", 1)].map(|(name, count)| (name.to_owned(), count));
    assert_eq!((stats.depth, stats.in_flight, stats.functions), (4, 1, BTreeMap::from(by_name)));
    assert!((0.02..600.0).contains(&stats.oldest_seconds), "{}", stats.oldest_seconds);
    let shown = store.list(3).await.expect("it can be read");
    assert_eq!(shown.iter().map(|call| call.call_id.as_str()).collect::<Vec<_>>(), ["a", "b", "c"]);
    assert_eq!((shown[0].in_flight, shown[1].in_flight), (true, false));
    assert_eq!((shown[1].function.as_str(), shown[1].bytes, shown[1].attempt), ("g.openfaas-fn", 9, 1));
    deliver(store, claimed).await;
    assert_eq!(store.list(9).await.expect("it can be read").len(), 3);
}
