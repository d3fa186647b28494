//! `faasflow requests pause`, `resume`, `stop` and `recover`.

use serde_json::json;

use super::{FakeGateway, answer, json as json_answer, problem, status, unknown};

#[tokio::test(flavor = "multi_thread")]
async fn each_request_is_changed_and_those_that_cannot_be_are_reported() {
    let gateway = FakeGateway::listen(|what, _| match what {
        "GET /system/flows" => json_answer(r#"["upload"]"#),
        "POST /system/flows/upload/requests/a/pause" => json_answer(r#"{"version":1,"id":"a","status":"paused"}"#),
        "POST /system/flows/upload/requests/b/pause" => {
            answer(409, &[], r#"{"request_id":"b","reason":"it has ended","status":"success"}"#)
        }
        "POST /system/flows/upload/requests/c/pause" => json_answer(r#"{"version":1,"id":"c","status":"paused"}"#),
        _ if what.starts_with("GET ") && !what.ends_with("/gone") => json_answer(&status("a", "running")),
        _ => unknown(),
    })
    .await;
    let ran = gateway.run(&["requests", "pause", "a", "b", "c", "gone"]);
    assert_eq!((ran.code(), ran.stdout()), (1, "a: paused\nc: paused\n"), "{ran:?}");
    let says = "\
error[FF0930]: the flow `upload` cannot pause the request `b`
  cause: it has ended (its status is success)
  help: look at the request with `faasflow requests show ID`

error[FF0927]: no flow knows the request `gone`
  help: check the ID: it is the header X-Faasflow-Request-Id of the answer
";
    assert_eq!(ran.stderr(), says);
    let ran = gateway.run(&["requests", "pause", "a", "--json"]);
    let expected =
        json!({ "version": 1, "requests": [{ "flow": "upload", "version": 1, "id": "a", "status": "paused" }] });
    assert_eq!((ran.code(), ran.json()), (0, expected));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flow_that_is_named_is_not_looked_for() {
    let gateway = FakeGateway::listen(|_, _| json_answer(r#"{"version":1,"id":"a","status":"stopped"}"#)).await;
    for verb in ["resume", "stop"] {
        assert_eq!(gateway.run(&["requests", verb, "a", "--flow", "upload"]).code(), 0);
    }
    let expected =
        ["POST /system/flows/upload/requests/a/resume", "POST /system/flows/upload/requests/a/stop"].map(str::to_owned);
    assert_eq!(gateway.asked().into_iter().map(|asked| asked.what).collect::<Vec<_>>(), expected);
    assert_eq!(gateway.run(&["requests", "stop"]).code(), 2);
    assert_eq!(gateway.run(&["requests", "stop", "a/b"]).code(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn recover_goes_through_all_pages_of_all_flows() {
    let gateway = FakeGateway::listen(|what, _| match what {
        "GET /system/flows" => json_answer(r#"["report","upload"]"#),
        "POST /system/flows/upload/recover?older=1m30s" => json_answer(
            r#"{"version":1,"looked_at":1000,"recovered":[{"id":"a","tokens":1}],"failed":[],"removed":1,"cursor":"next"}"#,
        ),
        "POST /system/flows/upload/recover?older=1m30s&cursor=next" => json_answer(
            r#"{"version":1,"looked_at":2,"recovered":[],"failed":[{"id":"b","reason":"the queue is away"}],"removed":2}"#,
        ),
        "POST /system/flows/report/recover?older=1m30s" => json_answer(r#"{"version":1,"looked_at":1}"#),
        "POST /system/flows/report/recover?older=0s&force=true" => json_answer(r#"{"version":1,"older_ms":0}"#),
        "POST /system/flows/report/recover?older=1s" => json_answer(r#"{"version":1,"older_ms":65000}"#),
        _ => problem(400, "it is asked for something else"),
    })
    .await;
    let ran = gateway.run(&["requests", "recover", "--older", "90s"]);
    let printed = "\
report: looked at 1 request; 0 made to go on, 0 expired and removed
upload: looked at 1002 requests; 1 made to go on, 3 expired and removed
  a goes on
";
    let says = "\
error[FF0930]: the flow `upload` cannot make 1 request go on
  cause: b: the queue is away
  help: remove the cause, and run the command again
";
    assert_eq!((ran.code(), ran.stdout(), ran.stderr()), (1, printed, says));
    let ran = gateway.run(&["requests", "recover", "report", "--older", "0s", "--force"]);
    assert_eq!((ran.code(), ran.stderr()), (0, ""), "{ran:?}");
    let ran = gateway.run(&["requests", "recover", "report", "--older", "1s"]);
    let says = "report: requests that have moved within 1m5s were left alone, because a phase may take that long; `--force` does not wait for it.\n";
    assert_eq!((ran.code(), ran.stderr()), (0, says), "{ran:?}");
    let ran = gateway.run(&["requests", "recover", "upload", "--older", "90s", "--json"]);
    assert_eq!((ran.code(), ran.json()["flows"][0]["looked_at"].as_u64()), (1, Some(1002)), "{ran:?}");
    assert_eq!(ran.json()["flows"][0]["flow"], "upload");
}
