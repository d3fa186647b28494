//! `faasflow requests again`.

use super::{FakeGateway, answer, json as json_answer, problem, status};

const BEGUN: &str = r#"{"version":1,"id":"b","status":"running","repeats":"a"}"#;
const AGAIN: &str = "POST /system/flows/upload/requests/a/again?id=b";

#[tokio::test(flavor = "multi_thread")]
async fn it_prints_the_id_of_the_new_request() {
    let gateway = FakeGateway::listen(|what, _| match what {
        AGAIN => answer(202, &[], BEGUN),
        _ => problem(500, "it is asked for something else"),
    })
    .await;
    let ran = gateway.run(&["requests", "again", "a", "--flow", "upload", "--new-id", "b"]);
    assert_eq!((ran.code(), ran.stdout(), ran.stderr()), (0, "b\n", ""), "{ran:?}");
    let ran = gateway.run(&["requests", "again", "a", "--flow", "upload", "--new-id", "b", "--json"]);
    assert_eq!((ran.code(), ran.json()["repeats"].as_str()), (0, Some("a")), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_asks_again_with_the_same_id_and_waits_for_the_result() {
    let gateway = FakeGateway::listen(|what, times| match (what, times) {
        (what, 0) if what.starts_with("POST ") => {
            answer(503, &[("retry-after", "0")], r#"{"reason":"its store is away"}"#)
        }
        (what, _) if what.starts_with("POST ") => answer(202, &[], BEGUN),
        ("GET /system/flows/upload/requests/b", _) => json_answer(&status("b", "success")),
        ("GET /system/flows/upload/requests/b/result", _) => answer(200, &[("x-faasflow-outcome", "success")], "small"),
        _ => problem(500, "it is asked for something else"),
    })
    .await;
    let ran = gateway.run(&["requests", "again", "a", "--flow", "upload", "--wait"]);
    assert_eq!((ran.code(), ran.stdout()), (0, "small"), "{ran:?}");
    assert!(ran.stderr().starts_with("Request b repeats a.\n"), "{ran:?}");
    let sent = gateway.sent("POST");
    assert_eq!((sent.len(), &sent[0]), (2, &sent[1]), "the flow begins one request for each id");
    let id = sent[0].split_once("again?id=").unwrap().1;
    assert_eq!(id.len(), 36, "{id}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_says_why() {
    let gateway = FakeGateway::listen(|_, _| problem(410, "the record has expired")).await;
    let ran = gateway.run(&["requests", "again", "a", "--flow", "upload"]);
    assert_eq!((ran.code(), ran.stdout()), (1, ""), "{ran:?}");
    assert!(ran.stderr().contains("the record has expired"), "{ran:?}");
}
