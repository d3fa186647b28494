//! Tests the list of requests on S3 with a bucket that a test can break.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use faasflow_core::state::{ListPosition, ListQuery, Scope, StateManager as _, Status};
use faasflow_state::S3;
use http::{HeaderMap, Method, StatusCode, Uri};

const STARTED: &str = "x-amz-meta-started-ms";

#[derive(Default)]
struct Bucket {
    objects: BTreeMap<String, Object>,
    /// Counts the writes, each of which takes a second.
    time: u64,
    /// Objects with these in their names cannot be removed.
    stays: Option<&'static str>,
    /// Another request that begins with this value just before the next one does: the time at which it started.
    rival: Option<u64>,
}

struct Object {
    content: Bytes,
    started: Option<String>,
    written: u64,
}

type Shared = Arc<Mutex<Bucket>>;

async fn serve(State(bucket): State<Shared>, method: Method, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let mut bucket = bucket.lock().unwrap();
    let query = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()).into_owned().collect();
    let name = uri.path().trim_start_matches("/bucket").trim_start_matches('/').replace("%3D", "=");
    if method == Method::GET && name.is_empty() {
        return list(&bucket, &query).into_response();
    }
    // Even a single object is removed as one of a list (`DeleteObjects`).
    if method == Method::POST {
        let body = String::from_utf8(body.to_vec()).unwrap();
        let names = body.split("<Key>").skip(1).map(|rest| rest.split('<').next().unwrap());
        for name in names.clone() {
            if bucket.stays.is_some_and(|stays| name.contains(stays)) {
                return StatusCode::INTERNAL_SERVER_ERROR.into_response();
            }
            bucket.objects.remove(name);
        }
        let removed: String = names.map(|name| format!("<Deleted><Key>{name}</Key></Deleted>")).collect();
        return format!("<DeleteResult>{removed}</DeleteResult>").into_response();
    }
    if method == Method::PUT {
        bucket.time += 1;
        let written = bucket.time;
        let conditional = headers.contains_key("if-none-match");
        if conditional && let Some(rival) = bucket.rival.take() {
            let rival = Object { content: Bytes::new(), started: Some(rival.to_string()), written };
            bucket.objects.insert(name.clone(), rival);
        }
        if conditional && bucket.objects.contains_key(&name) {
            return StatusCode::PRECONDITION_FAILED.into_response();
        }
        let started = headers.get(STARTED).map(|started| started.to_str().unwrap().to_owned());
        bucket.objects.insert(name, Object { content: body, started, written });
        return [("etag", format!("\"{written}\""))].into_response();
    }
    match bucket.objects.get(&name) {
        None => StatusCode::NOT_FOUND.into_response(),
        Some(Object { content, started, .. }) => {
            let started = (STARTED, started.clone().unwrap_or_default());
            let modified = ("last-modified", "Sun, 29 Nov 2026 01:00:00 GMT".to_owned());
            ([("etag", "\"1\"".to_owned()), modified, started], content.clone()).into_response()
        }
    }
}

/// Lists objects (`ListObjectsV2`). A page ends after the number of names that is asked for.
fn list(bucket: &Bucket, query: &BTreeMap<String, String>) -> String {
    let parameter = |name: &str| query.get(name).map(String::as_str);
    let after = parameter("continuation-token").or(parameter("start-after")).unwrap_or_default();
    let limit = parameter("max-keys").map_or(1000, |limit| limit.parse().unwrap());
    let prefix = parameter("prefix").unwrap_or_default();
    let mut found = bucket.objects.iter().filter(|(name, _)| name.starts_with(prefix) && name.as_str() > after);
    let page: Vec<_> = found.by_ref().take(limit).collect();
    let more = found.next().is_some();
    let contents: String = page
        .iter()
        .map(|(name, object)| {
            let (minutes, seconds) = (object.written / 60, object.written % 60);
            format!(
                "<Contents><Key>{name}</Key><Size>{}</Size><ETag>\"1\"</ETag>\
                 <LastModified>2026-11-29T01:{minutes:02}:{seconds:02}.000Z</LastModified></Contents>",
                object.content.len()
            )
        })
        .collect();
    let next = page.last().filter(|_| more).map(|(name, _)| name.as_str());
    let next = next.map(|name| format!("<NextContinuationToken>{name}</NextContinuationToken>")).unwrap_or_default();
    format!("<ListBucketResult><IsTruncated>{more}</IsTruncated>{next}{contents}</ListBucketResult>")
}

