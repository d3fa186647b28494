//! Duplicates, callbacks and dead letters.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use faasflow_http::now_ms;

use crate::call::{Accepted, Call, Target};
use crate::conformance::steps::{accept, call, claim, conclude, deliver, kill, letter, nothing_comes};
use crate::store::{Conclusion, Store};

pub(super) async fn duplicates_are_dropped(store: &dyn Store) {
    let same = || store.accept(call("same", "f"));
    let (one, two, three) = tokio::join!(same(), same(), same());
    let accepted = [one, two, three].map(|accepted| accepted.expect("it is accepted"));
    assert_eq!(accepted.iter().filter(|&&accepted| accepted == Accepted::New).count(), 1);
    // The name with and without the namespace means the same function. Another function may get the same id.
    assert_eq!(store.accept(call("same", "f.openfaas-fn")).await.expect("it is accepted"), Accepted::Duplicate);
    accept(store, "same", "g").await;
    for _ in 0..2 {
        let (claim, _) = claim(store, 1).await;
        deliver(store, claim).await;
    }
    nothing_comes(store, 9).await;
    assert_eq!(same().await.expect("it is accepted"), Accepted::Duplicate, "also after it was delivered");
    assert_eq!(store.stats().await.expect("it can be asked").totals.duplicates, 4);
}

pub(super) async fn an_id_is_forgotten_after_the_window(store: &dyn Store) {
    for _ in 0..3 {
        accept(store, "same", "f").await;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(store.stats().await.expect("it can be asked").depth, 3);
}

pub(super) async fn a_callback_is_accepted_with_the_conclusion(store: &dyn Store) {
    accept(store, "c", "f").await;
    let (claimed, got) = claim(store, 1).await;
    let url = "http://127.0.0.1:1/back".parse().expect("a URL");
    let target = Target::Callback { url, function: "f".to_owned() };
    let callback = Call { target, body: Bytes::from("answer"), ..Call::clone(&got) };
    conclude(store, claimed, Conclusion::Delivered { callback: Some(Arc::new(callback.clone())) }).await;
    let (claimed, got) = claim(store, 1).await;
    assert_eq!(*got, callback);
    assert_eq!(&*claimed.lane, "callback 127.0.0.1:1");
    assert_eq!(store.list(9).await.expect("it can be read").len(), 1);
    conclude(store, claimed, Conclusion::Dead { letter: letter(&got), callback: None }).await;
    assert_eq!(
        store.accept(call("c", "f")).await.expect("it is accepted"),
        Accepted::Duplicate,
        "the call itself is not dead"
    );
}

pub(super) async fn a_letter_is_revived_once(store: &dyn Store) {
    accept(store, "c", "f").await;
    let (claimed, got) = claim(store, 1).await;
    let (id, written) = (claimed.id, letter(&got));
    conclude(store, claimed, Conclusion::Dead { letter: written.clone(), callback: None }).await;
    assert_eq!(store.letters().await.expect("they can be read"), [id]);
    assert_eq!(store.letter(id).await.expect("it can be read").as_ref(), Some(&*written));
    assert_eq!(store.letter(id + 1).await.expect("it can be read"), None);
    let stats = store.stats().await.expect("it can be asked");
    assert_eq!((stats.depth, stats.dead_letters, stats.totals.dead), (0, 1, 1));
    accept(store, "c", "f").await;
    let (other, _) = claim(store, 1).await;
    deliver(store, other).await;

    let due_ms = now_ms() + 200;
    let (one, two) = tokio::join!(store.revive(id, due_ms), store.revive(id, due_ms));
    assert_eq!(one.expect("it is revived") as u8 + two.expect("it is revived") as u8, 1);
    assert!(store.letters().await.expect("they can be read").is_empty());
    let (claimed, call) = claim(store, 1).await;
    assert!(now_ms() >= due_ms, "it came before it was due");
    assert_eq!((claimed.id, claimed.attempt, &*call), (id, 1, &*got));
    conclude(store, claimed, Conclusion::Dead { letter: letter(&got), callback: None }).await;
    assert!(store.revive(id, 0).await.expect("it is revived"));
    let (claimed, _) = claim(store, 1).await;
    deliver(store, claimed).await;
    assert_eq!(store.stats().await.expect("it can be asked").depth, 0);
}

pub(super) async fn letters_are_discarded(store: &dyn Store) {
    let mut ids = Vec::new();
    for id in ["a", "b", "c"] {
        accept(store, id, "f").await;
        ids.push(kill(store).await);
    }
    assert_eq!(store.discard(vec![ids[0], ids[2], ids[2] + 7]).await.expect("they are discarded"), 2);
    assert_eq!(store.letters().await.expect("they can be read"), [ids[1]]);
    assert!(!store.revive(ids[0], 0).await.expect("nothing is revived"));
    nothing_comes(store, 9).await;
}

pub(super) async fn letters_are_limited(store: &dyn Store) {
    let mut ids = Vec::new();
    for id in 0..5 {
        accept(store, &format!("c{id}"), "f").await;
        ids.push(kill(store).await);
    }
    assert_eq!(store.letters().await.expect("they can be read"), ids[2..], "the oldest go first");
    assert_eq!(store.letter(ids[0]).await.expect("it can be read"), None);
    let stats = store.stats().await.expect("it can be asked");
    assert_eq!((stats.dead_letters, stats.totals.dead, stats.totals.letters_removed), (3, 5, 2));
}
