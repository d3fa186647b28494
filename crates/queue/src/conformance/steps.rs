//! Steps that the tests of stores share.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use faasflow_http::now_ms;
use http::{HeaderMap, HeaderValue, StatusCode};

use crate::call::{Accepted, Call, NewCall};
use crate::letter::Letter;
use crate::store::{Claim, Conclusion, Store};

/// How long a store may take for an operation.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long to wait for something that must not happen.
const MOMENT: Duration = Duration::from_millis(60);

pub(crate) fn new_call(id: &str, function: &str) -> NewCall {
    let mut headers = HeaderMap::new();
    headers.append("content-type", "text/plain".parse().expect("a value"));
    headers.append("x-a", HeaderValue::from_bytes(b"\xff1").expect("a value"));
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

pub(crate) fn call(id: &str, function: &str) -> Arc<Call> {
    Arc::new(Call::new(new_call(id, function)))
}

pub(crate) async fn accept(store: &dyn Store, id: &str, function: &str) {
    assert_eq!(within(store.accept(call(id, function))).await.expect("it is accepted"), Accepted::New, "{id}");
}

pub(crate) async fn within<T>(doing: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, doing).await.expect("a store does what it is asked within two minutes")
}

/// Claims the next call and returns it.
pub(crate) async fn claim(store: &dyn Store, most: usize) -> (Claim, Arc<Call>) {
    let claim = within(store.claim(&move |_| most)).await.expect("there is a call");
    let call = within(store.fetch(&claim)).await.expect("it can be read").expect("it is there");
    assert_eq!(claim.bytes, call.body.len());
    assert_eq!(*claim.lane, *call.lane());
    (claim, call)
}

pub(crate) async fn nothing_comes(store: &dyn Store, most: usize) {
    let claimed = tokio::time::timeout(MOMENT, store.claim(&move |_| most)).await;
    assert!(claimed.is_err(), "nothing is due, and {claimed:?} came");
}

pub(crate) async fn conclude(store: &dyn Store, claim: Claim, conclusion: Conclusion) {
    within(store.conclude(claim, conclusion)).await.expect("it is concluded");
}

pub(crate) async fn deliver(store: &dyn Store, claim: Claim) {
    conclude(store, claim, Conclusion::Delivered { callback: None }).await;
}

pub(crate) fn letter(call: &Call) -> Box<Letter> {
    let answer = (StatusCode::BAD_GATEWAY, HeaderMap::new(), Bytes::from("no"));
    Box::new(Letter {
        call: call.clone(),
        reason: "of the test".to_owned(),
        attempts: 3,
        died_ms: now_ms(),
        answer: Some(answer),
    })
}

/// Gives up the next call and returns its number.
pub(crate) async fn kill(store: &dyn Store) -> u64 {
    let (claim, call) = claim(store, 99).await;
    let id = claim.id;
    conclude(store, claim, Conclusion::Dead { letter: letter(&call), callback: None }).await;
    id
}

/// Delivers all calls. Returns the call ids by lane, in order.
pub(crate) async fn drain(store: &dyn Store) -> HashMap<String, Vec<String>> {
    let mut delivered: HashMap<String, Vec<String>> = HashMap::new();
    while within(store.stats()).await.expect("it can be asked").depth > 0 {
        let (claim, call) = claim(store, 99).await;
        delivered.entry(call.lane()).or_default().push(call.call_id.clone());
        deliver(store, claim).await;
    }
    delivered
}