async fn bucket() -> (S3, Shared) {
    let bucket = Shared::default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().fallback(serve).with_state(bucket.clone());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (S3::builder("bucket").endpoint(url).credentials("key", "secret").build().unwrap(), bucket)
}

fn scope(request: &str) -> Scope {
    Scope { flow: "f".into(), request: request.into() }
}

/// The requests on the list, with their time of start and status.
async fn listed(s3: &S3, query: ListQuery) -> Vec<(String, u64, Status)> {
    let lines = s3.list_requests("f", &query).await.unwrap();
    lines.into_iter().map(|line| (line.request, line.started_ms, line.status)).collect()
}

fn line(request: &str, started_ms: u64, status: Status) -> (String, u64, Status) {
    (request.to_owned(), started_ms, status)
}

async fn begin(s3: &S3, request: &str, started_ms: u64) -> bool {
    s3.begin_request(&scope(request), started_ms, "begun@0", Bytes::from("x")).await.unwrap()
}

/// As if the process had died between the new line and the removal of the old one.
#[tokio::test]
async fn a_request_with_two_lines_is_listed_once_with_the_newer_one() {
    let (s3, bucket) = bucket().await;
    for request in ["a", "b", "c"] {
        assert!(begin(&s3, request, 7).await);
    }
    bucket.lock().unwrap().stays = Some("running");
    for (request, status) in [("a", Status::Paused), ("b", Status::Success)] {
        let error = s3.list_request(&scope(request), 7, status).await.unwrap_err();
        assert!(error.is_temporary(), "{error}");
    }
    let expected = [line("c", 7, Status::Running), line("b", 7, Status::Success), line("a", 7, Status::Paused)];
    // The lines of a request may be on two pages.
    for limit in 1..5 {
        assert_eq!(listed(&s3, ListQuery::newest(limit)).await, expected[..limit.min(3)], "{limit}");
    }
    let after = Some(ListPosition { started_ms: 7, request: "b".into() });
    assert_eq!(listed(&s3, ListQuery { after, ..ListQuery::newest(9) }).await, expected[2..]);
    bucket.lock().unwrap().stays = None;
    for (request, status) in [("a", Status::Paused), ("b", Status::Success)] {
        s3.list_request(&scope(request), 7, status).await.unwrap();
    }
    let running = ListQuery { status: Some(Status::Running), ..ListQuery::newest(9) };
    assert_eq!(listed(&s3, running).await, expected[..1]);
    let lines = bucket.lock().unwrap().objects.keys().filter(|name| name.starts_with("records/")).count();
    assert_eq!(lines, 6, "each request has one line, which is two objects");
}

#[tokio::test]
async fn a_beginning_that_comes_too_late_leaves_no_line_but_that_of_the_first() {
    let (s3, bucket) = bucket().await;
    bucket.lock().unwrap().rival = Some(8);
    assert!(!begin(&s3, "a", 7).await);
    assert_eq!(listed(&s3, ListQuery::newest(9)).await, []);
    // Both began at the same time, so they have the same line.
    bucket.lock().unwrap().rival = Some(9);
    assert!(!begin(&s3, "b", 9).await);
    assert_eq!(listed(&s3, ListQuery::newest(9)).await, [line("b", 9, Status::Running)]);
}

#[tokio::test]
async fn what_has_expired_leaves_nothing_even_if_its_removal_was_interrupted() {
    let (s3, bucket) = bucket().await;
    let moment = Duration::from_millis(1);
    assert!(begin(&s3, "a", 7).await);
    s3.set(&scope("a"), "over@0", Bytes::from("x")).await.unwrap();
    s3.retire_request(&scope("a"), 7, Status::Success, moment, moment).await.unwrap();
    tokio::time::sleep(5 * moment).await;
    bucket.lock().unwrap().stays = Some("k-over");
    assert!(s3.remove_expired("f", 9).await.is_err());
    bucket.lock().unwrap().stays = Some("success");
    assert!(s3.remove_expired("f", 9).await.is_err());
    bucket.lock().unwrap().stays = None;
    assert_eq!(s3.remove_expired("f", 9).await.unwrap(), 1);
    assert_eq!(bucket.lock().unwrap().objects.keys().collect::<Vec<_>>(), [""; 0]);
    assert_eq!(s3.remove_expired("f", 9).await.unwrap(), 0);
}
