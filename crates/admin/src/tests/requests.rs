//! The texts of answers about requests, as flows write them.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{
    FlowRequest, PlaceStatus, Recovery, RequestChange, RequestList, RequestProblem, RequestStatus, RequestSummary,
};

/// Reads a text, checks that the same text is written again, and returns what was read.
fn golden<T: DeserializeOwned + Serialize>(text: &str) -> T {
    let text = text.lines().map(str::trim_start).collect::<String>();
    let read: T = serde_json::from_str(&text).unwrap();
    assert_eq!(serde_json::to_string(&read).unwrap(), text);
    read
}

#[test]
fn a_request_with_a_for_each_a_choice_and_a_branch_that_is_retried() {
    let request: FlowRequest = golden(
        r##"{"version":1,"id":"order-17","flow":"upload","status":"running","generation":0,"started_ms":1700000000000,
        "moved_ms":1700000000900,"places":[
        {"place":"1","path":[],"phase":1,"steps":["facedetect","a modifier"],"status":"done","began_ms":1,"done_ms":2,
        "attempts":1,"output":{"bytes":123,"content_type":"application/json"},"chosen":"large",
        "members":{"all":4,"waiting":1,"running":1,"done":2,"failed":0,"stopped":0}},
        {"place":"1.16/2","path":["item-17"],"phase":2,"steps":["resize"],"status":"retrying","began_ms":5,
        "attempts":3,"reason":{"text":"it is away","code":"FF0306"}}]}"##,
    );
    assert_eq!((request.status, request.ended_ms, request.reason), (RequestStatus::Running, None, None));
    let [first, second] = request.places.as_slice() else { panic!("two places") };
    assert_eq!((first.status, first.members.unwrap().done), (PlaceStatus::Done, 2));
    assert_eq!((second.status, second.attempts, second.done_ms), (PlaceStatus::Retrying, 3, None));
}

#[test]
fn a_request_that_has_failed() {
    let request: FlowRequest = golden(
        r#"{"version":1,"id":"a-1","flow":"upload","status":"failure","generation":2,"started_ms":1,"moved_ms":9,"ended_ms":9,
        "reason":{"place":"2","step":2,"name":"compress","text":"it answered 500","code":"FF0310"},"places":[]}"#,
    );
    assert!(request.status.is_end());
    assert_eq!(request.reason.unwrap().name.as_deref(), Some("compress"));
}

#[test]
fn lists_changes_recoveries_and_problems() {
    let list: RequestList = golden(
        r#"{"version":1,"requests":[{"id":"b","status":"parked","started_ms":2},{"id":"a","status":"stopped","started_ms":1}],
        "cursor":"next"}"#,
    );
    assert_eq!(
        list.requests[1],
        RequestSummary {
            id: "a".to_owned(),
            status: RequestStatus::Stopped,
            started_ms: 1,
            ..RequestSummary::default()
        }
    );
    let detailed: RequestList = golden(
        r#"{"version":1,"requests":[{"id":"a","status":"running","started_ms":1,
        "found":{"by":"call","text":"c","place":"2"},"moved_ms":2,"at":{"place":"1.6/2","path":["item-7"],"label":"a.jpg",
        "steps":["function `compress`"],"status":"retrying","reason":{"text":"it answered 503","code":"FF0405"},"more":2,
        "members":9,"partial":true},"reason":{"text":"parked"}}]}"#,
    );
    assert_eq!(detailed.requests[0].at.as_ref().map(|at| (at.status, at.more)), Some((PlaceStatus::Retrying, 2)));
    let last: RequestList = golden(r#"{"version":1,"requests":[]}"#);
    assert_eq!(last.cursor, None);
    let paused: RequestChange = golden(r#"{"version":1,"id":"a","status":"paused"}"#);
    assert_eq!((paused.status, paused.generation), (RequestStatus::Paused, None));
    let redriven: RequestChange = golden(r#"{"version":1,"id":"a","status":"running","generation":1}"#);
    assert_eq!(redriven.generation, Some(1));
    let again: RequestChange = golden(r#"{"version":1,"id":"b","status":"running","repeats":"a"}"#);
    assert_eq!(again.repeats.as_deref(), Some("a"));
    let recovery: Recovery = golden(
        r#"{"version":1,"looked_at":200,"recovered":[{"id":"a","tokens":1}],"failed":[{"id":"b","reason":"it is away"}],
        "removed":3,"older_ms":65000,"cursor":"next"}"#,
    );
    assert_eq!((recovery.recovered[0].tokens, recovery.failed[0].id.as_str()), (1, "b"));
    let problem: RequestProblem =
        golden(r#"{"request_id":"a","reason":"it has ended","code":"FF0303","status":"success"}"#);
    assert_eq!(problem.status, Some(RequestStatus::Success));
}

/// A reader must not fail because of a status that a later version adds.
#[test]
fn a_status_of_a_later_version_is_unknown() {
    let request: FlowRequest =
        serde_json::from_str(r#"{"status":"dreaming","places":[{"status":"dreaming"}]}"#).unwrap();
    assert_eq!((request.status, request.places[0].status), (RequestStatus::Unknown, PlaceStatus::Unknown));
    assert!(!request.status.is_end() && !request.places[0].status.is_end());
}

#[test]
fn a_status_is_shown_as_it_is_written() {
    use RequestStatus::{Failure, Parked, Paused, Recovered, Running, Stopped, Success, Unknown};
    for status in [Running, Paused, Parked, Success, Recovered, Failure, Stopped, Unknown] {
        assert_eq!(serde_json::to_value(status).unwrap(), status.to_string());
    }
    use PlaceStatus as Place;
    let statuses = [Place::Waiting, Place::Running, Place::Retrying, Place::Done, Place::Recovered];
    for status in statuses.into_iter().chain([Place::Failed, Place::Replied, Place::Stopped, Place::Unknown]) {
        assert_eq!(serde_json::to_value(status).unwrap(), status.to_string());
    }
}
