//! Tests conditional writes on S3 with a server whose answers the test chooses.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use faasflow_core::state::{Condition, Scope, StateManager as _, Version};
use faasflow_state::S3;
use http::{HeaderMap, Method, StatusCode};

/// A bucket with one object.
#[derive(Default)]
struct Bucket {
    object: Option<Bytes>,
    /// The answers to the next writes, which are not carried out.
    answers: VecDeque<StatusCode>,
    /// Written by somebody else when the next write is refused.
    rival: Option<Bytes>,
    writes: usize,
}

type Shared = Arc<Mutex<Bucket>>;

fn tag(object: &Bytes) -> String {
    format!("\"{}\"", String::from_utf8_lossy(object))
}

async fn serve(State(bucket): State<Shared>, method: Method, headers: HeaderMap, body: Bytes) -> Response {
    let mut bucket = bucket.lock().unwrap();
    if method == Method::PUT {
        bucket.writes += 1;
        if let Some(status) = bucket.answers.pop_front() {
            if let Some(rival) = bucket.rival.take() {
                bucket.object = Some(rival);
            }
            let xml = "<Error><Code>ConditionalRequestConflict</Code><Message>try again</Message></Error>";
            return (status, xml).into_response();
        }
        let holds = match (headers.get("if-none-match"), headers.get("if-match")) {
            (Some(_), _) => bucket.object.is_none(),
            (None, Some(wanted)) => bucket.object.as_ref().map(tag).as_deref() == wanted.to_str().ok(),
            (None, None) => true,
        };
        if !holds {
            return StatusCode::PRECONDITION_FAILED.into_response();
        }
        bucket.object = Some(body.clone());
        return [("etag", tag(&body))].into_response();
    }
    match &bucket.object {
        Some(object) => {
            let head = [("etag", tag(object)), ("last-modified", "Sun, 29 Nov 2026 01:00:00 GMT".to_owned())];
            (head, object.clone()).into_response()
        }
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

/// A manager for a bucket that answers its first writes with these statuses.
async fn answering(answers: &[u16]) -> (S3, Shared) {
    let answers = answers.iter().map(|status| StatusCode::from_u16(*status).unwrap()).collect();
    let bucket = Arc::new(Mutex::new(Bucket { answers, ..Bucket::default() }));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().fallback(serve).with_state(bucket.clone());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (S3::builder("bucket").endpoint(url).credentials("key", "secret").build().unwrap(), bucket)
}

fn scope() -> Scope {
    Scope { flow: "f".into(), request: "r".into() }
}

async fn create(s3: &S3, value: &'static str) -> Result<bool, faasflow_core::state::StateError> {
    let value = Bytes::from_static(value.as_bytes());
    Ok(s3.set_if(&scope(), "decided/1", value, Condition::Absent).await?.is_some())
}

#[tokio::test]
async fn s1_a_conflict_is_not_somebody_elses_claim() {
    let (s3, bucket) = answering(&[409, 409, 409]).await;
    assert!(create(&s3, "mine").await.unwrap());
    assert_eq!(bucket.lock().unwrap().writes, 4);
    assert_eq!(s3.get(&scope(), "decided/1").await.unwrap().unwrap(), "mine");
    assert!(!create(&s3, "late").await.unwrap());
}

#[tokio::test]
async fn a_conflict_with_a_writer_that_succeeded_is_a_condition_that_does_not_hold() {
    let (s3, bucket) = answering(&[409]).await;
    bucket.lock().unwrap().rival = Some(Bytes::from("theirs"));
    assert!(!create(&s3, "mine").await.unwrap());
    assert_eq!(bucket.lock().unwrap().writes, 1);
    assert_eq!(s3.get(&scope(), "decided/1").await.unwrap().unwrap(), "theirs");
}

#[tokio::test]
async fn conflicts_without_end_are_a_temporary_error() {
    let (s3, bucket) = answering(&[409; 20]).await;
    let error = create(&s3, "mine").await.unwrap_err();
    assert!(error.is_temporary(), "{error}");
    assert_eq!(bucket.lock().unwrap().writes, 5);
    assert!(bucket.lock().unwrap().object.is_none());
}

#[tokio::test]
async fn a_conflict_of_an_update_is_tried_again_while_the_version_is_the_same() {
    let (s3, bucket) = answering(&[]).await;
    assert!(create(&s3, "one").await.unwrap());
    let (_, version) = s3.get_versioned(&scope(), "decided/1").await.unwrap().unwrap();
    let update = async |value: &'static str, version: &Version| {
        let condition = Condition::Version(version.clone());
        s3.set_if(&scope(), "decided/1", Bytes::from(value), condition).await.unwrap()
    };
    bucket.lock().unwrap().answers = [StatusCode::CONFLICT; 2].into();
    let second = update("two", &version).await.expect("nobody else has written");
    bucket.lock().unwrap().answers = [StatusCode::CONFLICT].into();
    assert!(update("three", &version).await.is_none());
    bucket.lock().unwrap().answers = [StatusCode::CONFLICT].into();
    bucket.lock().unwrap().rival = Some(Bytes::from("theirs"));
    assert!(update("three", &second).await.is_none());
}

/// A write whose answer was lost has landed. Repeated, it is refused with 412, and reading back shows the caller its own value.
#[tokio::test]
async fn a_repeated_write_reads_back_its_own_value() {
    let (s3, bucket) = answering(&[500]).await;
    bucket.lock().unwrap().rival = Some(Bytes::from("mine"));
    assert!(create(&s3, "mine").await.unwrap_err().is_temporary());
    assert!(!create(&s3, "mine").await.unwrap());
    assert_eq!(s3.get(&scope(), "decided/1").await.unwrap().unwrap(), "mine");
}
