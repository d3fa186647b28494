//! The tests that every store has to pass, for whoever writes one.
//!
//! [`check`] is for all stores. [`check_durable`] is for those that outlive their process: closed and opened again, killed,
//! and damaged where they are a file.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use crate::call::{Accepted, Call, NewCall, now_ms};
use crate::error::QueueError;
use crate::letter::Letter;
use crate::policy::options::QueueOptions;
use crate::store::{Claim, Conclusion, Store};

mod durable;
mod killed;
mod letters;
mod order;

pub use killed::{Victim, killed, victim};

/// How long a store may take for what it has to do.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long is waited for what must not come.
const MOMENT: Duration = Duration::from_millis(60);

/// Checks a store. `open` is called once for each test, and has to return an empty store with these options.
///
/// # Panics
///
/// If the store breaks a rule; the message and the place say which.
pub async fn check(open: impl AsyncFn(QueueOptions) -> Arc<dyn Store>) {
    let options = QueueOptions::default;
    order::calls_come_in_order_and_are_gone(&*open(options()).await).await;
    order::lanes_take_turns_within_their_limits(&*open(options()).await).await;
    order::a_dropped_claim_claims_nothing(&*open(options()).await).await;
    order::a_call_comes_again_when_it_is_due(&*open(options()).await).await;
    order::a_long_queue_is_delivered_once_and_in_order(&*open(options()).await).await;
    order::bodies_that_find_no_room_are_read_again(&*open(QueueOptions { kept_bodies: 10, ..options() }).await).await;
    order::what_is_in_it_is_shown(&*open(options()).await).await;
    letters::duplicates_are_dropped(&*open(options()).await).await;
    let window = QueueOptions { duplicate_window: Duration::ZERO, ..options() };
    letters::an_id_is_forgotten_after_the_window(&*open(window).await).await;
    letters::a_callback_is_accepted_with_the_conclusion(&*open(options()).await).await;
    letters::a_letter_is_revived_once(&*open(options()).await).await;
    letters::letters_are_discarded(&*open(options()).await).await;
    letters::letters_are_limited(&*open(QueueOptions { dead_letter_count: 3, ..options() }).await).await;
    let store = open(options()).await;
    store.close().await;
    assert!(matches!(store.accept(call("c", "f")).await, Err(QueueError::Closed)), "a closed store accepts nothing");
    assert!(matches!(store.claim(&|_| 1).await, Err(QueueError::Closed)), "a closed store gives nothing");
}

/// Checks a store that outlives its process. `open` gets a path in a folder of the test's own, and is called again with it
/// after the store was closed.
///
/// # Panics
///
/// If the store breaks a rule; the message and the place say which.
pub async fn check_durable(open: impl AsyncFn(&Path, QueueOptions) -> Result<Arc<dyn Store>, QueueError>) {
    durable::all_is_there_after_a_restart(&open).await;
    durable::a_long_queue_is_taken_up(&open).await;
    durable::unacknowledged_claims_come_again(&open).await;
}

/// Checks that damage to the one file of a store is noticed when it is opened, and that the file is left as it was. `open` is
/// called with the path of the file.
///
/// # Panics
///
/// If the store breaks a rule; the message and the place say which.
pub async fn check_file(open: impl AsyncFn(&Path, QueueOptions) -> Result<Arc<dyn Store>, QueueError>) {
    durable::a_damaged_file_is_refused_and_left_as_it_is(&open).await;
}

pub(crate) fn new_call(id: &str, function: &str) -> NewCall {
    let mut headers = HeaderMap::new();
    headers.append("content-type", "text/plain".parse().expect("a value"));
    headers.append("x-a", http::HeaderValue::from_bytes(b"\xff1").expect("a value"));
    headers.append("x-a", "2".parse().expect("a value"));
    NewCall {
        call_id: id.to_owned(),
        function: function.to_owned(),
        path: "/p".to_owned(),
        query: Some("q=1".to_owned()),
        headers,
        body: Bytes::from(format!("body of {id}")),
        callback_url: None,
    }
}

fn call(id: &str, function: &str) -> Arc<Call> {
    Arc::new(Call::new(new_call(id, function)))
}

async fn accept(store: &dyn Store, id: &str, function: &str) {
    assert_eq!(within(store.accept(call(id, function))).await.expect("it is accepted"), Accepted::New, "{id}");
}

async fn within<T>(doing: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, doing).await.expect("a store does what it is asked within 20 seconds")
}

/// Claims the next call; what it is.
async fn claim(store: &dyn Store, most: usize) -> (Claim, Arc<Call>) {
    let claim = within(store.claim(&move |_| most)).await.expect("there is a call");
    let call = within(store.fetch(&claim)).await.expect("it can be read").expect("it is there");
    assert_eq!(claim.bytes, call.body.len());
    assert_eq!(*claim.lane, *call.lane());
    (claim, call)
}

async fn nothing_comes(store: &dyn Store, most: usize) {
    let claimed = tokio::time::timeout(MOMENT, store.claim(&move |_| most)).await;
    assert!(claimed.is_err(), "nothing is due, and {claimed:?} came");
}

async fn conclude(store: &dyn Store, claim: Claim, conclusion: Conclusion) {
    within(store.conclude(claim, conclusion)).await.expect("it is concluded");
}

async fn deliver(store: &dyn Store, claim: Claim) {
    conclude(store, claim, Conclusion::Delivered { callback: None }).await;
}

fn letter(call: &Call) -> Box<Letter> {
    let answer = (StatusCode::BAD_GATEWAY, HeaderMap::new(), Bytes::from("no"));
    Box::new(Letter {
        call: call.clone(),
        reason: "of the test".to_owned(),
        attempts: 3,
        died_ms: now_ms(),
        answer: Some(answer),
    })
}

/// Gives the next call up; its number.
async fn kill(store: &dyn Store) -> u64 {
    let (claim, call) = claim(store, 99).await;
    let id = claim.id;
    conclude(store, claim, Conclusion::Dead { letter: letter(&call), callback: None }).await;
    id
}

/// Delivers all that is there; call ids by lane, in their order.
async fn drain(store: &dyn Store) -> HashMap<String, Vec<String>> {
    let mut delivered: HashMap<String, Vec<String>> = HashMap::new();
    while within(store.stats()).await.expect("it can be asked").depth > 0 {
        let (claim, call) = claim(store, 99).await;
        delivered.entry(call.lane()).or_default().push(call.call_id.clone());
        deliver(store, claim).await;
    }
    delivered
}
