//! `faasflow requests wait` and `faasflow invoke --wait`.

use std::time::{Duration, Instant};

use faasflow_core::signature::{Keys, api_request};

use super::{FakeGateway, answer, json as json_answer, problem, status};
use crate::support::repository;

const HELD: [(&str, &str); 1] = [("preference-applied", "wait=2")];
const ACCEPTED: [(&str, &str); 2] = [("x-faasflow-request-id", "a"), ("location", "/function/upload/_/requests/a")];

/// The status of a request whose first place is done.
fn running() -> String {
    r#"{"version":1,"id":"a","flow":"upload","status":"running","started_ms":1000,"moved_ms":2000,"places":[
        {"place":"1","steps":["facedetect"],"status":"done","began_ms":1000,"done_ms":2000,"attempts":1},
        {"place":"2","steps":["compress"],"status":"running","began_ms":2000,"attempts":1}]}"#
        .to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_shows_each_place_that_ends_and_the_outcome() {
    let gateway = FakeGateway::listen(|_, times| match times {
        0 => answer(200, &HELD, running()),
        1 => answer(503, &[("retry-after", "0")], r#"{"reason":"its store is away"}"#),
        2 => answer(502, &[("x-openfaas-internal", "proxy")], "`upload` died before it had answered"),
        3 => answer(200, &HELD, status("a", "paused")),
        _ => json_answer(&status("a", "failure")),
    })
    .await;
    let ran = gateway.run(&["requests", "wait", "a", "--flow", "upload"]);
    assert_eq!((ran.code(), ran.stdout()), (1, "failure\n"), "{ran:?}");
    let says = "\
1 facedetect: done after 1.0s
waiting for the flow: its store is away
2 compress: failed after 1.0s: it answered 500 (FF0310)
a is paused
error[FF0932]: the request `a` of `upload` has failed
  help: see where with `faasflow requests show a`; start it again from there with `faasflow requests redrive a`
";
    assert_eq!(ran.stderr(), says);
    assert!(gateway.asked().iter().all(|asked| asked.header("prefer") == Some("wait=2")));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_outcome_has_its_exit_code() {
    for (outcome, code) in [("success", 0), ("recovered", 0), ("failure", 1), ("stopped", 1)] {
        let gateway = FakeGateway::listen(move |_, _| json_answer(&status("a", outcome))).await;
        let ran = gateway.run(&["requests", "wait", "a", "--flow", "upload"]);
        assert_eq!((ran.code(), ran.stdout()), (code, format!("{outcome}\n").as_str()), "{ran:?}");
        let ran = gateway.run(&["requests", "wait", "a", "--flow", "upload", "--json"]);
        assert_eq!((ran.code(), ran.json()["status"].as_str()), (code, Some(outcome)), "{ran:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_ends_when_the_time_is_over() {
    let gateway = FakeGateway::listen(|_, _| answer(200, &[("retry-after", "60")], running())).await;
    let started = Instant::now();
    let ran = gateway.run(&["requests", "wait", "a", "--flow", "upload", "--timeout", "2s"]);
    let says = "1 facedetect: done after 1.0s\nerror[FF0928]: the request `a` of `upload` has not ended within 2s\n  cause: its status is `running`\n  help: wait for it with ";
    assert!(ran.code() == 5 && ran.stderr().starts_with(says), "{ran:?}");
    assert!(started.elapsed() >= Duration::from_secs(2));
    // It does not ask without a pause, although the flow did not hold its answers, and asks once more at the end.
    assert_eq!(gateway.asked().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn invoke_waits_for_the_result() {
    let gateway = FakeGateway::listen(|what, times| match (what, times) {
        ("POST /function/upload?a=1", _) => answer(202, &ACCEPTED, "an answer of the first phase"),
        ("GET /function/upload/_/requests/a", 0) => answer(200, &HELD, running()),
        ("GET /function/upload/_/requests/a", _) => json_answer(&status("a", "success")),
        ("GET /function/upload/_/requests/a/result", _) => answer(200, &[("x-faasflow-outcome", "success")], "small"),
        _ => problem(500, "it is asked for something else"),
    })
    .await;
    let ran = gateway.run_with(&["invoke", "upload", "--wait=90s", "-q", "a=1"], b"photo");
    assert_eq!((ran.code(), ran.stdout()), (0, "small"), "{ran:?}");
    let says = "Request a goes on in the background.\n1 facedetect: done after 1.0s\n";
    assert!(ran.stderr().starts_with(says), "{ran:?}");
    let preferred: Vec<_> = gateway.asked().iter().map(|asked| asked.header("prefer").map(str::to_owned)).collect();
    let expected = [Some("wait=20"), Some("wait=2"), Some("wait=2"), None];
    assert_eq!(preferred, expected.map(|text| text.map(str::to_owned)));
}

/// The guide shows what this prints.
#[tokio::test(flavor = "multi_thread")]
async fn the_guide_shows_how_places_end() {
    let place = |number: u32, step: &str, began: u32, done: u32| {
        format!(
            r#"{{"place":"{number}","steps":["{step}"],"status":"done","began_ms":{began},"done_ms":{done},"attempts":1}}"#
        )
    };
    let status = |status: &str, places: &[String]| {
        let places = places.join(",");
        format!(
            r#"{{"version":1,"id":"order-17","flow":"upload","status":"{status}","started_ms":1000,"moved_ms":2000,"places":[{places}]}}"#
        )
    };
    let places = [place(1, "facedetect", 1000, 1320), place(2, "compress", 1320, 2520)];
    let (one, both) = (status("running", &places[..1]), status("success", &places));
    let gateway = FakeGateway::listen(move |what, times| match (what, times) {
        ("POST /function/upload", _) => {
            let path = "/function/upload/_/requests/order-17";
            answer(202, &[("x-faasflow-request-id", "order-17"), ("location", path)], "")
        }
        ("GET /function/upload/_/requests/order-17", 0) => answer(200, &HELD, one.clone()),
        ("GET /function/upload/_/requests/order-17", _) => json_answer(&both),
        _ => answer(200, &[("x-faasflow-outcome", "success")], "small"),
    })
    .await;
    let ran = gateway.run_with(&["invoke", "upload", "--wait=60s"], b"photo");
    assert_eq!((ran.code(), ran.stdout()), (0, "small"), "{ran:?}");
    let guide = std::fs::read_to_string(repository("docs/guide/requests.md")).unwrap();
    let shown = format!("$ faasflow invoke upload --wait=60s < photo.jpg > small.jpg\n{}```\n", ran.stderr());
    assert!(guide.contains(&shown), "the guide should show\n{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn invoke_waits_no_longer_than_it_may() {
    let gateway = FakeGateway::listen(|what, _| match what {
        "POST /function/upload" => answer(202, &ACCEPTED, ""),
        _ => answer(200, &[], running()),
    })
    .await;
    let ran = gateway.run(&["invoke", "upload", "--wait=200ms"]);
    assert!(
        ran.code() == 5
            && ran.stderr().contains("error[FF0928]: the request `a` of `upload` has not ended within 200ms\n")
    );
    assert_eq!(gateway.asked()[0].header("prefer"), Some("wait=1"));
    let ran = gateway.run(&["invoke", "upload", "--wait=0s"]);
    assert!(ran.stderr().contains("error[FF0928]: the request `a` of `upload` has not ended yet\n"), "{ran:?}");
}

/// A parked request does not end by itself, so waiting for it ends.
#[tokio::test(flavor = "multi_thread")]
async fn who_waits_for_a_parked_request_is_told_what_makes_it_go_on() {
    let gateway =
        FakeGateway::listen(|_, _| answer(200, &[], running().replace("running\",\"started", "parked\",\"started")));
    let ran = gateway.await.run(&["requests", "wait", "a", "--flow", "upload"]);
    assert_eq!(ran.code(), 5, "{ran:?}");
    for says in ["requests resume a`", "requests redrive a --from N`", "requests stop a`"] {
        assert!(ran.stderr().contains(says), "{ran:?}");
    }
    assert!(!ran.stderr().contains("requests wait"), "{ran:?}");
}

/// The gateway answers 501 or 500 for as long as nobody changes anything.
#[tokio::test(flavor = "multi_thread")]
async fn waiting_ends_at_an_answer_that_will_not_change() {
    for status in [500, 501] {
        let refusal = move |_: &str, _| answer(status, &[("x-openfaas-internal", "proxy")], "this cannot work");
        let ran = FakeGateway::listen(refusal).await.run(&["requests", "wait", "a", "--flow", "upload"]);
        assert!(ran.code() == 1 && ran.stderr().contains("this cannot work"), "{ran:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_long_wait_a_result_is_asked_for_again_if_its_store_is_away() {
    let gateway = FakeGateway::listen(|what, times| match (what, times) {
        ("POST /function/upload", _) => answer(202, &ACCEPTED, ""),
        ("GET /function/upload/_/requests/a", _) => json_answer(&status("a", "success")),
        (_, 0) => answer(503, &[("retry-after", "0")], r#"{"reason":"its store is away"}"#),
        _ => answer(200, &[("x-faasflow-outcome", "success")], "small"),
    })
    .await;
    let ran = gateway.run(&["invoke", "upload", "--wait"]);
    assert_eq!((ran.code(), ran.stdout()), (0, "small"), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn invoke_fails_like_a_synchronous_call() {
    let gateway = FakeGateway::listen(|what, _| match what {
        "POST /function/upload" => answer(202, &ACCEPTED, ""),
        "GET /function/upload/_/requests/a" => json_answer(&status("a", "failure")),
        _ => answer(
            500,
            &[("x-faasflow-outcome", "failure"), ("x-faasflow-error-code", "FF0310")],
            r#"{"request_id":"a","phase":2,"step":"function `compress`","reason":"it answered 500","code":"FF0310"}"#,
        ),
    })
    .await;
    let ran = gateway.run(&["invoke", "upload", "--wait"]);
    let says = "error[FF0310]: the request `a` of `upload` has failed\n  cause: phase 2, function `compress`: it answered 500\n";
    assert!(ran.code() == 1 && ran.stderr().contains(says), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_that_is_there_in_time_needs_no_waiting() {
    let gateway = FakeGateway::listen(|_, _| answer(200, &[], "small")).await;
    let ran = gateway.run(&["invoke", "upload", "--wait"]);
    assert_eq!((ran.code(), ran.stdout(), ran.stderr(), gateway.asked().len()), (0, "small", "", 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_records_there_is_nothing_to_wait_for() {
    let gateway = FakeGateway::listen(|_, _| answer(202, &[("x-faasflow-request-id", "a")], "")).await;
    let ran = gateway.run(&["invoke", "upload", "--wait"]);
    let says = "error[FF0929]: the request was accepted, but `upload` does not say what becomes of it\n";
    assert!(ran.code() == 1 && ran.stderr().contains(says), "{ran:?}");
    assert_eq!(gateway.run(&["invoke", "upload"]).code(), 0);
    assert_eq!(gateway.run(&["invoke", "upload", "--wait", "--async"]).code(), 2);
}

/// A flow with `verify_request` refuses these questions otherwise.
#[tokio::test(flavor = "multi_thread")]
async fn invoke_with_a_key_signs_what_it_asks_while_it_waits() {
    let gateway = FakeGateway::listen(|what, _| match what {
        "POST /function/upload" => answer(202, &ACCEPTED, ""),
        "GET /function/upload/_/requests/a" => json_answer(&status("a", "success")),
        _ => answer(200, &[("x-faasflow-outcome", "success")], "small"),
    })
    .await;
    let ran = gateway.run(&["invoke", "upload", "--wait=90s", "--sign", "X-Hub-Signature", "--key", "secret"]);
    assert_eq!((ran.code(), ran.stdout()), (0, "small"), "{ran:?}");
    let asked = gateway.asked();
    assert_eq!(asked.len(), 3);
    for asked in &asked[1..] {
        let signed_at = asked.header("x-faasflow-signed-at").unwrap().parse().unwrap();
        let target = asked.what.strip_prefix("GET /function/upload").unwrap();
        let signed = api_request("upload", "GET", target, signed_at);
        let signature = asked.header("x-hub-signature").map(str::as_bytes);
        assert_eq!(Keys::parse("secret").unwrap().verify(signature, signed.as_bytes()), Ok(()), "{target}");
    }
}
